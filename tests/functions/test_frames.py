"""A frame given as a data set is the table that the same rows in a file would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import r2d_ray
from r2d_ray import DataRequest, UserError, load_splits
from r2d_ray.functions.frames import table_of, table_text

LABELS = ("today", "later")


def notes(rows: int = 60) -> pd.DataFrame:
    """Return a frame with names and cells as a clinic's export may have them."""
    return pd.DataFrame(
        {
            "Q: triage?": [f"When is patient {n} seen?" for n in range(rows)],
            "Note, free text": [f"The pain is {n} of 10.\n“Since May.”" for n in range(rows)],
            "urgent?": pd.Categorical([LABELS[n % 2] for n in range(rows)]),
            "Warum": [f"Pain {n}." if n % 3 else None for n in range(rows)],
            7: pd.date_range("2024-01-01", periods=rows),
        },
        index=pd.Index([f"p{n // 2}" for n in range(rows)], name="patient id"),
    )


COLUMNS = (
    'question=Q: triage?,context="Note, free text",label=urgent?,rationale.human=Warum,'
    "group=patient id"
)


def lines(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [json.loads(line) for line in table_text(frame).splitlines()]


def test_the_rows_are_those_of_the_same_table_as_a_file(tmp_path: Path) -> None:
    from r2d_ray.data.columns import parse_columns

    notes().to_csv(tmp_path / "notes.csv")
    with table_of(notes(), str(tmp_path / "store")) as path:
        ours, theirs = (
            load_splits(DataRequest(str(file), columns=parse_columns(COLUMNS)))
            for file in (path, tmp_path / "notes.csv")
        )
    for name, rows in ours.items():
        assert [(r.question, r.context, r.label, r.group, r.rationales) for r in rows] == [
            (r.question, r.context, r.label, r.group, r.rationales)
            for r in dict(theirs.items())[name]
        ]


def test_a_named_index_is_a_column_and_one_without_a_name_is_not() -> None:
    first = lines(notes())[0]
    assert first["patient id"] == "p0"
    assert list(lines(notes().reset_index(drop=True))[0]) == [
        *("Q: triage?", "Note, free text", "urgent?", "Warum", "7")
    ]


@pytest.mark.parametrize(
    ("cells", "written"),
    [
        ([1.5, float("nan")], [1.5, None]),
        ([True, None], [True, None]),
        (pd.array([3, None], dtype="Int64"), [3, None]),
        ([0.1 + 0.2, 1e-300], [0.3, 0.0]),
        ([["a", "b"], {"A": "x"}], [["a", "b"], {"A": "x"}]),
        ([np.array(["a"]), pd.NaT], [["a"], None]),
        (["naïve – ≤ 5", "\u2028"], ["naïve – ≤ 5", "\u2028"]),
    ],
    ids=["floats", "flags", "nullable", "decimals", "nested", "arrays", "signs"],
)
def test_a_cell_is_written_as_what_it_is(cells: Any, written: list[Any]) -> None:
    text = table_text(pd.DataFrame({"x": cells}))
    found = [json.loads(line)["x"] for line in text.rstrip("\n").split("\n")]
    assert found == pytest.approx(written) if isinstance(written[0], float) else found == written


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (notes().iloc[:0], "the frame has no rows"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "the frame has several columns 'a'"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "the frame has several columns '1'"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "have 2 levels"),
        (
            pd.DataFrame({"x": [1]}, index=pd.Index([2], name="x")),
            "the frame has several columns 'x'",
        ),
    ],
    ids=["empty", "twice", "twice as text", "levels", "index"],
)
def test_a_frame_that_is_no_table_is_refused_before_anything_is_written(
    frame: pd.DataFrame, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        r2d_ray.run_search(frame, address="local", storage_path=tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_the_same_rows_are_the_same_file_and_others_are_another(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    with table_of(notes(), store) as first, table_of(notes(), store) as again:
        assert first == again
    with table_of(notes(58), store) as other:
        assert other != first
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_a_refused_call_leaves_neither_file_nor_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column 'question'"):
        r2d_ray.run_search(notes(), address="local", storage_path=tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_a_refused_call_keeps_the_table_of_a_former_one(tmp_path: Path) -> None:
    with table_of(notes(), str(tmp_path)) as path:
        pass
    with pytest.raises(UserError, match="no column 'question'"):
        r2d_ray.run_search(notes(), address="local", storage_path=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
