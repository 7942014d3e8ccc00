"""`python -m analysis STUDY [STUDY ...] --out report/`: exit 0, or 2 with one line.

A fault of ours is one line too, with exit code 70.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from r2d_ray.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_FAULT,
    EXIT_READER_LEFT,
    UserError,
    reader_left,
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UserErrors: one line."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as a UserError, in our words where no study is named."""
        if message.endswith("required: STUDY"):
            raise UserError("STUDY is missing (allowed: the folders of one or more studies)")
        raise UserError(f"{message.removeprefix('argument ')} (see --help)")


def parser() -> Parser:
    """Return the command's arguments."""
    made = Parser(
        prog="python -m analysis",
        description="Turn studies into tables, pictures and one page; nothing is trained again.",
    )
    made.add_argument("studies", nargs="+", type=Path, metavar="STUDY", help="a study's folder")
    made.add_argument(
        *("--out", "-o"),
        type=Path,
        default=Path("report"),
        help="folder of the report; an existing report is replaced (default: %(default)s)",
    )
    made.add_argument(
        "--paper",
        type=Path,
        metavar="DIR",
        help="folder for LaTeX tables and PDF pictures that fit a paper, with a main.tex that "
        "shows them all; such a folder that is there is replaced",
    )
    made.add_argument(
        "--without-text",
        action="store_true",
        help="leave the rows' input text out of the page: predictions and rationales only",
    )
    made.add_argument(
        "--static",
        action="store_true",
        help="a page below 1.5 MB for mail and supplements: its pictures do not move",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    try:
        return _report(argv)
    except UserError as error:
        print(f"error: {_one_line(str(error))}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError:
        raise  # of the machine: a full disk, a reader that left
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"a fault of r2d_ray, at {place.filename}:{place.lineno}"
        print(_one_line(f"error: {type(error).__name__}: {error} ({where})"), file=sys.stderr)
        return EXIT_FAULT


def _report(argv: Sequence[str] | None) -> int:
    try:
        args = parser().parse_args(argv)
    except SystemExit:  # --help was printed
        if reader_left():
            return EXIT_READER_LEFT
        raise
    import optuna  # these two after the arguments: --help stays quick

    from analysis.report import write_report

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # studies in memory are no news
    report = write_report(
        args.studies,
        args.out,
        with_text=not args.without_text,
        static=args.static,
        paper=args.paper,
    )
    print(f"{report.tables} tables, {report.pictures} pictures: {report.page}")
    if args.paper:
        print(
            f"for a paper: {report.paper_tables} tables, {report.pictures} pictures: "
            f"{args.paper / 'main.tex'}"
        )
    return EXIT_DONE


def _one_line(text: str) -> str:
    """Return text without line breaks and terminal commands, which a file's name may hold."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


if __name__ == "__main__":
    sys.exit(main())
