"""Official files of PubMedQA, and its public copy, as examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from r2d_ray.data.columns import Parts, find
from r2d_ray.data.examples import Example, normalised
from r2d_ray.data.files import FilledText, Text, checked, read_json
from r2d_ray.data.official.llm_rationales import with_written
from r2d_ray.data.splits import Rows, SourceRows
from r2d_ray.errors import UserError
from r2d_ray.storage import printable

PUBMEDQA_TEST_IDS = "test_ground_truth.json"


class _Abstract(BaseModel):
    QUESTION: FilledText
    CONTEXTS: list[Text]
    LONG_ANSWER: Text = ""
    final_decision: FilledText


_ABSTRACTS = TypeAdapter(dict[str, _Abstract])
_LABELS = TypeAdapter(dict[str, str])


def read_pubmedqa(path: Path) -> SourceRows:
    """Return the rows of a PubMedQA file (`ori_pqal.json`; `ori_pqaa.json` reads alike).

    Context: the abstract's parts without their headings, joined by a space (headings differ from
    journal to journal and cost tokens). Source `human`: the long answer. The official test ids
    are read from `test_ground_truth.json` beside it, where there is one.

    Raises:
        UserError: naming file and entry for what is no PubMedQA row, or for unknown test ids.
    """
    file = _pubmedqa_file(path)
    rows, notes = with_written(pubmedqa_examples(read_json(file), str(file)), file)
    ids_file = file.parent / PUBMEDQA_TEST_IDS
    if not ids_file.exists():
        return SourceRows(rows, {}, (*notes, f"no {PUBMEDQA_TEST_IDS}: the test split is drawn"))
    test_ids = checked(_LABELS, read_json(ids_file), str(ids_file))
    known = {row.id for row in rows}
    if known.isdisjoint(test_ids):
        return SourceRows(rows, {}, (*notes, f"{ids_file.name} is for another set: test is drawn"))
    unknown_ids = [row_id for row_id in test_ids if row_id not in known]
    if unknown_ids:
        raise UserError(f"{ids_file}: id {unknown_ids[0]!r} is not in {file.name}")
    return SourceRows(rows, dict.fromkeys(test_ids, "test"), notes)


def _pubmedqa_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("ori_pqa*.json"))
    labelled = [file for file in files if file.name == "ori_pqal.json"]
    if len(labelled or files) != 1:
        raise UserError(f"{path}: no ori_pqal.json in this folder (official PubMedQA PQA-L)")
    return (labelled or files)[0]


def pubmedqa_examples(content: Any, where: str) -> Rows:
    """Return the examples of PubMedQA's official layout, `{pubmed id: {QUESTION: …}}`."""
    abstracts = checked(_ABSTRACTS, content, where)
    rows = []
    for row_id, abstract in abstracts.items():
        label = normalised(abstract.final_decision)
        if label not in ("yes", "no", "maybe"):
            raise UserError(
                f"{where}: {printable(row_id)}.final_decision {label!r} (allowed: yes, no, maybe)"
            )
        human = {"human": abstract.LONG_ANSWER} if abstract.LONG_ANSWER else {}
        context = " ".join(filter(None, abstract.CONTEXTS))
        rows.append(Example(row_id, row_id, abstract.QUESTION, context, label, human))
    return tuple(rows)


def pubmedqa_of_hub(parts: Parts) -> SourceRows:
    """Return the rows of the hub's copy, which names neither test ids nor splits."""
    content = {
        str(record.values.get("pubid")): {
            "QUESTION": record.values.get("question"),
            "CONTEXTS": find(record.values, "context.contexts"),
            "LONG_ANSWER": record.values.get("long_answer"),
            "final_decision": record.values.get("final_decision"),
        }
        for records in parts.values()
        for record in records
    }
    note = "the hub's copy has no official test ids: the test split is drawn"
    return SourceRows(pubmedqa_examples(content, "hub:pubmedqa"), {}, (note,))
