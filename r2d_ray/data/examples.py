"""The row (`Example`), the three splits (`Splits`) and the checks that every source must pass."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

from r2d_ray.data.reading.seen import ColumnUse
from r2d_ray.data.reading.spellings import check_spellings
from r2d_ray.errors import UserError
from r2d_ray.method.label_kinds import LabelKind, kind_of

SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a data set.

    `group` (document, fact or template) keeps related rows in one split and in one bootstrap
    draw. `rationales` maps a source (`human`, `llm`) to its text; it may be empty. `choices` are
    the answer options of a row that brings its own; None where the set has one fixed label set.
    `tags` name sub-populations that are scored apart. `relabelled` maps a source to the texts that
    argue for other labels than the row's, by label.
    """

    id: str
    group: str
    question: str
    context: str
    label: str
    rationales: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    relabelled: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the rows came from: `kind` (sample, folder, file, hub), address, licence, notes."""

    kind: str
    address: str
    licence: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)  # without slots: what is derived from all rows is kept once
class Splits:
    """Three disjoint splits over one label set.

    `labels` is the fixed label set in a stable order, empty where rows bring their own choices.
    `dropped` counts rows that were left out, by reason. `warnings` are what the user should look at
    before training on these rows, a line each. `use` is which column of a table became what,
    `given` are the splits that the source names itself.
    """

    name: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    labels: tuple[str, ...]
    provenance: Provenance
    dropped: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    use: ColumnUse | None = None
    given: tuple[str, ...] = ()

    def items(self) -> Iterable[tuple[str, tuple[Example, ...]]]:
        """Yield (split name, rows) in the order train, validation, test."""
        for name in SPLIT_NAMES:
            yield name, getattr(self, name)

    def with_rows(self, rows: Mapping[str, tuple[Example, ...]]) -> Splits:
        """Return the splits with other rows, by split."""
        return replace(self, **{name: rows[name] for name in SPLIT_NAMES})  # type: ignore[arg-type]

    @cached_property
    def hash(self) -> str:
        """The `content_hash`: seconds for thousands of rows, so computed once."""
        return content_hash(self)

    @cached_property
    def label_kind(self) -> LabelKind:
        """Which kind of label the rows have."""
        return label_kind(self.labels, self.train)

    def rationale_sources(self) -> tuple[str, ...]:
        """Return every rationale source that some training row has, sorted."""
        return tuple(sorted({source for row in self.train for source in row.rationales}))


def label_kind(labels: Sequence[str], rows: Sequence[Example]) -> LabelKind:
    """Return which kind of label these rows have, `labels` being the fixed set or empty."""
    return kind_of(labels, with_options=any(row.choices for row in rows))


def has_context(rows: Iterable[Example]) -> bool:
    """Return whether some row has a context."""
    return any(row.context.strip() for row in rows)


_ASCII = bytes(ord(chr(c).lower()) if chr(c).isalnum() else ord(" ") for c in range(128))
_BARE_ASCII = _ASCII + bytes(128)
"""ASCII by `bytes.translate`: letters in lower case, digits, and spaces for all else."""

_BEYOND_LATIN = re.compile("[\u0300-\U0010ffff]+")
_NO_WORD = re.compile(r"[^\w\s]|_")


def normalised(text: str) -> str:
    """Return the text without case, punctuation, accents and extra spaces."""
    if text.isascii():  # a third of the time, and most texts
        return b" ".join(text.encode().translate(_BARE_ASCII).split()).decode()
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    bare = _BEYOND_LATIN.sub(_without_accents, decomposed)
    return " ".join(_NO_WORD.sub(" ", bare).split())


def _without_accents(run: re.Match[str]) -> str:
    return "".join(c for c in run[0] if not unicodedata.combining(c))


def content_hash(splits: Splits) -> str:
    """Return a hash (16 hex digits) of every row of every split, in order, and of the label set."""
    digest = hashlib.sha256(json.dumps(splits.labels).encode())
    names = [one.name for one in fields(Example)]
    encoded = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
    for name, rows in splits.items():
        digest.update(name.encode())
        for row in rows:
            values = {one: getattr(row, one) for one in names if one != "relabelled"}
            if row.relabelled:
                values["relabelled"] = row.relabelled
            digest.update(encoded(values).encode())
    return digest.hexdigest()[:16]


def pick_source(splits: Splits, wanted: str | None) -> str | None:
    """Return the rationale source to train on: the wanted one, else `human`, else the first.

    Raises:
        UserError: if no training row has the wanted source.
    """
    sources = splits.rationale_sources()
    if wanted is None:
        return "human" if "human" in sources else (sources[0] if sources else None)
    if wanted not in sources:
        allowed = ", ".join(sources) or "none"
        raise UserError(
            f"rationale source {wanted!r} is in no training row of {splits.name} "
            f"(allowed: {allowed})"
        )
    return wanted


def source_warnings(splits: Splits, wanted: str | None) -> list[str]:
    """Return a line where the rationale source is guessed: several, none `human`, none wanted."""
    sources = splits.rationale_sources()
    if wanted is not None or len(sources) < 2 or "human" in sources:
        return []
    return [
        f"rationales of {sources[0]} are trained on, the first by name of {', '.join(sources)} "
        "(--rationale-source SOURCE names another)"
    ]


def check_splits(splits: Splits) -> None:
    """Raise UserError unless the splits can be trained and scored.

    Checked: no split is empty; ids are unique; questions and labels are not empty; with a fixed
    label set it has at least two, no two are one to a reader, and every label is in it and has a
    training row; with choices the label is one of them.
    """
    seen: set[str] = set()
    for name, rows in splits.items():
        if not rows:
            raise UserError(f"{splits.name}: the {name} split has no rows")
        for row in rows:
            where = f"{splits.name}: {name} row {row.id!r}"
            if row.id in seen:
                raise UserError(f"{where}: the id appears twice")
            seen.add(row.id)
            if not row.question.strip():
                raise UserError(f"{where}: the question is empty")
            check_label(row, splits.labels, where)
    if splits.labels:
        counts = Counter(row.label for _, rows in splits.items() for row in rows)
        check_spellings(splits.name, splits.labels, counts)
        if len(splits.labels) == 1:
            raise UserError(
                f"{splits.name}: one label ({splits.labels[0]!r}) is nothing to learn "
                "(is the label another column? --columns label=COLUMN)"
            )
        counts = Counter(row.label for row in splits.train)
        missing = [label for label in splits.labels if not counts[label]]
        if missing:
            raise UserError(f"{splits.name}: label {missing[0]!r} is in no training row")


def check_label(row: Example, labels: Sequence[str], where: str) -> None:
    """Raise UserError unless the row's label is in its own choices or in the fixed label set."""
    allowed = row.choices if row.choices is not None else labels
    if not row.label.strip():
        raise UserError(f"{where}: the label is empty")
    if allowed and row.label not in allowed:
        raise UserError(f"{where}: label {row.label!r} is not one of {', '.join(allowed)}")
