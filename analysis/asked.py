"""Which study a notebook reads: the one that was asked for, else a small stored one."""

from __future__ import annotations

import os
from pathlib import Path

from r2d_ray.errors import UserError

CHECKOUT = Path(__file__).parents[1]
"""Of an installed package the folder of packages: there are no examples in it."""


def study_folder(asked: Path | str | None, example: str) -> Path:
    """Return the folder of the study that a notebook reads.

    Args:
        asked: As the notebook says it; None: `$R2D_STUDY`, else the stored example of this name.
        example: `search` or `comparison`.

    Raises:
        UserError: where no study was named and the examples are not here.
    """
    named = asked or os.environ.get("R2D_STUDY")
    if named:
        path = Path(named).expanduser()
        beside = CHECKOUT / path
        return beside if not path.exists() and beside.exists() else path
    stored = CHECKOUT / "examples" / "studies" / example
    if not stored.is_dir():
        raise UserError(
            "no study is named, and the examples are not installed (allowed: STUDY = 'FOLDER' in "
            "the first cell, or R2D_STUDY=FOLDER before the notebook is started)"
        )
    return stored
