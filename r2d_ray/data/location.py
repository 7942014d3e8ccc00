"""Where the rows of a data set are: from what was asked to a folder, file, hub set or sample.

A named set comes from the first that applies: `--data PATH`; `$R2D_DATA/<dataset>`; under
`finetune` and `paper` the hub's public copy; under `embedded` the embedded sample. `embedded` never
touches the network.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from r2d_ray.config import may_use_hub
from r2d_ray.data.named_sets import NAMED_SETS, NamedSet
from r2d_ray.data.reading.formats import ending_of
from r2d_ray.errors import UserError, unknown

HUB = "hub:"


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What the user asked for.

    Args:
        dataset: A named set, the path of a file or folder, or `hub:NAME@REVISION`.
        data: Where a named set lies (`--data`).
        profile: `embedded`, `finetune` or `paper`.
        columns: Target to source column (`parse_columns`).
        limit: Most rows of each split, at least 1; None takes all.
        split_seed: Seed of the hash that draws splits and the limit's rows; the commands' default.
        sample_rows: Rows of an embedded sample's train, validation and test; None = its default.
        sample_ambiguous: Share of the triage sample's ambiguous rows, 0 to 1; None = its default.
        keep: Target (`tag.site`) to column whose values tag a table's rows (`parse_kept`).
        rationale_rows: Most training rows that keep their rationales; None takes all.
    """

    dataset: str
    data: Path | None = None
    profile: str = "embedded"
    columns: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    split_seed: int = 42
    sample_rows: tuple[int, int, int] | None = None
    sample_ambiguous: float | None = None
    rationale_rows: int | None = None
    keep: Mapping[str, str] = field(default_factory=dict)


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
        if not may_use_hub(request.profile):
            raise UserError(
                f"--dataset {name!r}: needs --profile finetune or paper "
                "(embedded never uses the network)"
            )
        return Location("hub", f"{address}@{revision}")
    path = Path(name)
    if ending_of(path) or path.suffix or os.path.exists(path) or "/" in name:
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
    online = may_use_hub(request.profile)
    if online and known.hub:
        return Location("hub", f"{known.hub[0]}@main", name)
    if not online and known.has_sample:
        return Location("sample", name, name)
    raise UserError(
        f"--dataset {name}: not available with --profile {request.profile}: {known.how_to_get}, "
        f"then pass --data PATH{sample_instead(request, known)}"
    )


def sample_instead(request: DataRequest, known: NamedSet) -> str:
    """Return the end of an error that names the embedded sample, where it is not what failed."""
    other = known.has_sample and may_use_hub(request.profile)
    return "; or take the embedded sample: --profile embedded" if other else ""


def _path(flag: str, path: Path, named: str | None) -> Location:
    if os.path.isdir(path):  # unlike Path.is_dir, False for a name that is too long
        return Location("folder", str(path), named)
    if os.path.isfile(path):
        return Location("file", str(path), named)
    if os.path.islink(path):
        raise UserError(f"{flag} {path}: a link to {os.readlink(path)}, which is not there")
    raise UserError(f"{flag} {path}: no such file or folder{_near(path)}")


def _near(path: Path) -> str:
    """Return the name beside it that a mistyped path may mean, as a question, or nothing."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {str(path.parent / close[0])!r}?" if close else ""
