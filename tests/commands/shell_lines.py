"""The lines of a block as commands: variables, words, where the output goes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from fenced import Block

COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*")|(?<!\S)#.*""")
PLACEHOLDER = re.compile(r"<([A-Za-z][\w-]*)>")
"""`<name>` in a path; the lexer sees `{name}`, which no shell would take for a redirection."""
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*=")
NEXT = frozenset({"&&", ";", "&"})
PROMPT = "$ "


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a document."""

    line: int
    words: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    output: str | None = None

    def __str__(self) -> str:
        return " ".join(self.words)


def typed(block: Block) -> Iterator[tuple[int, str]]:
    """Yield the lines that a reader types, with their numbers.

    Where a line begins with a prompt, the lines without one are what the commands print.
    """
    prompted = block.language == "console" or any(x.startswith(PROMPT) for x in block.lines)
    for number, line in joined(block):
        if line.startswith(PROMPT) or not prompted:
            yield number, line.removeprefix(PROMPT)


def joined(block: Block) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, those that end with a backslash as one with the next."""
    before, begin = "", 0
    for number, line in enumerate(block.lines, start=block.line):
        begin = begin if before else number
        if line.endswith("\\"):
            before += line[:-1] + " "
            continue
        yield begin, before + line
        before = ""
    if before:
        yield begin, before


def parsed(line: str, number: int) -> Iterator[Command]:
    """Yield the commands of a line.

    Raises:
        ValueError: for what only a shell could run.
    """
    bare = PLACEHOLDER.sub(r"{\1}", COMMENT.sub(lambda found: found[1] or "", line))
    lexer = shlex.shlex(bare, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in NEXT:
            words.append(word)
        elif words:
            yield command(words, number)
            words = []


def command(words: list[str], number: int) -> Command:
    """Return the command of these words, variables before it taken off."""
    variables = {}
    while words and VARIABLE.match(words[0]):
        name, _, variables[name] = words[0].partition("=")
        words = words[1:]
    output = None
    if len(words) > 2 and words[-2] == ">":
        words, output = words[:-2], words[-1]
    if not words:
        raise ValueError(f"only variables in `{' '.join(variables)}`: write `export` before them")
    if shell_only := [word for word in words if word in {"|", "||", "<", "<<", ">", ">>"}]:
        raise ValueError(f"`{shell_only[0]}` needs a shell: write the commands one by one")
    return Command(number, tuple(words), variables, output)
