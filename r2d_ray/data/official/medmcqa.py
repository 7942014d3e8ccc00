"""MedMCQA's own columns as those of a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from r2d_ray.data.columns import Parts
from r2d_ray.data.files import Record
from r2d_ray.errors import UserError

LETTERS = ("a", "b", "c", "d")


def medmcqa_parts(parts: Parts) -> Parts:
    """Return MedMCQA's records (`opa` … `opd`, `cop`, `exp`) with the columns of a table.

    Its official test set has no answers, so its development set becomes test. Records of another
    layout pass unchanged.

    Raises:
        UserError: if the answers' numbers do not tell whether they count from 0 or from 1.
    """
    records = [record for members in parts.values() for record in members]
    if not all("opa" in record.values for record in records):
        return parts
    base = _answer_base(record.values.get("cop") for record in records)
    answered = {
        split: [_medmcqa_record(record, base) for record in members if _answer(record) is not None]
        for split, members in parts.items()
    }
    if not answered.get("test") and "validation" in answered:
        answered["test"] = answered.pop("validation")
    return {split: members for split, members in answered.items() if members}


def _answer(record: Record) -> int | None:
    cop = record.values.get("cop")
    if cop in LETTERS:
        return LETTERS.index(cop)
    return cop if isinstance(cop, int) and cop >= 0 else None


def _answer_base(answers: Iterable[Any]) -> int:
    # The official files count from 1, the hub's from 0 or by letter.
    numbers = {answer for answer in answers if isinstance(answer, int) and answer >= 0}
    if not numbers or 0 in numbers:
        return 0
    if 4 in numbers:
        return 1
    raise UserError("MedMCQA: cop is never 0 or 4: does it count from 0 or from 1?")


def _medmcqa_record(record: Record, base: int) -> Record:
    choices = [record.values.get(f"op{letter}") for letter in LETTERS]
    position = (_answer(record) or 0) - base
    if not 0 <= position < len(choices):
        raise UserError(f"{record.where}: cop {record.values['cop']!r} is not an option's number")
    values = {
        "id": record.values.get("id"),
        "question": record.values.get("question"),
        "choices": choices,
        "label": choices[position],
        "rationale": record.values.get("exp"),
    }
    return Record(record.where, values)
