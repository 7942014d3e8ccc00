"""`python -m analysis STUDY [STUDY ...] --out report/`: exit 0, or 2 with one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE, UserError


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    made = argparse.ArgumentParser(
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
        "--without-text",
        action="store_true",
        help="leave the rows' input text out of the page: predictions and rationales only",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = parser().parse_args(argv)
    import optuna  # these two after the arguments: --help stays quick

    from analysis.report import write_report

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # studies in memory are no news
    try:
        report = write_report(args.studies, args.out, with_text=not args.without_text)
    except UserError as error:
        print(f"error: {_one_line(str(error))}", file=sys.stderr)
        return EXIT_BAD_INPUT
    print(f"{report.tables} tables, {report.pictures} pictures: {report.page}")
    return EXIT_DONE


def _one_line(text: str) -> str:
    """Return text without line breaks and terminal commands, which a file's name may hold."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


if __name__ == "__main__":
    sys.exit(main())
