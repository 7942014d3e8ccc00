"""Official files of BioASQ Task B as examples; any edition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from r2d_ray.data.examples import Example, normalised
from r2d_ray.data.files import checked
from r2d_ray.data.official.bioasq_files import Batch, CitedQuestion, Question, read_batches
from r2d_ray.data.official.layout import listed
from r2d_ray.data.official.llm_rationales import with_written
from r2d_ray.data.rows.draw import components
from r2d_ray.data.splits import Rows, SourceRows
from r2d_ray.errors import UserError

_CITED = TypeAdapter(CitedQuestion)
_QUESTION = TypeAdapter(Question)


class Edition(NamedTuple):
    """Which edition a file holds; editions up to it if it is a training file."""

    number: int
    golden: bool


@dataclass(slots=True)
class _Collected:
    """The questions of a folder's files, each once, and what was met on the way."""

    questions: dict[str, CitedQuestion] = field(default_factory=dict)
    origin: dict[str, Path] = field(default_factory=dict)
    again: int = 0
    unanswered: set[str] = field(default_factory=set)


def read_bioasq(path: Path) -> SourceRows:
    """Return the yes/no questions of a BioASQ Task B file, or of a folder of editions.

    Context: the snippets, joined by a space. Source `human`: the first ideal answer. Several
    editions name the splits: the newest is test and, of three or more, the one before validation.
    A question of several files is read once, as the newest has it. Questions without an answer
    and files that are not Task B's are left out. Notes say how many.

    Raises:
        UserError: naming file and entry for what is no Task B question, for answers that differ,
            and where no question has an answer.
    """
    batches, foreign = read_batches(path)
    editions = {
        file: _edition(file.relative_to(path)) if file != path else None for file in batches
    }
    found = _collected(batches, editions)
    unanswered = len(found.unanswered - found.questions.keys())
    if not found.questions and unanswered:
        raise UserError(
            f"{path}: none of its {unanswered} yes/no questions has an answer "
            "(to train: golden or training files; to label these: r2d_ray.predict)"
        )
    if not found.questions:
        raise UserError(f"{path}: no questions of type yesno")
    rows, note = with_written(_bioasq_examples(found.questions), path)
    assigned = _edition_splits({row.id: editions[found.origin[row.id]] for row in rows}, path)
    names = [f"{file.relative_to(path)} ({kind})" for file, kind in foreign.items()]
    others = sum(batch.others for batch in batches.values())
    counted = {
        f"questions of other types, not used: {others}": others,
        "questions that several files have, read once as the newest edition has them: "
        f"{found.again} repeats": found.again,
        f"yes/no questions without an answer, left out: {unanswered}": unanswered,
        f"JSON files that are not Task B's, left out: {len(names)}, {listed(names)}": len(names),
    }
    return SourceRows(rows, assigned, (*(text for text, count in counted.items() if count), *note))


def bioasq_unlabelled(path: Path) -> SourceRows:
    """Return the yes/no questions of test files, answered or not, each once, without labels.

    Raises:
        UserError: as `read_batches`, and where there is no yes/no question.
    """
    batches, foreign = read_batches(path)
    rows = {}
    for batch in batches.values():
        for where, raw in batch.yesno.items():
            question = checked(_QUESTION, raw, where)
            rows[question.id] = Example(
                question.id, question.id, question.body, question.context, ""
            )
    if not rows:
        raise UserError(f"{path}: no questions of type yesno")
    others = sum(batch.others for batch in batches.values())
    again = sum(len(batch.yesno) for batch in batches.values()) - len(rows)
    counted = {
        f"questions of other types, not used: {others}": others,
        f"repeats of questions, left out: {again}": again,
        f"JSON files that are not Task B's, left out: {len(foreign)}, "
        f"{listed(str(file.relative_to(path)) for file in foreign)}": len(foreign),
    }
    return SourceRows(
        tuple(rows.values()), {}, tuple(text for text, count in counted.items() if count)
    )


def _collected(
    batches: Mapping[Path, Batch], editions: Mapping[Path, Edition | None]
) -> _Collected:
    found = _Collected()
    for file, batch in batches.items():
        for where, raw in batch.yesno.items():
            question = _answered(checked(_CITED, raw, where), where)
            if not question.exact_answer:
                found.unanswered.add(question.id)
                continue
            known = found.questions.get(question.id)
            if known is not None:
                _check_repeat(question, known, where, file, found.origin[question.id])
                found.again += 1
                if not _newer(editions[file], editions[found.origin[question.id]]):
                    continue
            found.questions[question.id], found.origin[question.id] = question, file
    return found


def _answered(question: CitedQuestion, where: str) -> CitedQuestion:
    answer = normalised(question.exact_answer)
    if answer not in ("", "yes", "no"):
        raise UserError(f"{where}: exact_answer {question.exact_answer!r} (allowed: yes, no)")
    return question.model_copy(update={"exact_answer": answer})


def _check_repeat(question: Question, known: Question, where: str, file: Path, first: Path) -> None:
    if file == first:
        raise UserError(f"{where}: id {question.id!r} appears twice in this file")
    if question.exact_answer != known.exact_answer:
        raise UserError(
            f"{where}: id {question.id!r} is answered {question.exact_answer!r}, "
            f"but {known.exact_answer!r} in {first}"
        )


def _newer(one: Edition | None, other: Edition | None) -> bool:
    return one is not None and (other is None or one > other)


def _bioasq_examples(questions: Mapping[str, CitedQuestion]) -> Rows:
    # Questions that cite a common document, directly or through others, are one group. Over
    # editions 7 to 11 that costs 8 of 409 training rows and 2 of 123 validation rows; linking by
    # the first document alone would keep 4 + 2 more and let shared documents into two splits.
    documents = [
        [url.rstrip("/").rpartition("/")[2] for url in question.documents]
        for question in questions.values()
    ]
    numbers = components(documents)
    first: dict[int, str] = {}
    for number, row_id in sorted(zip(numbers, questions, strict=True)):
        first.setdefault(number, row_id)
    return tuple(
        Example(
            id=question.id,
            group=first[number],
            question=question.body,
            context=question.context,
            label=question.exact_answer,
            rationales={"human": question.ideal_answer} if question.ideal_answer else {},
        )
        for question, number in zip(questions.values(), numbers, strict=True)
    )


def edition_of(path: Path) -> int | None:
    """Return the edition that a file's name, else its folders' names, tell (`11B1_golden.json`).

    A training file (`training11b.json`) holds the editions before its number.
    """
    edition = _edition(path)
    return edition.number if edition else None


def _edition(path: Path) -> Edition | None:
    for part in reversed(path.parts):
        match = re.search(r"(?<!\d)(\d{1,2})b", part, re.IGNORECASE)
        if match:
            training = "train" in part.lower()
            return Edition(int(match[1]) - training, not training)
    return None


def _edition_splits(editions: Mapping[str, Edition | None], path: Path) -> dict[str, str]:
    # What a training file has beyond the golden files of its last edition is older than these.
    known = sorted({edition for edition in editions.values() if edition is not None})
    if len(known) < 2:
        return {}
    if None in editions.values():
        raise UserError(
            f"{path}: some file names give an edition (like 11B1_golden.json), some do not"
        )
    names = {known[-1]: "test"}
    if len(known) > 2:
        names[known[-2]] = "validation"
    return {
        row_id: names.get(edition, "train")
        for row_id, edition in editions.items()
        if edition is not None
    }
