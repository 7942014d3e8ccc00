"""What the package can do, in a few lines: `python -m r2d_ray`."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

from r2d_ray import __all__ as names
from r2d_ray import __version__
from r2d_ray.errors import EXIT_READER_LEFT, reader_left

WIDTH = 80
FIRST = ("tune", "predict", "export", "compare", "train")  # as a newcomer needs them
MARK = ": `python -m r2d_ray."


def commands() -> dict[str, str]:
    """Return every command and what it does, from the first line of its file."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        document = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        what, mark, _ = document.partition("\n")[0].partition(MARK)
        if mark:
            found[f"python -m r2d_ray.{path.stem}"] = what
    found = {name: found[name] for name in sorted(found, key=place_of)}
    return {**found, "python -m analysis": "Tables, pictures and one page from finished studies"}


def place_of(command: str) -> tuple[int, str]:
    """Return where a command stands: those that come first in a study, then others by name."""
    verb = command.rpartition(".")[2]
    return (FIRST.index(verb) if verb in FIRST else len(FIRST), verb)


def overview() -> str:
    """Return the text that is printed."""
    width = max(map(len, commands()))
    return "\n".join(
        [
            f"r2d_ray {__version__}: a hyperparameter study of Reason2Decide, distributed with Ray",
            "",
            *(f"  {command:<{width}}  {what}" for command, what in commands().items()),
            "",
            "Each takes --help. To begin: python -m r2d_ray.tune --dataset bioasq",
            *textwrap.wrap(f"From Python: {', '.join(names)}", WIDTH, subsequent_indent="  "),
            "Documents: README.md, docs/ and examples/ in the source; `make docs` builds the site",
        ]
    )


if __name__ == "__main__":
    try:
        print(overview(), flush=True)
    except BrokenPipeError:
        reader_left()
        raise SystemExit(EXIT_READER_LEFT) from None
