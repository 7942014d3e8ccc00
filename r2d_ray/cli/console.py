"""What a person sees: events as lines or a live table, the result table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from r2d_ray.cli.control_lines import setting_lines
from r2d_ray.evaluation.calibration_words import calibration_line
from r2d_ray.search.tuner import Event, StudyNote
from r2d_ray.storage import printable

SCORES = (  # column, key, decimals
    ("macro-F1", "macro_f1", 3),
    ("accuracy", "accuracy", 3),
    ("out of set", "generated_out_of_set_rate", 3),
    ("BLEU", "bleu", 1),
    ("ROUGE-L", "rouge_l", 3),
    ("BERTScore", "bertscore", 3),
)


@dataclass
class Progress:
    """Shows trials: a live table on a terminal, else one line per event."""

    console: Console
    metric: str
    quiet: bool = False
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    _live: Live | None = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal and not self.quiet:
            self._live = Live(self._table(), console=self.console, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, StudyNote):
            if not self.quiet:
                say_lines(self.console, [event.text])
            return
        row = self.rows.setdefault(event.trial, {"status": "", "step": "", "score": ""})
        row["status"] = event.what
        if event.what == "started":
            row["values"] = "  ".join(f"{k}={short(v)}" for k, v in event.values.items())
        if event.what == "evaluated" and self.metric in event.values:
            row["step"] = event.values.get("step", "")
            if "run" in event.values:
                row["step"] = f"{row['step']} (run {event.values['run'] + 1})"
            row["score"] = f"{event.values[self.metric]:.3f}"
        if self._live is not None:
            self._live.update(self._table())
        elif not self.quiet and event.what != "evaluated":
            score = f"  {self.metric} {row['score']} at step {row['step']}" if row["score"] else ""
            detail = f"  {row['values']}" if event.what == "started" else score
            seconds = time.time() - self.began
            self.console.print(
                f"[{seconds:5.0f} s] trial {event.trial} {event.what}{detail}", markup=False
            )

    def _table(self) -> Table:
        table = Table("trial", "status", "step", f"best {self.metric}", "values")
        for number, row in sorted(self.rows.items()):
            cells = (row["status"], str(row["step"]), row["score"], row.get("values", ""))
            table.add_row(str(number), *cells)
        return table


def short(value: Any) -> str:
    """Return a value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


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
    return Console(stderr=to_stderr, highlight=False, soft_wrap=True)


def say_lines(console: Console, lines: Sequence[str]) -> None:
    """Print lines beside a live table; nothing in them steers the terminal."""
    for line in lines:
        console.print(printable(line), markup=False)


def print_lines(lines: Sequence[str]) -> None:
    """Print lines; nothing in them steers the terminal."""
    print("\n".join(map(printable, lines)), flush=True)
