from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from r2d_ray.errors import UserError
from r2d_ray.records import (
    Evaluation,
    Objective,
    Prediction,
    TrialRecord,
    append_jsonl,
    read_jsonl,
    write_jsonl,
)
from r2d_ray.storage import cut_torn_line, write_atomically, write_json

VALUES: dict[str, Any] = {
    "study": "s",
    "trial": 0,
    "method": "r2d",
    "dataset": "toy",
    "config": {"learning_rate": 1e-3, "model": "scratch-tiny", "deepspeed_config": None},
    "seed": 42,
    "status": "done",
    "curve": ({"step": 4, "scores": {"macro_f1": 1 / 3}},),
    "series": {"loss": [0.1, None, 3.0]},
    "metrics": {"macro_f1": 1 / 3},
    "reason": 'naïve "quoted"\nsecond line \u2028 end',
}


def record(**changed: Any) -> TrialRecord:
    return TrialRecord(**{**VALUES, **changed})


def trials(path: Path) -> list[TrialRecord]:
    return list(read_jsonl(path, TrialRecord))


texts = st.text(st.characters(codec="utf-8"), max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=50)
@given(
    reason=st.none() | texts,
    metrics=st.dictionaries(texts, finite, max_size=3),
    series=st.dictionaries(texts, st.lists(st.none() | finite, max_size=3), max_size=2),
    config=st.dictionaries(texts, st.none() | st.booleans() | st.integers() | finite | texts),
)
def test_a_record_survives_its_line(
    tmp_path_factory: pytest.TempPathFactory, **values: Any
) -> None:
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    written = [record(**values), record(trial=1)]
    for each in written:
        append_jsonl(path, each)
    assert path.read_bytes().count(b"\n") == 2
    assert trials(path) == written
    write_jsonl(path, written)
    assert trials(path) == written


def test_no_file_has_no_records(tmp_path: Path) -> None:
    assert trials(tmp_path / "records.jsonl") == []


def test_a_torn_last_line_is_left_out_and_cut_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    append_jsonl(path, record())
    append_jsonl(path, record(trial=1))
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    assert "ï".encode() in whole[second:]  # some cuts fall within a character
    for size in range(second, len(whole)):
        path.write_bytes(whole[:size])
        assert [r.trial for r in trials(path)] == [0], size
        append_jsonl(path, record(trial=2))
        assert [r.trial for r in trials(path)] == [0, 2], size


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"", b""), (b"a", b""), (b"a\n", b"a\n"), (b"a\nb", b"a\n"), (b"\n", b"\n")],
)
def test_only_what_has_no_end_is_cut(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "lines"
    path.write_bytes(before)
    cut_torn_line(path)
    assert path.read_bytes() == after


def test_cutting_makes_no_file(tmp_path: Path) -> None:
    cut_torn_line(tmp_path / "lines")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{}", "study"),
        (b"", "not JSON: "),
        (b'{"study": ', "not JSON: "),
        (b'"\xff"', "not JSON: "),
        (b'{"trial": "zero"}', "study"),
        (record().model_dump_json().replace('"trial":0', '"trial":"zero"').encode(), "trial"),
        (record().model_dump_json().replace('"done"', '"over"').encode(), "status"),
        (record().model_dump_json().replace('"seed"', '"sead"').encode(), "seed"),
    ],
)
def test_a_whole_line_that_is_no_record_is_named_with_its_place(
    tmp_path: Path, line: bytes, said: str
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(record().model_dump_json().encode() + b"\n" + line + b"\n")
    with pytest.raises(UserError) as caught:
        trials(path)
    assert str(caught.value).startswith(f"{path}:2: {said}")
    assert "\n" not in str(caught.value)


def test_an_unknown_field_is_no_record() -> None:
    with pytest.raises(ValidationError, match="extra"):
        record(extra=1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["metrics", "test_metrics", "rung", "counts"])
def test_a_score_that_is_not_finite_never_gets_into_a_record(field: str, value: float) -> None:
    """JSON has no such number: as null it would be unreadable, and a lie."""
    with pytest.raises(ValidationError, match="finite"):
        record(**{field: {"macro_f1": value}})
    with pytest.raises(ValidationError, match="finite"):
        Evaluation(step=1, scores={"macro_f1": value})
    with pytest.raises(ValidationError, match="finite"):
        Prediction(id="a", group="a", probabilities={"yes": value})


def test_a_score_that_does_not_exist_is_null() -> None:
    kept = record(test_metrics={"bertscore": None})
    assert TrialRecord.model_validate_json(kept.model_dump_json()) == kept


def test_a_logged_value_that_is_not_finite_is_null_in_the_file(tmp_path: Path) -> None:
    """A gradient norm may overflow where the clipped step does not."""
    path = tmp_path / "records.jsonl"
    append_jsonl(path, record(series={"grad_norm": [1.0, math.inf, math.nan]}))
    assert json.loads(path.read_text(), parse_constant=pytest.fail)
    assert trials(path)[0].series == {"grad_norm": [1.0, None, None]}


def test_a_writer_that_dies_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.json"
    write_json(path, {"a": "é"})
    assert path.read_text() == '{\n  "a": "é"\n}\n'

    def killed(_: int) -> None:
        assert path.read_text() == '{\n  "a": "é"\n}\n'
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "half")
    assert json.loads(path.read_text()) == {"a": "é"}


def test_a_file_is_replaced_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    rows = [Prediction(id=str(i), group="g", probabilities={"yes": 0.25}) for i in range(3)]
    write_jsonl(path, rows[:2])
    write_jsonl(path, rows)
    assert list(read_jsonl(path, Prediction)) == rows
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.jsonl"]


# What a study optimises


@pytest.mark.parametrize(
    ("mode", "direction", "so_far", "best"),
    [("max", "maximize", [0.4, 0.4, 0.7, 0.7], 1), ("min", "minimize", [0.4, 0.2, 0.2, 0.2], 2)],
)
def test_an_objective_knows_its_better_end(
    mode: Literal["max", "min"], direction: str, so_far: list[float], best: int
) -> None:
    objective = Objective("macro_f1", mode)
    assert objective.direction == direction
    assert objective.so_far([0.4, 0.2, 0.7, 0.3]) == so_far
    assert objective.so_far([]) == []
    assert objective.better(0.7, 0.2) == (mode == "max")
    assert objective.better(0.2, 0.7) == (mode == "min")
    assert not objective.better(0.5, 0.5)
    scores = {5: 0.2, 2: 0.2, 3: 0.7, 1: 0.7, 4: 0.5}  # in the order in which they ended
    records = [record(trial=n, metrics={"macro_f1": score}) for n, score in scores.items()]
    records += [
        record(trial=6, status="pruned", metrics={"macro_f1": 0.9 if mode == "max" else 0.1}),
        record(trial=7, status="failed", metrics={}),
        record(trial=8, metrics={"accuracy": 1.0}),
    ]
    found = objective.best_of(records)
    assert found is not None
    assert found.trial == best
    assert objective.best_of(records[-3:]) is None
