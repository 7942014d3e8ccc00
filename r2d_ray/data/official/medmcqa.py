"""MedMCQA's own columns as those of a table."""

from __future__ import annotations

from collections.abc import Iterable

from r2d_ray.data.files import Parts, Record
from r2d_ray.errors import UserError

LETTERS = ("a", "b", "c", "d")
HIDDEN = -1
"""What the public copy writes for an answer that is not public."""


def medmcqa_parts(parts: Parts, answered: bool = True) -> tuple[Parts, tuple[str, ...]]:
    """Return MedMCQA's records (`opa` … `opd`, `cop`, `exp`) with the columns of a table.

    An answer is a number, also written as text, or a letter of either case. Its official test set
    has none, so its development set becomes test. Records of another layout pass unchanged. Notes
    say what was left out.

    Args:
        parts: Records by split.
        answered: Whether records without an answer are left out, and counted in the notes.

    Raises:
        UserError: for an answer that is no option, if the numbers do not tell whether they count
            from 0 or from 1, and where no record, or no training record, has an answer.
    """
    if not has_own_columns(parts):
        return parts, ()
    if not answered:
        return {
            split: [_record(record, None) for record in members] for split, members in parts.items()
        }, ()
    base = _answer_base(_answer(record) for members in parts.values() for record in members)
    kept = {
        split: [_record(record, base) for record in members if _answer(record) is not None]
        for split, members in parts.items()
    }
    for split, members in kept.items():
        if not members and (split == "train" or not any(kept.values())):
            raise UserError(
                f"{parts[split][0].where}: this and every other row of "
                f"{split + ' ' if split else ''}MedMCQA has no answer in column 'cop' "
                "(allowed: an option's number or letter)"
            )
    notes = [
        f"{split + ' ' if split else ''}questions without an answer (cop), left out: "
        f"{len(parts[split]) - len(members)}"
        for split, members in kept.items()
        if len(members) < len(parts[split])
    ]
    if not kept.get("test") and "validation" in kept:
        kept["test"] = kept.pop("validation")
        notes.append("the test set has no answers: the development set is the test split")
    return {split: members for split, members in kept.items() if members}, tuple(notes)


def has_own_columns(parts: Parts) -> bool:
    """Return whether there are records and all have MedMCQA's own columns of options."""
    records = [record for members in parts.values() for record in members]
    return bool(records) and all(f"op{letter}" in r.values for r in records for letter in LETTERS)


def _answer(record: Record) -> int | str | None:
    """Return an answer as a number or a small letter; None where there is none."""
    cop = record.values.get("cop")
    if isinstance(cop, str):
        text = cop.strip().lower().rstrip(".")
        if text in LETTERS:
            return text
        try:
            cop = float(text) if text else None
        except ValueError:
            cop = "no number"
    if cop is None or cop != cop or cop == HIDDEN:
        return None
    if isinstance(cop, float) and cop.is_integer():
        cop = int(cop)
    if isinstance(cop, int) and not isinstance(cop, bool) and cop >= 0:
        return cop
    raise UserError(
        f"{record.where}: cop {record.values['cop']!r} (allowed: an option's number or letter)"
    )


def _answer_base(answers: Iterable[int | str | None]) -> int:
    # The official files count from 1, the hub's from 0.
    numbers = {answer for answer in answers if isinstance(answer, int)}
    if not numbers or 0 in numbers:
        return 0
    if 4 in numbers:
        return 1
    raise UserError("MedMCQA: cop is never 0 or 4: does it count from 0 or from 1?")


def _record(record: Record, base: int | None) -> Record:
    """Return the record with a table's columns; without its answer where no base is given."""
    choices = [record.values.get(f"op{letter}") for letter in LETTERS]
    values = {
        "id": record.values.get("id"),
        "question": record.values.get("question"),
        "choices": choices,
    }
    if base is None:
        return Record(record.where, values)
    answer = _answer(record)
    position = LETTERS.index(answer) if isinstance(answer, str) else (answer or 0) - base
    if not 0 <= position < len(choices):
        raise UserError(f"{record.where}: cop {record.values['cop']!r} is not an option's number")
    label = {"label": choices[position], "rationale": record.values.get("exp")}
    return Record(record.where, values | label)
