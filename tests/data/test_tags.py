"""Columns that are kept as tags: what becomes one, what is refused, how its rows are scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from r2d_ray.data.location import DataRequest
from r2d_ray.data.reading.seen import without_tags
from r2d_ray.data.rows.tags import MOST_VALUES, parse_kept
from r2d_ray.data.sources import load_splits
from r2d_ray.errors import UserError
from r2d_ray.evaluation.scoring import score
from r2d_ray.records import Prediction


def table(folder: Path, sites: list[str]) -> Path:
    lines = ["id,question,context,label,site,age"]
    for i, site in enumerate(sites):
        lines.append(f"r{i},Question {i}?,Note {i}.,{('yes', 'no')[i % 2]},{site},{i}")
    path = folder / "notes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_kept_column_becomes_a_tag_of_each_filled_row(tmp_path: Path) -> None:
    path = table(tmp_path, ["north", "south", ""] * 14)
    request = DataRequest(dataset=str(path), keep=parse_kept("site"))
    splits = load_splits(request)
    found = {row.id: row.tags for _, rows in splits.items() for row in rows}
    for i in range(42):
        assert found[f"r{i}"] == ((), ("site=north",), ("site=south",))[(i + 1) % 3]
    plain = load_splits(replace(request, keep={}))
    assert all(not row.tags for _, rows in plain.items() for row in rows)
    assert plain.hash != splits.hash  # other data were asked for
    for (_, one), (_, other) in zip(plain.items(), splits.items(), strict=True):
        assert [row.id for row in one] == [row.id for row in other]


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("age", "--keep-columns age: 42 different values"),
        ("ward", "--keep-columns ward"),
        ("site,site", "'site' is given twice"),
    ],
)
def test_columns_that_make_no_groups_are_refused_in_one_line(
    tmp_path: Path, kept: str, said: str
) -> None:
    path = table(tmp_path, ["north", "south"] * 21)
    assert MOST_VALUES < 42
    with pytest.raises(UserError) as refused:
        load_splits(DataRequest(dataset=str(path), keep=parse_kept(kept)))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_fixed_layouts_have_no_column_to_keep() -> None:
    with pytest.raises(UserError, match="--keep-columns: triage-sample has fixed columns"):
        load_splits(DataRequest(dataset="triage", keep=parse_kept("site")))


def test_a_model_needs_no_kept_column() -> None:
    assert parse_kept(" site, age_band ") == {"tag.site": "site", "tag.age_band": "age_band"}
    assert parse_kept(None) == {}
    assert without_tags({"question": "q", **parse_kept("site")}) == {"question": "q"}


def test_groups_are_scored_apart_by_hand() -> None:
    def row(i: int, gold: str, said: str, sure: float, site: str) -> Prediction:
        other = "no" if said == "yes" else "yes"
        return Prediction(
            id=str(i),
            group=str(i),
            gold_label=gold,
            label=said,
            probabilities={said: sure, other: 1 - sure},
            tags=(f"site={site}",),
        )

    rows = [
        row(0, "yes", "yes", 0.9, "north"),
        row(1, "no", "no", 0.9, "north"),
        row(2, "yes", "no", 0.7, "south"),
        row(3, "no", "no", 0.7, "south"),
    ]
    scores = score(rows, ("yes", "no"))
    assert scores["rows[site=north]"] == scores["rows[site=south]"] == 2
    assert scores["accuracy[site=north]"] == scores["macro_f1[site=north]"] == 1
    assert scores["ece[site=north]"] == pytest.approx(0.1)  # sure 0.9, right always
    assert scores["accuracy[site=south]"] == 0.5
    assert scores["macro_f1[site=south]"] == pytest.approx((0 + 2 / 3) / 2)
    assert scores["ece[site=south]"] == pytest.approx(0.2)  # sure 0.7, right half the time
