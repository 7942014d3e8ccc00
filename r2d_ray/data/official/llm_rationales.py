"""Rationales written by language models: `llm_rationales*.jsonl` beside official files."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from r2d_ray.data.examples import normalised
from r2d_ray.data.files import FilledText, Text, checked, read_jsonl
from r2d_ray.data.reading.targets import check_source_name
from r2d_ray.data.splits import Rows
from r2d_ray.errors import UserError

LLM_RATIONALES = "llm_rationales*.jsonl"


class _Written(BaseModel):
    id: FilledText
    source: FilledText
    text: Text
    label: str | None = None


_WRITTEN = TypeAdapter(_Written)


def with_written(rows: Rows, beside: Path) -> tuple[Rows, tuple[str, ...]]:
    """Add rationales written by others, by id, where the label they argue for is the gold one.

    A text that argues for another label is left out; its row stays, in every split.
    """
    gold = {row.id: row.label for row in rows}
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    held: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    folder = beside if beside.is_dir() else beside.parent
    for file in sorted(folder.glob(LLM_RATIONALES)):
        for record in read_jsonl(file):
            written = checked(_WRITTEN, record.values, record.where)
            check_source_name(written.source, record.where)
            if (written.id, written.source) in seen:
                raise UserError(
                    f"{record.where}: {written.source!r} of id {written.id!r} appears twice"
                )
            seen.add((written.id, written.source))
            if written.id in gold and written.text:
                held[written.source] += 1
                if normalised(written.label or "") == normalised(gold[written.id]):
                    texts[written.id][written.source] = written.text
    used = Counter(source for sources in texts.values() for source in sources)
    shares = ", ".join(f"{source} {used[source]} of {held[source]}" for source in sorted(held))
    notes = (f"LLM texts whose label matches the gold label: {shares}",) if held else ()
    added = tuple(
        replace(row, rationales={**row.rationales, **texts.get(row.id, {})}) for row in rows
    )
    return added, notes
