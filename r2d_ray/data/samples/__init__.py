"""Embedded samples: small data sets that this project writes itself, so that it runs anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from r2d_ray.data.examples import Example, Provenance, Splits
from r2d_ray.data.samples import bioasq, pubmedqa, triage
from r2d_ray.data.samples.dealing import AMBIGUOUS, Sizes, sizes_of, tag_shares
from r2d_ray.errors import UserError, unknown

_SOURCES = {"bioasq": bioasq, "pubmedqa": pubmedqa, "triage": triage}

SAMPLES: tuple[str, ...] = tuple(_SOURCES)

MIN_ROWS = 20
"""Fewest rows: every label has a training row."""

MAX_ROWS = {"bioasq": 5_000, "pubmedqa": 5_000, "triage": 25_000}
"""Most rows: there are facts for that many."""


def build_sample(
    name: str,
    rows: int = 2000,
    seed: int = 0,
    *,
    sizes: tuple[int, int, int] | None = None,
    ambiguous: float | None = None,
) -> Splits:
    """Return an embedded sample, called `<name>-sample`; equal arguments give equal rows anywhere.

    Args:
        name: One of `SAMPLES`.
        rows: Rows of all splits together, 70 / 15 / 15; `MIN_ROWS` to the set's `MAX_ROWS`.
        seed: Chooses facts, phrases and order.
        sizes: Rows of train, validation and test, in place of `rows`.
        ambiguous: Share of rows that fit two labels equally, 0 to 1; of `triage` alone.

    Raises:
        UserError: for an unknown name or a size out of range.
    """
    if name not in _SOURCES:
        raise unknown("sample", name, SAMPLES)
    chosen = Sizes(*sizes) if sizes is not None else sizes_of(rows)
    _check_sizes(name, chosen)
    source = _SOURCES[name]
    shares = tag_shares(ambiguous)
    notes = (
        [] if ambiguous is None else [ceiling_note(shares.get(AMBIGUOUS, 0) / sum(shares.values()))]
    )
    built = triage.build(chosen, seed, shares) if source is triage else source.build(chosen, seed)
    return Splits(
        name=f"{name}-sample",
        labels=source.LABELS,
        provenance=Provenance(
            kind="sample",
            address=f"r2d_ray.data.samples.{name}",
            licence="Apache-2.0",
            notes=(
                "written by this project: facts from a table, text from templates",
                f"seed {seed}; {chosen.train} + {chosen.validation} + {chosen.test} rows",
                *notes,
            ),
        ),
        **built,
    )


def ceiling_note(ambiguous: float) -> str:
    """Return what a share of ambiguous rows leaves for the best reader to get right."""
    return (
        f"{100 * ambiguous:g}% of the notes fit two labels equally: nobody can expect to be right "
        f"in more than {100 * (1 - ambiguous / 2):g}% of the rows"
    )


def ceiling_accuracy(rows: Sequence[Example]) -> float:
    """Return the accuracy to expect of a perfect reader, 0.5 to 1.

    An `ambiguous` row's label is a fair coin between two labels, every other label follows from
    the text.
    """
    ambiguous = sum(AMBIGUOUS in row.tags for row in rows)
    return 1 - ambiguous / (2 * len(rows))


def _check_sizes(name: str, sizes: Sizes) -> None:
    total = sizes.total()
    if not MIN_ROWS <= total <= MAX_ROWS[name]:
        raise UserError(f"sample {name}: rows {total} (allowed: {MIN_ROWS} to {MAX_ROWS[name]})")
    least_train = sizes_of(MIN_ROWS).train
    if sizes.train < least_train or min(sizes.validation, sizes.test) < 1:
        raise UserError(
            f"sample {name}: sizes {sizes.train}, {sizes.validation}, {sizes.test} (allowed:"
            f" at least {least_train} training rows, 1 validation row and 1 test row)"
        )
