"""Official files of BioASQ Task B as examples; any edition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, TypeAdapter

from r2d_ray.data.examples import Example, normalised
from r2d_ray.data.files import FilledText, Text, checked, read_json
from r2d_ray.data.official.llm_rationales import with_written
from r2d_ray.data.splits import Rows, SourceRows, components
from r2d_ray.errors import UserError


def _first(value: object) -> object:
    """Editions differ: an answer is a text, a list of texts, or a list of lists."""
    while isinstance(value, list):
        value = value[0] if value else ""
    return value


FirstText = Annotated[Text, BeforeValidator(_first)]


class _Snippet(BaseModel):
    text: Text


class _Question(BaseModel):
    id: FilledText
    body: FilledText
    exact_answer: FirstText
    ideal_answer: FirstText = ""
    snippets: list[_Snippet] = []
    documents: list[str] = []


class _AnyQuestion(BaseModel):
    type: str


class _Batch(BaseModel):
    questions: list[dict[str, Any]]


_BATCH = TypeAdapter(_Batch)
_TYPE = TypeAdapter(_AnyQuestion)
_QUESTION = TypeAdapter(_Question)


def read_bioasq(path: Path) -> SourceRows:
    """Return the yes/no questions of a BioASQ Task B file, or of a folder of editions.

    Context: the snippets, joined by a space. Source `human`: the first ideal answer. Several
    editions name the splits: the newest is test and, of three or more, the one before validation.

    Raises:
        UserError: naming file and entry for what is no Task B question with its answer.
    """
    files = [path]
    if path.is_dir():
        inner = sorted(file.relative_to(path) for file in path.rglob("*.json"))
        files = [path / f for f in inner if not any(part.startswith(".") for part in f.parts)]
        if not files:
            raise UserError(f"{path}: no BioASQ file (*.json) in this folder")
    questions: dict[str, _Question] = {}
    origin: dict[str, Path] = {}
    others = 0
    for file in files:
        found, other = _yesno_questions(file)
        others += other
        for question in found:
            if question.id in origin:
                raise UserError(f"{file}: id {question.id!r} is also in {origin[question.id]}")
            questions[question.id], origin[question.id] = question, file
    if not questions:
        raise UserError(f"{path}: no questions of type yesno")
    editions = {
        file: edition_of(file.relative_to(path)) if file != path else None for file in files
    }
    rows, note = with_written(_bioasq_examples(questions), path)
    assigned = _edition_splits({row.id: editions[origin[row.id]] for row in rows}, path)
    notes = (f"{others} questions of other types are not used",) if others else ()
    return SourceRows(rows, assigned, notes + note)


def _yesno_questions(file: Path) -> tuple[list[_Question], int]:
    batch = checked(_BATCH, read_json(file), str(file))
    yesno = []
    for number, raw in enumerate(batch.questions):
        where = f"{file}: questions.{number}"
        if checked(_TYPE, raw, where).type == "yesno":
            question = checked(_QUESTION, raw, where)
            answer = normalised(question.exact_answer)
            if answer not in ("yes", "no"):
                raise UserError(
                    f"{where}: exact_answer {question.exact_answer!r} (allowed: yes, no)"
                )
            yesno.append(question.model_copy(update={"exact_answer": answer}))
    return yesno, len(batch.questions) - len(yesno)


def _bioasq_examples(questions: Mapping[str, _Question]) -> Rows:
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
            context=" ".join(snippet.text for snippet in question.snippets if snippet.text),
            label=question.exact_answer,
            rationales={"human": question.ideal_answer} if question.ideal_answer else {},
        )
        for question, number in zip(questions.values(), numbers, strict=True)
    )


def edition_of(path: Path) -> int | None:
    """Return the edition that a file's name, else its folders' names, tell (`11B1_golden.json`).

    A training file (`training11b.json`) holds the editions before its number.
    """
    for part in reversed(path.parts):
        match = re.search(r"(?<!\d)(\d{1,2})b", part, re.IGNORECASE)
        if match:
            return int(match[1]) - ("train" in part.lower())
    return None


def _edition_splits(editions: Mapping[str, int | None], path: Path) -> dict[str, str]:
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
