"""The one way from the name of a data set to its checked splits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from r2d_ray.data.columns import table_rows
from r2d_ray.data.examples import Provenance, Splits, check_splits
from r2d_ray.data.files import Parts
from r2d_ray.data.location import DataRequest, Location, locate, sample_instead
from r2d_ray.data.named_sets import NAMED_SETS, NOT_STATED
from r2d_ray.data.official.layout import TITLES, json_layout
from r2d_ray.data.official.readers import OFFICIAL, in_official_columns, is_official
from r2d_ray.data.reading.arrow_columns import Choose, every_column
from r2d_ray.data.reading.targets import used_columns
from r2d_ray.data.rows.leaks import without_leaks
from r2d_ray.data.rows.shared import shared_warnings
from r2d_ray.data.rows.tags import check_kept
from r2d_ray.data.splits import (
    SourceRows,
    check_drawn,
    drawing_notes,
    few_rows_warnings,
    fixed_labels,
    limit_rationales,
    limit_rows,
    share_warnings,
    split_rows,
)
from r2d_ray.data.tables import hub_parts, read_parts
from r2d_ray.errors import UserError, unknown


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
    if request.sample_ambiguous is not None and location.name != "triage-sample":
        raise UserError(
            f"--sample-ambiguous: {location.name} has no such rows to deal (allowed: "
            "--dataset triage, the embedded sample)"
        )
    sampled = location.kind == "sample"
    splits = _sample(request, location) if sampled else _read(request, location)
    splits = _limited(request, without_leaks(splits))
    check_splits(splits)
    shared = [] if sampled else shared_warnings(splits)  # a sample's texts come from templates
    return replace(splits, warnings=(*splits.warnings, *few_rows_warnings(splits), *shared))


def _limited(request: DataRequest, splits: Splits) -> Splits:
    labels = splits.labels or fixed_labels([row for _, rows in splits.items() for row in rows])
    splits = replace(splits, labels=labels)
    if request.limit is not None:
        if request.limit < len(labels):
            raise UserError(
                f"--limit {request.limit}: {splits.name} has {len(labels)} labels "
                "(allowed: as many or more)"
            )
        seed, most = request.split_seed, request.limit
        splits = splits.with_rows({n: limit_rows(rows, most, seed) for n, rows in splits.items()})
    if request.rationale_rows is not None:
        provenance = splits.provenance
        note = f"training rows that keep their rationales: at most {request.rationale_rows}"
        splits = replace(
            splits,
            train=limit_rationales(splits.train, request.rationale_rows, request.split_seed),
            provenance=replace(provenance, notes=(*provenance.notes, note)),
        )
    return splits


def _sample(request: DataRequest, location: Location) -> Splits:
    from r2d_ray.data.samples import build_sample

    if request.columns or request.keep:
        flag = "--columns" if request.columns else "--keep-columns"
        raise UserError(f"{flag}: {location.name} has fixed columns")
    # The sample is one data set, whatever the run's seed: results of several seeds compare.
    return build_sample(
        location.address, seed=0, sizes=request.sample_rows, ambiguous=request.sample_ambiguous
    )


def _read(request: DataRequest, location: Location) -> Splits:
    source = _rows(request, location)
    train, validation, test = split_rows(source, request.split_seed)
    parts = {"train": train, "validation": validation, "test": test}
    check_drawn(source, parts, location.name)
    notes = (*source.notes, *drawing_notes(source))
    licence = NAMED_SETS[location.named].licence if location.named else NOT_STATED
    provenance = Provenance(location.kind, location.address, licence, notes)
    forgotten = source.use.warnings() if source.use and not location.named else ()
    warnings = (*forgotten, *source.warnings, *share_warnings(source, parts))
    made = Splits(location.name, train, validation, test, (), provenance, warnings=warnings)
    given = tuple(sorted(set(source.assigned.values())))
    return replace(made, use=source.use, given=given)


def _rows(request: DataRequest, location: Location) -> SourceRows:
    path = _configuration(Path(location.address), location)
    if location.kind != "hub" and (of_another := _other_layout(path, location.named)):
        raise UserError(of_another)
    columns = {**request.columns, **request.keep}
    own_layout = (
        location.named is not None and not columns
    )  # which columns it has, its reader knows
    choose = every_column if own_layout else partial(used_columns, columns=columns)
    if location.kind == "hub":
        parts = _hub(request, location, choose)
    elif is_official(path, location.named):
        if request.columns or request.keep:
            flag = "--columns" if request.columns else "--keep-columns"
            raise UserError(f"{flag}: official {location.named} files have fixed columns")
        return OFFICIAL[location.named or ""](path)
    else:
        parts = read_parts(path, choose)
    if columns or location.named is None:
        source = table_rows(parts, columns)
        check_kept(source.rows, request.keep.values())
        return source
    beside = path if location.kind != "hub" else None
    return in_official_columns(parts, location.named, beside)


def _other_layout(path: Path, named: str | None) -> str | None:
    """Return what to say of a named set's official JSON that is given as something else."""
    found = json_layout(path)
    if found is None or found == named:
        return None
    flag = "--data" if named else "--dataset"
    instead = f"--dataset {found} --data {path}"
    return f"{flag} {path}: in the layout of {TITLES[found]} (allowed: {instead})"


def _configuration(path: Path, location: Location) -> Path:
    """Return the folder of the set's own configuration in a downloaded copy of several."""
    known = NAMED_SETS[location.named].hub if location.named else None
    inner = path / known[1] if known and known[1] else path
    return inner if location.kind == "folder" and inner.is_dir() else path


def _hub(request: DataRequest, location: Location, choose: Choose) -> Parts:
    name, _, revision = location.address.partition("@")
    known = NAMED_SETS[location.named] if location.named else None
    if known is None or known.hub is None:
        return hub_parts(name, None, revision, choose)
    try:
        return hub_parts(name, known.hub[1], revision, choose)
    except UserError as error:
        sample = sample_instead(request, known)
        raise UserError(f"{error}; or {known.how_to_get}, then pass --data PATH{sample}") from None


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
