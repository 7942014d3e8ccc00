"""PubMedQA as examples: its official files and folds, and the columns of its public copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from r2d_ray.data.examples import Example, normalised
from r2d_ray.data.files import FilledText, Parts, Record, Text, checked, parse_json, read_json
from r2d_ray.data.official.bioasq_files import without_nulls
from r2d_ray.data.official.llm_rationales import LLM_RATIONALES, with_written
from r2d_ray.data.official.pubmedqa_files import find_pubmedqa, official_test_ids
from r2d_ray.data.reading.cells import find
from r2d_ray.data.splits import Rows, SourceRows
from r2d_ray.errors import UserError
from r2d_ray.storage import printable

PUBMEDQA_KEYS = ("QUESTION", "CONTEXTS", "LONG_ANSWER")
"""Keys of an entry in the official layout, `{pubmed id: {QUESTION: …}}`."""

CONTEXTS = "context.contexts"

NO_IDS = "no test_ground_truth.json: the test split is drawn"
NO_IDS_OF_HUB = "the hub's copy has no official test ids: the test split is drawn"


class _Abstract(BaseModel):
    QUESTION: FilledText
    CONTEXTS: list[Text]
    LONG_ANSWER: Text = ""
    final_decision: Text = ""


_ABSTRACTS = TypeAdapter(dict[str, _Abstract])
_ABSTRACT = TypeAdapter(_Abstract)


def read_pubmedqa(path: Path) -> SourceRows:
    """Return the rows of PubMedQA's official files: `ori_pqal.json`, or a fold of its script.

    Context: the abstract's parts without their headings, joined by a space (headings differ from
    journal to journal and cost tokens). Source `human`: the long answer. A fold's files name the
    splits; beside the published file the official test ids are read from `test_ground_truth.json`
    or `test_set.json`, where there is one. `ori_pqaa.json` reads alike.

    Raises:
        UserError: naming file and entry for what is no PubMedQA row, for unknown test ids, for an
            id in two of a fold's files, and where no row has a decision.
    """
    found = find_pubmedqa(path)
    rows: list[Example] = []
    assigned: dict[str, str] = {}
    notes: list[str] = []
    for split, file in found.files.items():
        read, without = _labelled(pubmedqa_examples(read_json(file), str(file)), str(file))
        twice = assigned.keys() & {row.id for row in read}
        if twice:
            row_id = min(twice)
            raise UserError(f"{file}: id {row_id!r} is also in {found.files[assigned[row_id]]}")
        rows += read
        notes += without
        assigned |= dict.fromkeys((row.id for row in read if split), split)
    if "" in found.files:
        return _with_test_ids(tuple(rows), found.first, notes, NO_IDS)
    written, added = with_written(tuple(rows), _folder_of_texts(found.first))
    names = ", ".join(f"{split} {file.name}" for split, file in found.files.items())
    drawn = [] if "test" in found.files else ["no test_set.json: the test split is drawn"]
    return SourceRows(written, assigned, (*notes, *added, f"splits: {names}", *drawn))


def _folder_of_texts(file: Path) -> Path:
    folder = file.parent
    return folder if any(folder.glob(LLM_RATIONALES)) else folder.parent


def _with_test_ids(rows: Rows, file: Path, notes: list[str], no_ids: str) -> SourceRows:
    rows, added = with_written(rows, file)
    notes = [*notes, *added]
    ids = official_test_ids(file)
    if ids is None:
        return SourceRows(rows, {}, (*notes, no_ids))
    ids_file, test_ids = ids
    known = {row.id for row in rows}
    if known.isdisjoint(test_ids):
        return SourceRows(rows, {}, (*notes, f"{ids_file.name} is for another set: test is drawn"))
    unknown_ids = [row_id for row_id in test_ids if row_id not in known]
    if unknown_ids:
        raise UserError(f"{ids_file}: id {unknown_ids[0]!r} is not in {file.name}")
    return SourceRows(rows, dict.fromkeys(test_ids, "test"), tuple(notes))


def pubmedqa_examples(content: Any, where: str) -> Rows:
    """Return the examples of PubMedQA's official layout; a row without a decision has no label."""
    abstracts = checked(_ABSTRACTS, without_nulls(content), where)
    return tuple(_example(row_id, abstract, where) for row_id, abstract in abstracts.items())


def _example(row_id: str, abstract: _Abstract, where: str) -> Example:
    label = normalised(abstract.final_decision)
    if label not in ("yes", "no", "maybe", ""):
        raise UserError(
            f"{where}: {printable(row_id)}.final_decision {label!r} (allowed: yes, no, maybe)"
        )
    human = {"human": abstract.LONG_ANSWER} if abstract.LONG_ANSWER else {}
    context = " ".join(filter(None, abstract.CONTEXTS))
    return Example(row_id, row_id, abstract.QUESTION, context, label, human)


def _labelled(rows: Rows, where: str) -> tuple[Rows, list[str]]:
    labelled = tuple(row for row in rows if row.label)
    if rows and not labelled:
        raise UserError(
            f"{where}: none of its rows ({len(rows)}) has a final_decision, as in PQA-U "
            "(to train: PQA-L or PQA-A; to label these: r2d_ray.predict)"
        )
    without = len(rows) - len(labelled)
    return labelled, [f"rows without a final_decision, left out: {without}"] if without else []


def has_hub_columns(parts: Parts) -> bool:
    """Return whether these records have the columns of PubMedQA's public copy."""
    first = next((record.values for records in parts.values() for record in records), {})
    known = find(first, CONTEXTS) is not None or "final_decision" in first
    return known and {"pubid", "question"} <= first.keys()


def _contexts_of(values: Mapping[str, Any]) -> Any:
    nested = find(values, CONTEXTS)
    plain = values.get("context")
    return plain if nested is None and not isinstance(plain, Mapping) else nested


def pubmedqa_of_hub(parts: Parts, beside: Path | None = None) -> SourceRows:
    """Return the rows of the public copy, which names neither test ids nor splits.

    A copy on disk, at `beside`, may have files of several splits, or the test ids beside it.

    Raises:
        UserError: as `read_pubmedqa`, naming the record.
    """
    rows = hub_examples(parts)
    labelled, notes = _labelled(rows, str(beside or "hub:pubmedqa"))
    splits = [split for split, records in parts.items() for _ in records]
    if len(set(splits)) > 1:
        kept = {row.id for row in labelled}
        named = {row.id: s for row, s in zip(rows, splits, strict=True) if row.id in kept and s}
        return SourceRows(labelled, named, tuple(notes))
    if beside is not None:
        file = beside / "*" if beside.is_dir() else beside
        return _with_test_ids(labelled, file, notes, NO_IDS_OF_HUB)
    return SourceRows(labelled, {}, (*notes, NO_IDS_OF_HUB))


def hub_examples(parts: Parts) -> Rows:
    """Return the examples of the public copy; a row without a decision has no label."""
    seen: dict[str, str] = {}
    rows = []
    for record in (record for records in parts.values() for record in records):
        row = _hub_example(record)
        if row.id in seen:
            raise UserError(f"{record.where}: id {row.id!r} was already used at {seen[row.id]}")
        seen[row.id] = record.where
        rows.append(row)
    return tuple(rows)


def _hub_example(record: Record) -> Example:
    contexts = _contexts_of(record.values)
    if isinstance(contexts, str):  # a CSV has objects as JSON, or the parts joined already
        is_json = contexts.lstrip().startswith(("{", "["))
        inner = parse_json(contexts, f"{record.where}: context") if is_json else [contexts]
        contexts = inner.get("contexts") if isinstance(inner, dict) else inner
    values = {
        "QUESTION": record.values.get("question"),
        "CONTEXTS": contexts,
        "LONG_ANSWER": record.values.get("long_answer"),
        "final_decision": record.values.get("final_decision"),
    }
    number = record.values.get("pubid")
    row_id = str(int(number) if isinstance(number, float) and number.is_integer() else number)
    abstract = checked(_ABSTRACT, without_nulls(values), record.where)
    return _example(row_id, abstract, record.where)


def unlabelled(rows: Rows) -> Rows:
    """Return the rows without label and rationale."""
    return tuple(replace(row, label="", rationales={}) for row in rows)
