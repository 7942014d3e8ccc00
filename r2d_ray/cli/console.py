"""What a person sees of a result: tables, and lines beside them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from r2d_ray.cli.control_lines import setting_lines
from r2d_ray.cli.screen.tables import print_drawn
from r2d_ray.evaluation.calibration_words import calibration_line
from r2d_ray.storage import printable

SCORES = (  # column, key, decimals
    ("macro-F1", "macro_f1", 3),
    ("accuracy", "accuracy", 3),
    ("out of set", "generated_out_of_set_rate", 3),
    ("BLEU", "bleu", 1),
    ("ROUGE-L", "rouge_l", 3),
    ("BERTScore", "bertscore", 3),
)


def result_lines(
    table: Mapping[str, Mapping[str, Any]], spread: Mapping[str, Mapping[str, float]] | None = None
) -> list[str]:
    """Return the final table as Markdown lines, signatures below.

    `spread` has the standard deviations over seeds of the rows that are means.
    """
    names = [name for name, _, _ in SCORES]
    lines = ["| test split | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row, scores in table.items():
        sds = (spread or {}).get(row)
        cells = [cell(scores.get(key), digits, (sds or {}).get(key)) for _, key, digits in SCORES]
        name = row if sds is None else f"{row}, mean over seeds"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    said = {row: line for row, scores in table.items() if (line := calibration_line(scores))}
    lines += [
        f"{row}{', means over seeds' if row in (spread or {}) else ''}: {line}"
        for row, line in list(said.items())[:1]
    ]
    signatures = {
        scores[k] for scores in table.values() for k in scores if k.endswith("_signature")
    }
    models = {scores["bertscore_model"] for scores in table.values() if "bertscore_model" in scores}
    lines += setting_lines(table)
    lines += [f"BLEU: sacreBLEU {text}" for text in sorted(signatures)]
    lines += [f"BERTScore: {text}" for text in sorted(models)]
    return lines


def cell(value: Any, digits: int, sd: float | None = None) -> str:
    """Return a table cell, with the spread of a mean; a score that does not exist is n/a, not 0."""
    if not isinstance(value, int | float):
        return "n/a"
    return f"{value:.{digits}f}" if sd is None else f"{value:.{digits}f} ± {sd:.{digits}f}"


COMPARED = (  # column, key, factor, decimals
    ("macro-F1", "macro_f1", 100, 1),
    ("accuracy", "accuracy", 100, 1),
    ("BLEU", "bleu", 1, 1),
    ("ROUGE-L", "rouge_l", 100, 1),
    ("BERTScore", "bertscore", 100, 1),
    ("own consistency", "consistency", 100, 1),
    ("reader sufficiency", "reader_sufficiency", 100, 1),
    ("follows swap", "reader_follows_swapped_label", 100, 1),
    ("dose %", "changed_share", 100, 1),
    ("Mtokens", "tokens", 1e-6, 2),
    ("TFLOP", "model_flops", 1e-12, 2),
)


def comparison_lines(result: Mapping[str, Any]) -> list[str]:
    """Return the comparison as a Markdown table: mean ± sd over seeds on test, dose in training."""
    names = [name for name, _, _, _ in COMPARED]
    lines = ["| method | seeds | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for method, row in result["methods"].items():
        note = " (sampling not tested)" if untested(row) else ""
        cells = [spread_cell(row.get(key), *units) for _, key, *units in COMPARED]
        lines.append(f"| {method}{note} | {row['seeds']} | " + " | ".join(cells) + " |")
    for name, scores in result["controls"].items():
        known = {
            key: {"mean": value, "sd": None} for key, value in scores.items() if value is not None
        }
        cells = [spread_cell(known.get(key), *units) for _, key, *units in COMPARED]
        lines.append(f"| {name} | | " + " | ".join(cells) + " |")
    return [*lines, *setting_lines(result["controls"]), *notes(result)]


def spread_cell(value: Mapping[str, Any] | None, factor: float, digits: int) -> str:
    """Return mean ± sd as a table cell; one seed has no spread, a missing score is n/a."""
    if value is None:
        return "n/a"
    text = f"{factor * value['mean']:.{digits}f}"
    return text if value["sd"] is None else f"{text} ± {factor * value['sd']:.{digits}f}"


def notes(result: Mapping[str, Any]) -> list[str]:
    """Return the lines below a comparison's table: same runs, unequal chances, states, reasons."""
    lines = [
        f"{row} also stands for {', '.join(others)}: the same run"
        for row, others in result["same"].items()
    ]
    rows = {m: row for m, row in result["methods"].items() if "evaluations" in row}
    means = {method: row["evaluations"]["mean"] for method, row in rows.items()}
    if len(set(means.values())) > 1:
        shown = ", ".join(f"{method} {mean:g}" for method, mean in means.items())
        lines.append(
            "evaluations during training by arm, each a candidate for selection (added steps mean "
            f"more of them): {shown}"
        )
    states = ", ".join(f"{count} {state}" for state, count in sorted(result["trials"].items()))
    lines.append(f"arms: {states}")
    lines += [f"arm {number} failed: {why}" for number, why in result["failures"].items()]
    if result["failures"]:
        lines.append("the same command reruns failed arms")
    return lines


def untested(row: Mapping[str, Any]) -> bool:
    """Return whether a method samples labels but changed too few prompts to be tested."""
    sampled = row.get("sampled_share", {"mean": 0.0})["mean"] > 0
    return bool(sampled and row["sampling_tested"]["mean"] < 1)


def screen(to_stderr: bool) -> Console:
    """Return the terminal or file that events go to."""
    return Console(stderr=to_stderr, highlight=False)


def say_lines(console: Console, lines: Sequence[str]) -> None:
    """Print lines, which a terminal breaks between words; nothing in them steers it."""
    for line in lines:
        console.print(printable(line), markup=False, soft_wrap=not console.is_terminal)


def print_lines(lines: Sequence[str], to_stderr: bool = False) -> None:
    """Print lines; nothing in them steers the terminal. A terminal gets tables drawn."""
    shown = list(map(printable, lines))
    console = screen(to_stderr)
    if console.is_terminal:
        print_drawn(console, shown)
    else:
        print("\n".join(shown), file=sys.stderr if to_stderr else sys.stdout, flush=True)
