"""Files of BioASQ Task B as yes/no questions, and what a file is that is none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, TypeAdapter

from r2d_ray.data.examples import normalised
from r2d_ray.data.files import FilledText, Text, checked, read_json
from r2d_ray.data.official.layout import has_key, json_files
from r2d_ray.errors import UserError

TASK_B_KEYS = ("questions",)
SYNERGY_KEYS = {"answer_ready", "answerReady"}


def _first(value: object) -> object:
    """Editions differ: an answer is a text, a list of texts, or a list of lists."""
    while isinstance(value, list):
        value = value[0] if value else ""
    return ("no", "yes")[value] if isinstance(value, bool) else value


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


FirstText = Annotated[Text, BeforeValidator(_first)]
Key = Annotated[FilledText, BeforeValidator(_number_as_text)]


class _Snippet(BaseModel):
    text: Text = ""


class Question(BaseModel):
    """A yes/no question; `exact_answer` is empty where the file does not give it."""

    id: Key
    body: FilledText
    exact_answer: FirstText = ""
    ideal_answer: FirstText = ""
    snippets: list[_Snippet] = []

    @property
    def context(self) -> str:
        """The snippets, joined by a space."""
        return " ".join(snippet.text for snippet in self.snippets if snippet.text)


class CitedQuestion(Question):
    """A question of Task B proper, whose documents are addresses."""

    documents: list[str] = []


class _AnyQuestion(BaseModel):
    type: str


class _Batch(BaseModel):
    questions: list[dict[str, Any]]


_BATCH = TypeAdapter(_Batch)
_TYPE = TypeAdapter(_AnyQuestion)


@dataclass(frozen=True, slots=True)
class Batch:
    """A file's yes/no questions as they are written, by place, and how many of other types."""

    yesno: Mapping[str, Mapping[str, Any]]
    others: int


def read_batches(path: Path) -> tuple[dict[Path, Batch], dict[Path, str]]:
    """Return the batches of a Task B file, or of a folder and its folders, in the files' order.

    Returns:
        The batches, and what the folder's other JSON files are (Synergy feedback, …).

    Raises:
        UserError: for a file alone, or a whole folder, that is no batch; for a batch of the folder
            that is torn; for a question without a type.
    """
    if not path.is_dir():
        content = read_json(path)
        kind = _foreign(content)
        if kind:
            checked(_BATCH, content, str(path))
            raise UserError(f"{path}: {kind}, expected a golden, training or test file of Task B")
        return {path: _batch(content, path)}, {}
    found: dict[Path, Batch] = {}
    foreign: dict[Path, str] = {}
    for file in json_files(path):
        try:
            content = read_json(file)
        except UserError:
            # A torn batch is a loss; what never was one is not.
            if has_key(file, TASK_B_KEYS) or "golden" in file.name.lower():
                raise
            content = None
        kind = _foreign(content)
        if kind:
            foreign[file] = kind
        else:
            found[file] = _batch(content, file)
    if not found:
        raise UserError(f"{path}: no BioASQ file (*.json with questions of Task B) in this folder")
    return found, foreign


def _foreign(content: Any) -> str | None:
    """Return what a JSON file is if it is no batch of Task B."""
    questions = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(questions, list):
        return "no list of questions"
    entries = [entry for entry in questions if isinstance(entry, dict)]
    if questions and not entries:
        return "no list of questions"
    if any(SYNERGY_KEYS & entry.keys() or _has_feedback(entry) for entry in entries):
        return "a file of BioASQ Synergy"
    if {"username", "system"} & content.keys() or (
        entries and not any("body" in entry for entry in entries)
    ):
        return "a system's submission"
    return None


def _has_feedback(entry: Mapping[str, Any]) -> bool:
    parts = [
        part
        for key in ("documents", "snippets")
        if isinstance(entry.get(key), list)
        for part in entry[key]
    ]
    return any(isinstance(part, dict) and "golden" in part for part in parts)


def _batch(content: Any, file: Path) -> Batch:
    batch = checked(_BATCH, content, str(file))
    yesno = {}
    for number, raw in enumerate(batch.questions):
        where = f"{file}: questions.{number}"
        entry = without_nulls(raw)
        if normalised(checked(_TYPE, entry, where).type).replace(" ", "") == "yesno":
            yesno[where] = entry
    return Batch(yesno, len(batch.questions) - len(yesno))


def without_nulls(value: Any) -> Any:
    """Return a JSON value whose null and NaN members are left out: they are missing values."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if not _null(inner)}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value if not _null(inner)]
    return value


def _null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
