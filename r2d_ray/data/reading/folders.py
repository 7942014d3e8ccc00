"""Which files of a folder are which split: by their names, as the hub and `datasets` name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from r2d_ray.data.files import Table
from r2d_ray.data.reading.arrow_columns import Choose, every_column
from r2d_ray.data.reading.formats import ending_of, read_records
from r2d_ray.errors import UserError, unknown

SPLIT_ALIASES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
DESCRIBING = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""Files that describe a data set and hold no row."""

SHARD = re.compile(r"(?P<name>.*?)[-_.]?(?P<number>\d+)(?:-of-(?P<of>\d+))?")
"""A file that is a numbered part of a table: `train-00000-of-00002`, `train_1`."""

Files = dict[str, list[Path]]


def split_named(word: str, where: str) -> str:
    """Return the split that a source calls so.

    Raises:
        UserError: if it is none.
    """
    if word not in SPLIT_ALIASES:
        raise unknown(f"split of {where}", word, SPLIT_ALIASES)
    return SPLIT_ALIASES[word]


def split_files(folder: Path) -> tuple[Files, tuple[Path, ...]]:
    """Return a folder's table files by split ("" where none is named), and those that are not read.

    Taken are files named after a split, whole or in numbered parts; folders named after a split;
    files with a split's name as one word of theirs; one table, whole or in parts; else the same
    of the only folder in it that has tables, such as a hub snapshot's `data`.

    Raises:
        UserError: where several tables are in question, a split has two, or a part is missing.
    """
    files = tables_in(folder)
    stems = {file: file.name[: -len(ending_of(file) or "")].lower() for file in files}
    named = _by_split(folder, {file: _split_of(stem) for file, stem in stems.items()})
    if not named:
        inner = [d for d in sorted(folder.iterdir()) if d.is_dir() and not _is_hidden(d)]
        of_split = {d: SPLIT_ALIASES.get(d.name.lower(), "") for d in inner if tables_in(d)}
        if any(of_split.values()) and not files:
            return _by_split(folder, {f: s for d, s in of_split.items() for f in tables_in(d)}), ()
        if not files:
            inner = [
                d for d in inner if any(map(tables_in, [d, *filter(Path.is_dir, d.rglob("*"))]))
            ]
            if len(inner) == 1:
                return split_files(inner[0])
        words = {file: _word_of(stem) for file, stem in stems.items()}
        if len(files) > 1 and all(words.values()):
            named = _by_split(folder, words)
    if named:
        read = {file for members in named.values() for file in members}
        return named, tuple(file for file in files if file not in read)
    if len(files) == 1 or _is_one_table(list(stems.values())):
        _check_shards(folder, files)
        return {"": files}, ()
    found = ", ".join(file.name for file in files[:5]) or _folders(inner) or "none"
    raise UserError(
        f"{folder}: expected train, validation and test files or exactly one table (found: {found})"
    )


def read_table(folder: Path, files: Sequence[Path], choose: Choose = every_column) -> Table:
    """Return the rows of a table that lies in one or more files.

    Raises:
        UserError: as `read_records`.
    """
    tables = [read_records(file, choose) for file in files]
    if len(tables) == 1:
        return tables[0]
    return Table(
        (row for table in tables for row in table),
        str(folder),
        (name for table in tables for name in table.columns),
        [
            f"{len(files)} files: {files[0].name} to {files[-1].name}",
            *(note for table in tables for note in table.notes),
        ],
        (piece for table in tables for piece in table.pieces),
    )


def tables_in(folder: Path) -> list[Path]:
    """Return the table files that lie directly in a folder, sorted."""
    files = [file for file in sorted(folder.iterdir()) if ending_of(file) and not file.is_dir()]
    return [f for f in files if not f.name.startswith(".") and f.name not in DESCRIBING]


def _below(folder: Path) -> list[Path]:
    return [inner for inner in folder.rglob("*") if inner.is_dir()]


def _is_hidden(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name == "__MACOSX"


def shards(path: Path) -> int:
    """Return of how many files this one is a part by its name; 1 where it does not say."""
    part = _part(path)
    return int(part["of"]) if part else 1


def _part(path: Path) -> re.Match[str] | None:
    part = SHARD.fullmatch(path.name[: -len(ending_of(path) or "")])
    return part if part and part["of"] else None


def _split_of(stem: str) -> str:
    part = SHARD.fullmatch(stem)
    return SPLIT_ALIASES.get(stem) or SPLIT_ALIASES.get(part["name"] if part else "", "")


def _word_of(stem: str) -> str:
    found = {SPLIT_ALIASES[word] for word in re.split(r"[-_. ]", stem) if word in SPLIT_ALIASES}
    return found.pop() if len(found) == 1 else ""


def _by_split(folder: Path, splits: dict[Path, str]) -> Files:
    named: Files = {}
    for file, split in splits.items():
        if split:
            named.setdefault(split, []).append(file)
    for split, files in named.items():
        stems = [file.name[: -len(ending_of(file) or "")].lower() for file in files]
        in_folder = all(file.parent != folder for file in files)
        if len(files) > 1 and not _is_one_table(stems) and not in_folder:
            raise UserError(f"{folder}: both {files[0].name} and {files[1].name} are {split} sets")
        _check_shards(folder, files)
    return named


def _is_one_table(stems: Sequence[str]) -> bool:
    parts = [SHARD.fullmatch(stem) for stem in stems]
    return bool(parts) and all(parts) and len({part["name"] for part in parts if part}) == 1


def _check_shards(folder: Path, files: Sequence[Path]) -> None:
    """Raise UserError where a part by its name is missing, or is there twice."""
    found: dict[tuple[Path, str], Path] = {}
    for file in files:
        if part := _part(file):
            place = (file.parent, part["number"])
            if place in found:
                both = f"{found[place].name} and {file.name}"
                raise UserError(f"{folder}: both {both} are the same part of a table (keep one)")
            found[place] = file
    for (parent, number), file in found.items():
        every = (f"{n:0{len(number)}}" for n in range(shards(file)))
        absent = next((n for n in every if (parent, n) not in found), None)
        if absent:
            name = file.name.replace(f"{number}-of-", f"{absent}-of-")
            here = f"{len(found)} of {shards(file)} parts are here"
            raise UserError(f"{folder}: {name} is missing ({here})")


def _folders(folders: Sequence[Path]) -> str:
    names = ", ".join(folder.name for folder in folders[:5])
    return f"tables in the folders {names}; name one of them" if names else ""
