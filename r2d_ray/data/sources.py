"""Where a data set comes from, and the one way from its name to checked splits.

A named set comes from the first that applies: `--data PATH`; `$R2D_DATA/<dataset>`; under profile
`paper` the hub's public copy; under `embedded` the embedded sample. `embedded` never touches the
network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from r2d_ray.data.columns import Parts, table_rows
from r2d_ray.data.examples import Provenance, Splits, check_splits
from r2d_ray.data.files import TABLE_READERS
from r2d_ray.data.named_sets import NAMED_SETS, NOT_STATED, NamedSet
from r2d_ray.data.official.bioasq import read_bioasq
from r2d_ray.data.official.medmcqa import medmcqa_parts
from r2d_ray.data.official.pubmedqa import pubmedqa_of_hub, read_pubmedqa
from r2d_ray.data.splits import (
    SourceRows,
    fixed_labels,
    limit_rationales,
    limit_rows,
    remove_leaks,
    split_rows,
)
from r2d_ray.data.tables import hub_parts, read_parts
from r2d_ray.errors import UserError, unknown

HUB = "hub:"
OFFICIAL = {"bioasq": read_bioasq, "pubmedqa": read_pubmedqa}
"""Readers of named sets whose files have a layout of their own."""


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What the user asked for.

    Args:
        dataset: A named set, the path of a file or folder, or `hub:NAME@REVISION`.
        data: Where a named set lies (`--data`).
        profile: `embedded` or `paper`.
        columns: Target to source column (`parse_columns`).
        limit: Most rows of each split, at least 1; None takes all.
        seed: Seed of the hash that draws splits and the limit's rows.
        sample_rows: Rows of an embedded sample's train, validation and test; None = its default.
        rationale_rows: Most training rows that keep their rationales; None takes all.
    """

    dataset: str
    data: Path | None = None
    profile: str = "embedded"
    columns: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    seed: int = 0
    sample_rows: tuple[int, int, int] | None = None
    rationale_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """Where the rows are: a path (folder, file), `NAME@REVISION` (hub) or a sample's name."""

    kind: Literal["folder", "file", "hub", "sample"]
    address: str
    named: str | None = None

    @property
    def name(self) -> str:
        """The name of the set in every record: safe as a part of a file name."""
        if self.kind == "sample":
            return f"{self.address}-sample"
        stem = Path(self.address).stem if self.kind != "hub" else self.address
        return self.named or re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "data"


def locate(request: DataRequest) -> Location:
    """Return where the rows of this request are, without opening them.

    Raises:
        UserError: for an unknown name, a path that does not exist, a hub set under `embedded` or
            without revision, or a named set that is not found, saying how to get it.
    """
    name = request.dataset
    if name in NAMED_SETS:
        return _locate_named(request, NAMED_SETS[name])
    if request.data is not None:
        raise UserError(f"--data {request.data}: for a named set only, not --dataset {name}")
    if name.startswith(HUB):
        address, at, revision = name.removeprefix(HUB).partition("@")
        if not (address and at and revision):
            raise UserError(f"--dataset {name!r}: expected hub:NAME@REVISION (a commit or a tag)")
        if request.profile == "embedded":
            raise UserError(
                f"--dataset {name!r}: needs --profile paper (embedded never uses the network)"
            )
        return Location("hub", f"{address}@{revision}")
    path = Path(name)
    if path.suffix.lower() in TABLE_READERS or os.path.exists(path) or "/" in name:
        return _path("--dataset", path, None)
    raise unknown("dataset", name, [*NAMED_SETS, "FILE", "hub:NAME@REVISION"])


def _locate_named(request: DataRequest, known: NamedSet) -> Location:
    name = request.dataset
    if request.data is not None:
        return _path("--data", request.data, name)
    root = os.environ.get("R2D_DATA")
    if root:
        if not os.path.isdir(root):
            raise UserError(f"R2D_DATA={root}: no such folder")
        if os.path.exists(Path(root) / name):
            return _path("R2D_DATA:", Path(root) / name, name)
    if request.profile == "paper" and known.hub:
        return Location("hub", f"{known.hub[0]}@main", name)
    if request.profile == "embedded" and known.has_sample:
        return Location("sample", name, name)
    raise UserError(
        f"--dataset {name}: not available with --profile {request.profile}: {known.how_to_get}, "
        "then pass --data PATH"
    )


def _path(flag: str, path: Path, named: str | None) -> Location:
    if os.path.isdir(path):  # unlike Path.is_dir, False for a name that is too long
        return Location("folder", str(path), named)
    if os.path.isfile(path):
        return Location("file", str(path), named)
    raise UserError(f"{flag} {path}: no such file or folder")


def load_splits(request: DataRequest) -> Splits:
    """Return the checked splits of a request: located, read, split, without leaks, limited.

    Raises:
        UserError: in one line, for anything wrong with the request or its rows.
    """
    if request.limit is not None and request.limit < 1:
        raise UserError(f"--limit {request.limit}: expected at least 1")
    if request.rationale_rows is not None and request.rationale_rows < 1:
        raise UserError(f"--rationale-rows {request.rationale_rows}: expected at least 1")
    location = locate(request)
    if request.sample_rows is not None and location.kind != "sample":
        raise UserError(
            f"--sample-rows: {location.name} is not an embedded sample (allowed: --limit)"
        )
    splits = _sample(request, location) if location.kind == "sample" else _read(request, location)
    train, validation, test, dropped = remove_leaks(splits.train, splits.validation, splits.test)
    labels = splits.labels or fixed_labels((*train, *validation, *test))
    if request.limit is not None:
        if request.limit < len(labels):
            raise UserError(
                f"--limit {request.limit}: {splits.name} has {len(labels)} labels "
                "(allowed: as many or more)"
            )
        train, validation, test = (
            limit_rows(rows, request.limit, request.seed) for rows in (train, validation, test)
        )
    provenance = splits.provenance
    if request.rationale_rows is not None:
        train = limit_rationales(train, request.rationale_rows, request.seed)
        note = f"training rows that keep their rationales: at most {request.rationale_rows}"
        provenance = replace(provenance, notes=(*provenance.notes, note))
    splits = replace(
        splits,
        provenance=provenance,
        train=train,
        validation=validation,
        test=test,
        labels=labels,
        dropped={**splits.dropped, **dropped},
    )
    check_splits(splits)
    return splits


def _sample(request: DataRequest, location: Location) -> Splits:
    from r2d_ray.data.samples import build_sample

    if request.columns:
        raise UserError(f"--columns: {location.name} has fixed columns")
    # The sample is one data set, whatever the run's seed: results of several seeds compare.
    return build_sample(location.address, seed=0, sizes=request.sample_rows)


def _read(request: DataRequest, location: Location) -> Splits:
    source = _rows(request, location)
    train, validation, test = split_rows(source, request.seed)
    licence = NAMED_SETS[location.named].licence if location.named else NOT_STATED
    provenance = Provenance(location.kind, location.address, licence, source.notes)
    return Splits(location.name, train, validation, test, (), provenance)


def _rows(request: DataRequest, location: Location) -> SourceRows:
    path = Path(location.address)
    official = OFFICIAL.get(location.named or "")
    if location.kind == "hub":
        parts = _hub(location)
        if location.named == "pubmedqa" and not request.columns:
            return pubmedqa_of_hub(parts)
    elif official and (path.is_dir() or path.suffix.lower() == ".json"):
        if request.columns:
            raise UserError(f"--columns: official {location.named} files have fixed columns")
        return official(path)
    else:
        parts = read_parts(path)
    if location.named == "medmcqa" and not request.columns:
        parts = medmcqa_parts(parts)
    return table_rows(parts, request.columns)


def _hub(location: Location) -> Parts:
    name, _, revision = location.address.partition("@")
    known = NAMED_SETS[location.named] if location.named else None
    if known is None or known.hub is None:
        return hub_parts(name, None, revision)
    try:
        return hub_parts(name, known.hub[1], revision)
    except UserError as error:
        raise UserError(f"{error}; or {known.how_to_get}, then pass --data PATH") from None


def check_source(splits: Splits, source: str) -> None:
    """Raise UserError unless some training row has a rationale of this source.

    A source that other splits have is named as such: it can score a model but never train one.
    """
    training = splits.rationale_sources()
    if source in training:
        return
    held = [
        name
        for name, rows in splits.items()
        if name != "train" and any(source in row.rationales for row in rows)
    ]
    if not held:
        raise unknown("rationale source", source, training or ["none"])
    raise UserError(
        f"rationale source {source!r} is in no training row (it exists for {' and '.join(held)} "
        f"rows only; training sources: {', '.join(training) or 'none'})"
    )
