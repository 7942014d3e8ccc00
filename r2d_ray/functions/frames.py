"""A frame as the table that a study reads: a file beside the study, named by its content."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_ray.errors import UserError
from r2d_ray.storage import write_atomically
from r2d_ray.study.place import no_storage, root_of

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 16  # of the content's hash in a file's name
DECIMALS = 15  # the most that pandas writes


@contextmanager
def table_of(frame: pd.DataFrame, storage: str) -> Iterator[Path]:
    """Yield the file of a frame's rows, in the storage folder; a call that is refused leaves none.

    The same rows are the same file, whenever they come, so that a study goes on with them.

    Raises:
        UserError: as `table_text`, and for a storage that cannot be written.
    """
    text = table_text(frame)
    name = f"frame-{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}.jsonl"
    path = root_of(storage, ".") / name
    folders = [place for place in path.parents if not place.exists()]
    there = path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not there:
            write_atomically(path, text)
    except OSError as error:
        raise no_storage(storage, error) from None
    try:
        yield path
    except UserError:
        if not there:
            with suppress(OSError):  # a study may lie there by now
                path.unlink()
                for place in folders:
                    place.rmdir()
        raise


def table_text(frame: pd.DataFrame) -> str:
    """Return a frame's rows as JSON Lines; an index that has a name is a column of them.

    Raises:
        UserError: for no rows, columns that share a name or have several levels, and cells that
            JSON cannot hold.
    """
    if frame.columns.nlevels > 1:
        raise UserError(
            f"the frame's columns have {frame.columns.nlevels} levels (allowed: one name a column)"
        )
    named = [name for name in frame.index.names if name is not None]
    names = [str(name) for name in (*named, *frame.columns)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"the frame has several columns {twice[0]!r} (allowed: different names)")
    if frame.empty:
        raise UserError("the frame has no rows (allowed: at least one)")
    try:
        rows = frame.reset_index(level=named) if named else frame
        return rows.set_axis(names, axis=1).to_json(
            orient="records",
            lines=True,
            force_ascii=False,
            date_format="iso",
            double_precision=DECIMALS,
        )
    except (ValueError, OverflowError, TypeError) as error:
        said = str(error).splitlines()[0]
        raise UserError(
            f"the frame cannot be written: {said} (allowed: cells of text, numbers, lists)"
        ) from None
