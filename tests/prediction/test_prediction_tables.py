"""Every container in, every format out: all columns, all rows, in order, each with its answer."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_answers import READERS, SAVERS, HashPredictor, Rows, answer_to, model_folder

from r2d_ray.data.files import Record
from r2d_ray.data.reading.streams import open_stream
from r2d_ray.data.tables import read_parts
from r2d_ray.prediction import predictor
from r2d_ray.prediction.answers import Answer
from r2d_ray.prediction.request import PredictRequest
from r2d_ray.prediction.run import Listener, Outcome, predict_file

ROWS: Rows = [
    {
        "note_id": f"00{n}",
        "patient": f"p{n // 2}",
        "q": "How urgent?",
        "note": f'Pain "sharp", since {n} days;\nno fever\tat all: née',
        "site": ["north", "NA", ""][n % 3],
        "split": "holdout",
    }
    for n in range(23)
]
ANSWERS = ["predicted_label", "probability", "margin", "predicted_rationale", "cut_tokens"]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(predictor, "Predictor", HashPredictor)
    monkeypatch.setattr(HashPredictor, "seen", [])
    monkeypatch.setattr(HashPredictor, "stop_after", None)
    return model_folder(tmp_path / "model")


def predict(model: Path, source: Path, output: Path, **asked: Any) -> Outcome:
    request = PredictRequest(model, batch_size=1, device="cpu", **asked)  # chunks of 8 rows
    return predict_file(request, source, output, Listener())


@pytest.mark.parametrize("ending", READERS)
@pytest.mark.parametrize("container", SAVERS)
def test_every_container_becomes_every_format(
    model: Path, tmp_path: Path, container: str, ending: str
) -> None:
    SAVERS[container](ROWS, tmp_path / container)
    output = tmp_path / f"out{ending}"
    assert predict(model, tmp_path / container, output).rows == len(ROWS)
    found = READERS[ending](output)
    assert list(found) == [*ROWS[0], *ANSWERS]
    for row, wanted in zip(found.to_dict("records"), ROWS, strict=True):
        assert {name: row[name] for name in wanted} == wanted
        answer = answer_to(wanted["q"], wanted["note"])
        assert row["predicted_label"] == answer.label
        assert float(row["probability"]) == answer.probability
        assert float(row["margin"]) == answer.margin
        assert row["predicted_rationale"] == answer.rationale
        assert int(row["cut_tokens"]) == answer.cut_tokens
    assert max(HashPredictor.seen) <= 8


@pytest.mark.parametrize("container", SAVERS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_has_the_rows_of_the_table_in_bounded_chunks(
    tmp_path: Path, container: str, size: int
) -> None:
    SAVERS[container](ROWS, tmp_path / container)
    stream = open_stream(tmp_path / container)
    for _ in range(2):
        chunks = [chunk.records for chunk in stream.chunks(size)]
        assert max(map(len, chunks)) <= size
        streamed = [record.values for chunk in chunks for record in chunk]
        [whole] = read_parts(tmp_path / container).values()
        assert streamed == [record.values for record in whole]


def test_values_that_are_no_text_stay_what_they_are(model: Path, tmp_path: Path) -> None:
    rows: Rows = [
        {"q": "a", "note": "b", "label": 1.0, "n": 3, "ok": True, "more": {"x": [1, None]}},
        {"q": "a", "note": "b", "label": float("nan"), "rationale": 7},
        {"q": "a", "note": "b", "label": ["x"], "rationale": "text", "split": "holdout"},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict(model, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    rows[1]["label"] = None
    for row, wanted in zip(found, rows, strict=True):
        assert {name: row[name] for name in row if name not in ANSWERS} == wanted
    predict(model, tmp_path / "in.jsonl", tmp_path / "out.csv")
    table = READERS[".csv"](tmp_path / "out.csv")
    assert list(table["more"]) == ['{"x": [1, null]}', "", ""]
    assert list(table["label"]) == ["1.0", "", '["x"]']
    assert list(table["ok"]) == ["true", "", ""]
    predict(model, tmp_path / "in.jsonl", tmp_path / "out.parquet")
    columns = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict()
    assert columns["n"] == [3, None, None]
    assert columns["more"] == ['{"x": [1, null]}', None, None]
    assert columns["rationale"] == [None, "7", "text"]


def test_parquet_keeps_types_and_class_names(model: Path, tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features(
        {"q": datasets.Value("string"), "note": datasets.Value("string"), "triage": names}
    )
    made = datasets.Dataset.from_dict({"q": ["a"] * 9, "note": ["b"] * 9, "triage": [0] * 9})
    made.cast(features).to_parquet(tmp_path / "in.parquet")
    predict(model, tmp_path / "in.parquet", tmp_path / "out.parquet")
    again = datasets.Dataset.from_parquet(str(tmp_path / "out.parquet"), cache_dir=str(tmp_path))
    assert again.features["triage"] == names
    assert again.features["probability"] == datasets.Value("float64")

    table = pyarrow.table({"q": ["a"], "note": ["b"], "paid": [Decimal("1.50")], "t": [5]})
    table = table.set_column(3, "t", table["t"].cast(pyarrow.timestamp("s")))
    pyarrow.parquet.write_table(table, tmp_path / "typed.parquet")
    predict(model, tmp_path / "typed.parquet", tmp_path / "typed_out.parquet")
    kept = pyarrow.parquet.read_table(tmp_path / "typed_out.parquet")
    assert kept["paid"].type == table["paid"].type
    assert pyarrow.types.is_timestamp(kept["t"].type)


def test_a_column_of_ours_gives_way_to_one_of_the_input(model: Path, tmp_path: Path) -> None:
    SAVERS["in.csv"](ROWS, tmp_path / "in.csv")
    predict(model, tmp_path / "in.csv", tmp_path / "once.csv")
    predict(model, tmp_path / "once.csv", tmp_path / "twice.csv")
    table = READERS[".csv"](tmp_path / "twice.csv")
    assert list(table) == [*ROWS[0], *ANSWERS, *(f"{name}_2" for name in ANSWERS)]
    assert list(table["predicted_label"]) == list(table["predicted_label_2"])


def test_ids_may_repeat_lack_or_look_like_ours(model: Path, tmp_path: Path) -> None:
    ids = ["row-2", None, "row-2", "x", ""]
    rows = [{"id": one, "q": "a", "note": f"b{n}"} for n, one in enumerate(ids)]
    SAVERS["in.jsonl"](rows, tmp_path / "in.jsonl")
    predict(model, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in found] == ids
    assert [row["predicted_rationale"] for row in found] == [f"Why: b{n}" for n in range(5)]


def test_the_same_rows_are_the_same_bytes(model: Path, tmp_path: Path) -> None:
    SAVERS["in.jsonl"](ROWS, tmp_path / "in.jsonl")
    for ending in READERS:
        predict(model, tmp_path / "in.jsonl", tmp_path / f"one{ending}")
        predict(model, tmp_path / "in.jsonl", tmp_path / f"two{ending}")
        assert (tmp_path / f"one{ending}").read_bytes() == (tmp_path / f"two{ending}").read_bytes()


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_abstains_from_more(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for n in range(20):
        answer = answer_to("q", str(n))
        assert answer.probability is not None
        assert 0 <= answer.probability <= 1
        assert answer.abstains(high) or not answer.abstains(low)
        assert not answer.abstains(0.0)


def test_a_label_that_costs_chose_is_kept_where_another_is_probable_enough() -> None:
    by_costs = Answer("no", {"yes": 0.69, "no": 0.31}, None, 0)
    likely = Answer("yes", {"yes": 0.69, "no": 0.31}, None, 0)
    assert [by_costs.by_costs, likely.by_costs] == [True, False]
    for answer in (by_costs, likely):
        assert not answer.abstains(0.69)
        assert answer.abstains(0.7)
    outside = Answer("maybe", {"yes": 0.69, "no": 0.31}, None, 0)
    assert outside.abstains(0.01)
    assert not outside.by_costs


def test_a_label_below_the_threshold_is_empty_and_counted(model: Path, tmp_path: Path) -> None:
    SAVERS["in.csv"](ROWS, tmp_path / "in.csv")
    outcome = predict(model, tmp_path / "in.csv", tmp_path / "out.csv", abstain_below=0.5)
    table = READERS[".csv"](tmp_path / "out.csv")
    below = table["probability"].astype(float) < 0.5
    assert 0 < below.sum() < len(ROWS)
    assert outcome.abstained == below.sum()
    assert list(table["abstained"] == "true") == list(below)
    assert list(table["predicted_label"] == "") == list(below)
    assert list(table["predicted_rationale"] == "") == list(below)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(max_examples=20)
@given(
    st.lists(
        st.fixed_dictionaries({"q": TEXTS, "note": TEXTS, "more": TEXTS}), min_size=1, max_size=12
    )
)
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: Rows) -> None:
    place = tmp_path_factory.mktemp("any")
    model = model_folder(place / "model")
    SAVERS["in.jsonl"](rows, place / "in.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor, "Predictor", HashPredictor)
        patch.setattr(HashPredictor, "seen", [])
        for name in ("out.jsonl", "out.csv", "out.parquet"):
            predict(model, place / "in.jsonl", place / name)
            again: list[Record] = [
                r for c in open_stream(place / name).chunks(99) for r in c.records
            ]
            assert [{n: r.values[n] for n in ("q", "note", "more")} for r in again] == rows
