"""Files, folders and texts as the project keeps and prints them: whole or not at all, hashed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from r2d_ray.errors import UserError


def cut_torn_line(path: Path) -> None:
    """Cut off a last line without its newline, which a killed writer left; no file is no harm."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file by renaming a finished one over it: no reader sees half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def whole_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` when the block ends and vanishes if it raises.

    Readers of `path` find this folder or the one before it, whole, or none as one takes the place
    of the other.

    Args:
        path: Its place.
        replace: Whether it may take the place of another; then one process at a time writes here,
            what a killed one left is cleared, and missing parents are made. Else any number may
            try at once: each has a folder of its own (mode 0700), and whoever comes late gets the
            OSError of the rename.
    """
    if replace:
        part, old = (path.with_name(f".{path.name}.{end}") for end in ("part", "old"))
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
        part.mkdir(parents=True)
    else:
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield part
        if replace and path.exists():
            path.rename(old)
            part.rename(path)
            shutil.rmtree(old)
        else:
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def key_of(*values: Any) -> str:
    """Return the hash (16 hex digits) of JSON values, whatever the order of a mapping's keys."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Return a file's SHA-256 as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def printable(text: str) -> str:
    r"""Return the text with `?` for what would end a line or steer a terminal.

    Signs without a picture (zero-width, no-break space) are spelt out: `\u200b`, `\xa0`.
    """
    return text if text.isprintable() else "".join(map(_printed, text))


def counted(count: float, noun: str) -> str:
    """Return a count with its noun, and its digits as they are: `1 row`, `2 rows`, `0.5 GPUs`."""
    return f"{count:.15g} {noun}{'' if count == 1 else 's'}"


def _printed(character: str) -> str:
    if character.isprintable():
        return character
    return ascii(character)[1:-1] if unicodedata.category(character) in ("Cf", "Zs") else "?"


LONGEST_INT_BITS = 1024  # Python refuses to print integers of more than about 14,000
DEEPEST = 20  # levels; a search space has 3, a DeepSpeed configuration in it some more


class _Loader(yaml.SafeLoader):
    """SafeLoader without what YAML would accept silently: a key twice, an endless integer."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                said = f"key {key.value!r} appears twice"
                raise yaml.MarkedYAMLError(problem=said, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = int(super().construct_yaml_int(node))
        if value.bit_length() > LONGEST_INT_BITS:
            said = f"an integer of {value.bit_length()} bits (allowed: {LONGEST_INT_BITS})"
            raise yaml.MarkedYAMLError(problem=said, problem_mark=node.start_mark)
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_plain_yaml(path: Path) -> Any:
    """Return the one document of a YAML file, as plain values.

    Raises:
        UserError: for an unreadable file, or as `plain_yaml`, with the file.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror} (allowed: a readable YAML file)") from None
    return plain_yaml(text, str(path))


def read_yaml_texts(path: Path) -> Any:
    """Return the document of a YAML file with every scalar as its text: `no` is "no".

    Raises:
        UserError: as `read_plain_yaml`.
    """
    read_plain_yaml(path)
    return yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)


def plain_yaml(text: str | bytes, where: str) -> Any:
    """Return the one document of a YAML text, as plain values.

    Raises:
        UserError: for what is no YAML, and for YAML with tags, anchors, a key twice, more than one
            document, more than `DEEPEST` levels or an integer of more than `LONGEST_INT_BITS`; with
            `where` and the line.
    """
    with _said_of(where):
        _check_events(text)
        return yaml.load(text, Loader=_Loader)


def plain_nodes(text: str | bytes, where: str) -> yaml.Node | None:
    """Return the one document of a YAML text as nodes, which know their line and spelling.

    None of an empty document.

    Raises:
        UserError: as `plain_yaml`, but not for a key twice or an integer.
    """
    with _said_of(where):
        _check_events(text)
        found: yaml.Node | None = yaml.compose(text, Loader=yaml.BaseLoader)
        return found


def _check_events(text: str | bytes) -> None:
    depth = 0
    event: Any  # which attributes it has depends on its kind
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        for extra in ("tag", "anchor"):  # an alias event bears its anchor's name
            if getattr(event, extra, None) is not None:
                said = f"YAML {extra} {getattr(event, extra)!r} (allowed: plain values only)"
                raise yaml.MarkedYAMLError(problem=said, problem_mark=event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:  # found at once; the parser's time grows with the depth's square
            said = f"nested too deeply (allowed: {DEEPEST} levels)"
            raise yaml.MarkedYAMLError(problem=said, problem_mark=event.start_mark)


@contextmanager
def _said_of(where: str) -> Iterator[None]:
    """Raise what YAML raises as a UserError with the place."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where}{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that is none
        raise UserError(f"{where}: {' '.join(str(error).split())}") from None
