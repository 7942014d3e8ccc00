"""The data card: what a study was trained and scored on, as JSON and as short lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.reading.seen import column_card, column_lines
from r2d_ray.data.rows.sample import sampled
from r2d_ray.storage import counted, printable

WORDS_ROWS = 5000
"""Rows of a split, and rationales of a source, whose words are counted at most: a fixed draw."""

MOST_SHOWN = 8
"""Labels that a printed line names; the card has all of them."""


def data_card(splits: Splits) -> dict[str, Any]:
    """Return the card of checked splits as a JSON value.

    Returns:
        `name`, `provenance`, `hash`, `labels`, `label_kind`, `rows`, `contexts` (rows that have
        one), `groups`, `label_counts`
        (empty without a fixed set), `rows_with_duplicate_options` and `most_options` by split
        (empty but where rows have their own choices), `rationale_sources` (source -> split ->
        rows), `words` and `rationale_words` (texts `measured`, median, p90, max), `tokens` (empty:
        `with_tokens`),
        `dropped` (reason -> rows), `warnings`; of a table also `columns` (target -> column),
        `filled` (target -> rows), `table_rows` and `unused_columns`.
    """
    parts = dict(splits.items())
    own_choices = parts if splits.label_kind.listed else {}
    sources = sorted({s for rows in parts.values() for row in rows for s in row.rationales})
    counted = parts if splits.labels else {}
    return {
        "name": splits.name,
        "provenance": {**asdict(splits.provenance), "notes": list(splits.provenance.notes)},
        "hash": splits.hash,
        "labels": list(splits.labels),
        "label_kind": splits.label_kind.word,
        "rows": {name: len(rows) for name, rows in parts.items()},
        "contexts": {name: sum(bool(row.context) for row in rows) for name, rows in parts.items()},
        "groups": {name: len({row.group for row in rows}) for name, rows in parts.items()},
        "label_counts": {name: label_counts(rows, splits.labels) for name, rows in counted.items()},
        "rows_with_duplicate_options": {
            name: sum(len(set(row.choices or ())) < len(row.choices or ()) for row in rows)
            for name, rows in own_choices.items()
        },
        "most_options": {
            name: max(len(row.choices or ()) for row in rows) for name, rows in own_choices.items()
        },
        "rationale_sources": {source: _rows_with(parts, source) for source in sources},
        "words": {
            name: word_lengths([f"{r.question} {r.context}" for r in sampled(rows, WORDS_ROWS)])
            for name, rows in parts.items()
        },
        "rationale_words": {source: word_lengths(_texts(splits, source)) for source in sources},
        "tokens": {},
        "dropped": dict(splits.dropped),
        **column_card(splits.use),
        "warnings": list(splits.warnings),
    }


def with_tokens(
    card: Mapping[str, Any], tokens: Mapping[str, Mapping[str, float]], warnings: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the card with what the tokenizer measured.

    Args:
        card: A card of `data_card`.
        tokens: Per split what `lengths.token_lengths` says, or a part of it.
        warnings: What to add to the card's.
    """
    known = card.get("tokens", {})
    measured = {name: {**known.get(name, {}), **values} for name, values in tokens.items()}
    return {**card, "tokens": measured, "warnings": [*card.get("warnings", ()), *warnings]}


def _rows_with(parts: Mapping[str, Iterable[Example]], source: str) -> dict[str, int]:
    return {name: sum(source in row.rationales for row in rows) for name, rows in parts.items()}


def _texts(splits: Splits, source: str) -> list[str]:
    having = [row for _, part in splits.items() for row in part if source in row.rationales]
    return [row.rationales[source] for row in sampled(having, WORDS_ROWS)]


def label_counts(rows: Iterable[Example], labels: Iterable[str]) -> dict[str, int]:
    """Return how many rows have each label, labels without a row included."""
    counts = Counter(row.label for row in rows)
    return {label: counts[label] for label in labels}


def word_lengths(texts: Iterable[str]) -> dict[str, float]:
    """Return median, 90th percentile and maximum of the texts' lengths in words."""
    lengths = np.array([len(text.split()) for text in texts])
    return {
        "measured": len(lengths),
        "median": float(np.median(lengths)),
        "p90": float(np.percentile(lengths, 90)),
        "max": float(lengths.max()),
    }


def card_lines(card: Mapping[str, Any]) -> list[str]:
    """Return the card as short lines of plain text; no text of a row is in them."""
    origin = card["provenance"]
    lines = [
        f"data {card['name']} ({origin['kind']} {origin['address']}, licence {origin['licence']}), "
        f"content {card['hash']}"
    ]
    lines += [f"  note: {note}" for note in origin["notes"]]
    lines += [f"  {line}" for line in column_lines(card)]
    for name, count in card["rows"].items():
        parts = [f"  {name}: {counted(count, 'row')}"]
        if card["label_counts"]:
            parts.append(_shares(card["label_counts"][name]))
        if card["most_options"]:
            repeated = card["rows_with_duplicate_options"][name]
            repeat = f"{counted(repeated, 'row')} repeat{'s' if repeated == 1 else ''}"
            parts.append(f"own options, at most {card['most_options'][name]}; {repeat} one")
        parts.append(_lengths(card["words"][name], "words", count))
        if name in card["tokens"]:
            parts.append(_token_lengths(card["tokens"][name], count))
        lines.append("; ".join(parts))
    for source, counts in card["rationale_sources"].items():
        held = ", ".join(f"{name} {count}" for name, count in counts.items())
        words = _lengths(card["rationale_words"][source], "words", sum(counts.values()))
        lines.append(f"  rationale {source}: {held}; {words}")
    lines += [f"  dropped {count}: {reason}" for reason, count in card["dropped"].items()]
    lines += [
        f"  warning: {text}" for text in card.get("warnings", ())
    ]  # cards before 0.3 have none
    # Labels and addresses are the user's text: nothing in them may steer a terminal.
    return [printable(line) for line in lines]


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    most = sorted(counts.items(), key=lambda pair: -pair[1])[:MOST_SHOWN]
    more = [f"{counted(len(counts) - len(most), 'more label')}"] if len(counts) > len(most) else []
    return ", ".join([f"{label} {count / total:.0%}" for label, count in most] + more)


def _lengths(measured: Mapping[str, float], unit: str, rows: int) -> str:
    text = f"median {measured['median']:.0f}, p90 {measured['p90']:.0f} {unit}"
    some = measured.get("measured", rows)  # cards before 0.3 are of all rows
    return f"{text} from a sample of {some:.0f} rows" if some < rows else text


def _token_lengths(measured: Mapping[str, float], rows: int) -> str:
    words = [f"median {measured['median']:.0f}", f"p90 {measured['p90']:.0f}"]
    if "p95" in measured:  # cards before 0.3 have none
        words.append(f"p95 {measured['p95']:.0f}")
    text = ", ".join([*words, f"max {counted(measured['max'], 'token')}"])
    cut = f"{measured['share_cut']:.1%} cut"
    if measured.get("share_question_cut"):
        cut += f" ({measured['share_question_cut']:.1%} in the question)"
    some = measured.get("measured", rows)
    of = f" of {some:.0f} rows measured" if some < rows else ""
    return f"{text}, {cut}{of}"
