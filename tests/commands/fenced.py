"""Fenced blocks of a Markdown file: their language, the file that they show, their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<info>[^`]*)$")
TITLE = re.compile(r"""^title=["']?(?P<name>[^"']+)["']?$""")
COMMANDS = frozenset({"", "sh", "bash", "console"})
"""Languages of blocks that hold commands; `text` is for what is none."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block; `line` is that of its first line of content, `file` what it shows if it says so."""

    language: str
    file: str | None
    line: int
    lines: tuple[str, ...]

    @property
    def holds_commands(self) -> bool:
        """Whether a reader types these lines."""
        return self.language in COMMANDS and self.file is None


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks.

    A block that shows a file names it after its language: `csv notes.csv` or
    `csv title="notes.csv"`.
    """
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        opened = FENCE.match(line)
        if not opened:
            continue
        indent, fence = len(opened["indent"]), opened["fence"]
        content: list[str] = []
        for _, inner in lines:
            word = inner.strip()
            if word and set(word) == {fence[0]} and len(word) >= len(fence):
                break
            content.append(inner[min(indent, len(inner) - len(inner.lstrip())) :])
        else:
            raise ValueError(f"line {number}: the block is never closed")
        language, _, rest = opened["info"].strip().partition(" ")
        yield Block(language, shown_file(rest), number + 1, tuple(content))


def shown_file(info: str) -> str | None:
    """Return the file that an info string names after the language."""
    for word in info.split():
        title = TITLE.match(word)
        name = title["name"] if title else word
        if re.fullmatch(r"[\w./-]+\.\w+", name):
            return name
    return None
