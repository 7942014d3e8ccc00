"""What limits a study's results: of its failures, and of its size even where nothing failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.collapse import collapsed
from analysis.groups import FEW_SEEDS, Group, groups_of, labels_of, notes_on
from analysis.runs import missing_files
from analysis.studies import Study
from analysis.tables.controls import BAG_OF_WORDS
from r2d_ray.storage import counted

FEW_TEST_ROWS = 200
"""Below so many rows the 95 % interval of an accuracy of 0.5 is more than 0.13 wide."""


def limits(study: Study) -> tuple[str, ...]:
    """Return what a reader must know before believing a study's numbers; never nothing at all.

    Raises:
        UserError: for predictions that cannot be read.
    """
    groups = groups_of(study)
    return (
        *notes_on(groups, seeds=study.is_comparison),
        *missing_files(study),
        *_of_result(study),
        *_of_data(study),
        *([study.info.random_weights] if study.info.random_weights else []),
        *collapsed(groups),
        *_never_predicted(groups),
        "the step of every run, and of a search the trial too, was chosen on the validation split: "
        "scores there are too good, those on test are not",
    )


def _of_result(study: Study) -> list[str]:
    """Return what a study's own result says against it."""
    found = []
    verdict = study.result.get(BAG_OF_WORDS)
    if isinstance(verdict, Mapping) and verdict.get("beaten") is False:
        found.append("no trained model beats the bag of words")
    seeds = int(study.info.study.get("seeds_per_config", 1))
    if not study.is_comparison and seeds < FEW_SEEDS:
        said = "one seed" if seeds == 1 else f"{seeds} seeds"
        found.append(f"{said} a trial: intervals tell of test rows, hardly of another training run")
    return found


def _of_data(study: Study) -> list[str]:
    card: Mapping[str, Any] = study.info.data_card
    found = []
    rows = card.get("rows", {}).get("test")
    if isinstance(rows, int) and rows < FEW_TEST_ROWS:
        found.append(
            f"{counted(rows, 'test row')}, fewer than {FEW_TEST_ROWS}: small differences are chance"
        )
    if card.get("provenance", {}).get("kind") == "sample":
        found.append("an embedded sample: it shows the path, not what a model can do")
    cut = {split: measured.get("share_cut") for split, measured in card.get("tokens", {}).items()}
    shares = [f"{split} {share:.1%}" for split, share in cut.items() if share]
    if shares:
        found.append(f"rows cut to max_input_length: {', '.join(shares)}")
    return found


def _never_predicted(groups: Sequence[Group]) -> list[str]:
    """Return the labels that the runs of a group never gave to a test row."""
    found = []
    for group in groups:
        said: set[str | None] = set()
        labels: list[str] = []
        for seed, record in group.done.items():
            rows = group.study.predictions(group.run(seed))
            labels = labels_of(record) if rows else labels
            said |= {row.class_of(row.label) for row in rows}
        if never := [label for label in labels if label not in said]:
            found.append(f"{group.name} never predicted: {', '.join(never)}")
    return found
