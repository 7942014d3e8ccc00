"""Which reader a named set's files need: for training with labels, for `predict` without."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from r2d_ray.data.columns import table_rows
from r2d_ray.data.files import Parts, notes_of, read_json
from r2d_ray.data.official.bioasq import bioasq_unlabelled, read_bioasq
from r2d_ray.data.official.bioasq_files import TASK_B_KEYS
from r2d_ray.data.official.layout import is_json, is_table, json_layout
from r2d_ray.data.official.medmcqa import has_own_columns, medmcqa_parts
from r2d_ray.data.official.pubmedqa import (
    PUBMEDQA_KEYS,
    has_hub_columns,
    hub_examples,
    pubmedqa_examples,
    pubmedqa_of_hub,
    read_pubmedqa,
    unlabelled,
)
from r2d_ray.data.official.pubmedqa_files import find_pubmedqa
from r2d_ray.data.splits import SourceRows
from r2d_ray.data.tables import read_parts

OFFICIAL: Mapping[str, Callable[[Path], SourceRows]] = {
    "bioasq": read_bioasq,
    "pubmedqa": read_pubmedqa,
}
"""Readers of named sets whose files have a layout of their own."""

KEYS: Mapping[str | None, tuple[str, ...]] = {"bioasq": TASK_B_KEYS, "pubmedqa": PUBMEDQA_KEYS}
"""JSON keys with which the files of these sets begin: a file without may be a table instead."""

SAMPLE = "-sample"


def is_official(path: Path, named: str | None) -> bool:
    """Return whether a named set's file or folder has the layout of its reader, and is no table."""
    if named not in OFFICIAL:
        return False
    keys = KEYS.get(named)
    return not is_table(path, keys) if keys else path.is_dir() or is_json(path)


def in_official_columns(parts: Parts, named: str, beside: Path | None) -> SourceRows:
    """Return the rows of a named set's tables: in its own columns, or in those of any table.

    Args:
        parts: Records by split.
        named: The set.
        beside: Where the tables lie; None for the hub.

    Raises:
        UserError: as `table_rows` and the set's reader.
    """
    if named == "pubmedqa" and has_hub_columns(parts):
        return pubmedqa_of_hub(parts, beside)
    if named == "medmcqa":
        own, notes = medmcqa_parts(parts)
        source = table_rows(own, {})
        return replace(source, notes=(*notes_of(parts), *notes, *source.notes))
    return table_rows(parts, {})


def layout_of(path: Path, expected: str | None = None) -> str | None:
    """Return the set whose official layout files have; None of ordinary tables.

    Files are told by their own keys; those that have none of a set are what is `expected`, which
    says what is wrong with them, unless they are tables.

    Args:
        path: A file or folder.
        expected: The set that they should be of.
    """
    if not os.path.lexists(path):
        return None
    if found := json_layout(path):
        return found
    return expected if is_official(path, expected) else None


def table_layout(parts: Parts) -> str | None:
    """Return the set in whose own columns these records are; None of any other table."""
    if has_hub_columns(parts):
        return "pubmedqa"
    return "medmcqa" if has_own_columns(parts) else None


def unlabelled_rows(path: Path, named: str) -> SourceRows:
    """Return the rows of official files that a model is asked to label.

    Of BioASQ the yes/no questions of any Task B file or folder, of PubMedQA every row of an
    official file (PQA-U, a test set), of a fold's folder or of the public copy, of MedMCQA every
    question in its own columns. Rows have their official ids and neither labels nor rationales,
    whether the files give them or not; `notes` counts what is left out.

    Args:
        path: A file or folder.
        named: The set whose layout it has.

    Raises:
        UserError: naming file and entry for what is no row of its layout.
    """
    if named == "bioasq":
        return bioasq_unlabelled(path)
    if named == "pubmedqa" and layout_of(path, named):
        return _pubmedqa_unlabelled(path)
    parts = read_parts(path)
    if named == "pubmedqa":
        return SourceRows(unlabelled(hub_examples(parts)))
    own, _ = medmcqa_parts(parts, answered=False)
    return SourceRows(table_rows(own, {}, labelled=False).rows)


def _pubmedqa_unlabelled(path: Path) -> SourceRows:
    files = find_pubmedqa(path).files if path.is_dir() else {"": path}
    rows = (pubmedqa_examples(read_json(file), str(file)) for file in files.values())
    return SourceRows(unlabelled(tuple(row for part in rows for row in part)))
