"""A study's progress on a terminal: a status line and a table that fit its height."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from r2d_ray.cli.screen.state import DONE, RUNNING, StudyState
from r2d_ray.cli.screen.words import phase_words, status_parts, value_words

BEST_SHOWN = 3  # ended trials with a line of their own
MARGIN = 1  # lines of a terminal that stay free: the cursor's


def wrapped(parts: Sequence[str], width: int) -> list[str]:
    """Return the parts of a status line in lines of at most this width, each part whole."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]} | {part}" if lines else part
        if lines and len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


class StudyTable:
    """A moment of a study: status line, running trials, the best of the ended ones, a count."""

    def __init__(self, state: StudyState, elapsed: float) -> None:
        self.state, self.elapsed = state, elapsed

    def parts(self, width: int, height: int) -> Iterator[RenderableType]:
        """Yield what fits into a terminal of this size."""
        status = wrapped(status_parts(self.state, self.elapsed), width)
        for line in status:
            yield Text(line, no_wrap=True, overflow="ellipsis", style="bold")
        if self.state.trials:
            yield from self._rows(height - len(status) - MARGIN - 1)

    def _rows(self, room: int) -> Iterator[RenderableType]:
        """Yield the table and the count of what has no line in it, in this many lines."""
        running, ended = self.state.numbers(RUNNING), self.state.ended
        shown = running[: max(1, room - 1)]
        best = self._ranked(ended)[: max(0, min(BEST_SHOWN, room - 1 - len(shown)))]
        if shown or best:
            yield self._table([*shown, *best])
        left = [n for n in (*running, *ended) if n not in shown and n not in best]
        if left:
            count = Counter(self.state.trials[n].status for n in left)
            more = ", ".join(f"{many} {status}" for status, many in count.items())
            yield Text(
                f"and {len(left)} more: {more}", no_wrap=True, overflow="ellipsis", style="dim"
            )

    def _table(self, numbers: Sequence[int]) -> Table:
        searched = bool(self.state.searched)  # the last column then takes what the others leave
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=searched
        )
        metric = self.state.objective.metric
        for head in ("", "", f"best {metric}"):
            table.add_column(head, no_wrap=True)
        if searched:
            table.add_column("other than trial 0", no_wrap=True, overflow="ellipsis", ratio=1)
        for number in numbers:
            trial = self.state.trials[number]
            score = "" if trial.score is None else f"{trial.score:.3f}"
            cells = [trial.name, phase_words(trial), score]
            if searched:
                cells.append(value_words(self.state.differing(number)) if number else "")
            best = number == self.state.best()
            table.add_row(*cells, style="green" if best else None)
        return table

    def _ranked(self, numbers: Sequence[int]) -> list[int]:
        """Return ended trials, done ones first and the best of them before the others."""
        sign = -1 if self.state.objective.mode == "max" else 1

        def rank(number: int) -> tuple[bool, bool, float, int]:
            trial = self.state.trials[number]
            score = trial.score
            return trial.status != DONE, score is None, sign * (score or 0.0), number

        return sorted(numbers, key=rank)
