"""The best model of a study with its card, for others: `python -m r2d_ray.export`.

python -m r2d_ray.export STUDY --to DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from r2d_ray.cli.command import parse, quiet_libraries, run_command, settings_from
from r2d_ray.cli.console import print_lines
from r2d_ray.cli.outputs import ExportSettings
from r2d_ray.errors import EXIT_DONE, UserError
from r2d_ray.sharing.contents import Contents, contents_of
from r2d_ray.sharing.upload import HUB, check_name, upload
from r2d_ray.storage import counted

MEGABYTE = 1e6


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m r2d_ray.export`; return its exit code."""
    args = parse("export", argv)
    return run_command(lambda: export_command(args), args.verbosity)


def export_command(args: argparse.Namespace) -> int:
    """Write or upload a study's best model, and say what went where."""
    quiet_libraries()
    asked = settings_from(args, ExportSettings)
    name = asked.to.removeprefix(HUB) if asked.to.startswith(HUB) else None
    if name is None:
        check_target(Path(asked.to))
        if asked.public:
            raise UserError(f"--public: for the hub only, not --to {asked.to}")
    else:
        check_name(name)
    contents = contents_of(Path(asked.study), asked.licence)
    if name is None:
        contents.write(Path(asked.to).expanduser().absolute())
        place = asked.to
    else:
        address = upload(contents, name, asked.public)
        place = f"{address} ({'public' if asked.public else 'private'})"
    if args.verbosity != "quiet":
        print_lines(outcome_lines(contents, place))
    return EXIT_DONE


def check_target(target: Path) -> None:
    """Raise UserError unless a folder can be made here: nothing is there, or an empty folder."""
    target = target.expanduser()
    try:
        free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    except OSError as error:
        raise UserError(f"--to {target}: {error.strerror} (allowed: a new folder)") from None
    if not free or target.is_symlink():
        what = "a folder that is not empty" if target.is_dir() else "not a folder"
        raise UserError(f"--to {target}: {what} (allowed: a new or empty folder, or hub:NAME)")


def outcome_lines(contents: Contents, place: str) -> list[str]:
    """Return what was written and where, a line each."""
    lines = [f"note: {note}" for note in contents.notes]
    if contents.left_out:
        lines.append(f"left out, no part of a model: {', '.join(contents.left_out)}")
    size = max(contents.size / MEGABYTE, 0.1)
    return [*lines, f"{counted(len(contents.files), 'file')}, {size:,.1f} MB: {place}"]


if __name__ == "__main__":
    raise SystemExit(main())
