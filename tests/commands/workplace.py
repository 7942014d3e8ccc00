"""The folder in which a document's commands run: its files, data and studies."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import budget
import yaml
from fenced import Block
from shell_lines import Command
from shown_tables import KINDS, grown, toy_rows, write_table
from shrink import ROOT, flag_values, replaced

STORED = ("examples/studies/comparison", "examples/studies/search")
STUDY = re.compile(r"^studies/(?P<name>[^/]+)(?P<rest>/.*)?$")
WRITE_FLAGS = ("--out", "--output", "--storage-path")
READ_FLAGS = ("--dataset", "--input", "--data")


def named_in_files(words: Sequence[str], flag: str) -> list[str]:
    """Return what the files of `--config` give a flag."""
    files = [yaml.safe_load((ROOT / name).read_text()) for name in flag_values(words, "--config")]
    return [str(file[flag[2:]]) for file in files if flag[2:] in file]


class Workplace:
    """A working folder; `lend` makes a study for a document that reads one before it makes one."""

    def __init__(self, folder: Path, lend: Callable[[], Path] | None = None) -> None:
        self.folder, self.lend = folder, lend
        self.shown: set[str] = set()
        self.data = official_data() or folder / "no-data"
        (folder / "no-data").mkdir(parents=True)
        (folder / budget.SMALL_GRIDS).mkdir()
        for name in budget.LINKED:
            if (ROOT / name).exists():
                (folder / name).symlink_to(ROOT / name)

    def write_shown(self, blocks: Iterable[Block]) -> None:
        """Write the files that the document shows; a short table as a longer one like it."""
        for block in blocks:
            if block.file is None:
                continue
            path, text = self.folder / block.file, "\n".join(block.lines) + "\n"
            self.shown.add(block.file)
            if path.suffix in (".csv", ".jsonl"):
                write_table(path, grown(block.file, text))
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

    def variables(self, command: Command) -> dict[str, str]:
        """Return the variables that a command is given.

        Raises:
            ValueError: for a value `...` that the table does not know.
        """
        kept = {n: v for n, v in command.variables.items() if n not in budget.VARIABLES}
        for name, value in kept.items():
            if "..." in value or "…" in value:
                raise ValueError(f"{name}={value}: add it to VARIABLES in tests/commands/budget.py")
        return {name: self.place(value) for name, value in kept.items()}

    def words(self, words: Sequence[str], *, with_studies: bool) -> list[str]:
        """Return the words with names of this folder; tables that a flag reads are made.

        Raises:
            ValueError: for an absolute path that the table does not know, or output that would
                land in the repository.
        """
        columns = ",".join(flag_values(words, "--columns"))
        for flag in READ_FLAGS:
            for name in (*flag_values(words, flag), *named_in_files(words, flag)):
                here = name.startswith("/") or name in self.shown or (ROOT / name).exists()
                if name in budget.WRITTEN_BY:
                    script, *size = budget.WRITTEN_BY[name]
                    runpy.run_path(str(ROOT / script))["write"](self.folder / name, *size)
                elif name.endswith(KINDS) and not here:
                    write_table(self.folder / name, toy_rows(columns))
        for name in flag_values(words, "--grid"):
            if name.startswith(budget.SMALL_GRIDS):
                (self.folder / name).write_text(budget.SMALL_GRID)
        for name in (x for flag in WRITE_FLAGS for x in flag_values(words, flag)):
            if Path(name).parts[0] in budget.LINKED:
                raise ValueError(f"{name} would be written into the repository: name another")
        made: list[str] = []
        for word in words:
            for folder in budget.STUDY_FOLDERS:
                word = re.sub(f"^{re.escape(folder)}", "studies/", word)
            found = STUDY.match(word)
            if found and with_studies:
                made.append(self.study(found["name"], found["rest"] or "", made))
            else:
                made.append(self.place(word))
        if any(not Path(x).exists() for x in flag_values(made, "--data") if self.is_data(x)):
            return replaced(made, {"--data": ()})  # the embedded sample of the named set
        return made

    def is_data(self, path: str) -> bool:
        """Whether a path lies where the official files would be."""
        return path.startswith(str(self.data))

    def place(self, word: str) -> str:
        """Return an absolute path of a document as one that is here."""
        for folder in budget.DATA_FOLDERS:
            if word == folder or word.startswith(f"{folder}/"):
                return str(self.data) + word.removeprefix(folder)
        if word.startswith(("/", "~/")) and not word.startswith(str(self.folder)):
            raise ValueError(
                f"{word}: add it to DATA_FOLDERS or STUDY_FOLDERS in tests/commands/budget.py"
            )
        return word

    def study(self, name: str, rest: str, taken: Iterable[str]) -> str:
        """Return the path of a study that has this file: the named one, else the newest made.

        Raises:
            ValueError: if there is none.
        """
        named = self.folder / "studies" / name
        if (named / rest.lstrip("/")).exists() and named.is_dir():
            return str(named) + rest
        for root in self.studies():
            path = str(root) + rest
            if Path(path).exists() and path not in taken:
                return path
        raise ValueError(f"studies/{name}{rest}: no command makes it")

    def studies(self) -> Iterable[Path]:
        """Yield the studies that there are: made here, newest first; lent; stored."""
        made = (self.folder / "studies").glob("*/study.json")
        yield from (x.parent for x in sorted(made, key=lambda x: -x.stat().st_mtime))
        if self.lend:
            yield self.lend()
        yield from (ROOT / name for name in STORED if (ROOT / name).is_dir())


def official_data(variables: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder of official files, where this machine has one."""
    for place in (variables.get("R2D_DATA"), ROOT.parent / "shared" / "data"):
        if place and Path(place).is_dir():
            return Path(place)
    return None
