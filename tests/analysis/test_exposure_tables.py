"""Kappa, exposure gap, label following and groundedness in the report: two ways, and by hand."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_studies import GOLD, record, study

from analysis.groups import groups_of
from analysis.stats.reading_sums import READER_METRICS
from analysis.stats.row_sums import row_statistics
from analysis.tables.exposure import NOT_READ, exposure_table, groundedness_table
from r2d_ray.evaluation.reading.alignment import merge_statistics
from r2d_ray.evaluation.reading.groundedness import groundedness_scores, with_groundedness
from r2d_ray.evaluation.reading.verdicts import read_rows, verdict_scores, verdict_statistics
from r2d_ray.records import Prediction

LABELS = ("yes", "no")
label = st.sampled_from(LABELS)
text = st.sampled_from(["yes", "no", "?"])
drawn = st.lists(st.tuples(label, label, text, text, text), min_size=1, max_size=8)


def as_said(texts: Sequence[str], _: object = None) -> list[str | None]:
    return [said if said in LABELS else None for said in texts]


def row(number: int, gold: str, said: str, own: str, given_gold: str, swapped: str) -> Prediction:
    return Prediction(
        id=str(number),
        group=f"g{number}",
        gold_label=gold,
        label=said,
        rationale=own,
        given_gold=given_gold,
        swapped={"no" if said == "yes" else "yes": swapped},
    )


def read(rows: Sequence[Prediction], name: str) -> tuple[list[Prediction], dict[str, float | None]]:
    verdicts = read_rows(rows, as_said, LABELS)
    found = merge_statistics(rows, verdict_statistics(rows, verdicts, LABELS, name))
    return found, verdict_scores(rows, verdicts, name)


@given(drawn)
def test_a_reported_score_is_that_of_the_study(made: list[tuple[str, str, str, str, str]]) -> None:
    found, scores = read([row(i, *values) for i, values in enumerate(made)], "reader")
    for metric in (name for name in READER_METRICS if name.startswith("reader_")):
        if metric == "reader_consistency" and len({row.label for row in found}) == 1:
            assert scores[metric] is None, "one label tests nothing, whatever the rows say"
        elif scores[metric] is None:
            with pytest.raises(ValueError, match=f"no row has {metric}"):
                row_statistics(found, metric, LABELS)
        else:
            value = row_statistics(found, metric, LABELS).value
            assert value == pytest.approx(scores[metric], abs=1e-12), metric


def test_verdicts_on_a_rows_own_options_are_texts_of_its_own() -> None:
    [found], _ = read([row(0, "no", "yes", "yes", "no", "no")], "reader")
    found = found.model_copy(update={"options": LABELS})
    assert row_statistics([found], "reader_consistency", ("A", "B")).value == 1.0
    assert row_statistics([found], "reader_sufficiency", ("A", "B")).value == 0.0


def test_facts_that_hold_are_summed_over_rows() -> None:
    group = "triage:fever, mild, under 4 days, adult"
    rows = [
        Prediction(id=str(i), group=group, gold_label="a", label="a", rationale=rationale)
        for i, rationale in enumerate(["Fever.", "Fever, rash and cough."])
    ]
    found = with_groundedness(rows, ["", ""])
    value = row_statistics(found, "facts_grounded", ()).value
    assert value == groundedness_scores(found)["facts_grounded"] == 2 / 4


def made(*, follows: bool) -> object:
    """Return a comparison of four rows whose rationales follow the label that they are given."""
    arms, rows = [], {}
    for seed in (1, 2, 3):
        said = ["yes", "no", "no", "yes" if seed == 2 else "no"]  # other rows are wrong
        texts = said if follows else ["?"] * 4
        swapped = [("no" if each == "yes" else "yes") if follows else "?" for each in said]
        found, scores = read(
            [
                row(i, gold, each, own, gold if follows else "?", other)
                for i, (gold, each, own, other) in enumerate(
                    zip(GOLD, said, texts, swapped, strict=True)
                )
            ],
            "parser",
        )
        scores |= {"parser_on_gold": 1.0, "parser_empty": 0.0}
        arms.append(
            record(f"r2d-{seed}", seed - 1, "".join(x[0] for x in said), test_metrics=scores)
        )
        rows[f"r2d-{seed}"] = tuple(found)
    return study(arms, rows)


def test_a_model_that_follows_its_label_is_marked_as_reading_it() -> None:
    [line] = exposure_table(groups_of(made(follows=True))).rows
    assert line["reader"] == "exact parser"
    assert line["kappa"].mean == 1.0
    assert line["exposure_gap_on_wrong"].mean == 0.0
    assert (line["label_following"].mean, line["label_following"].low) == (1.0, 1.0)
    assert (line["on_masked_gold"].mean, line["empty"].mean) == (1.0, 0.0)
    assert line["read"] == "yes"


def test_where_no_label_is_read_sampling_was_not_tested() -> None:
    [line] = exposure_table(groups_of(made(follows=False))).rows
    assert line["label_following"].mean == 0.0
    assert line["read"] == NOT_READ


def test_without_verdicts_the_tables_say_why_they_are_empty() -> None:
    groups = groups_of(study([record("r2d-1", 0, "yynn")]))
    for table in (exposure_table(groups), groundedness_table(groups)):
        assert table.rows == ()
        assert table.notes[0].startswith("no run's rationales were")
