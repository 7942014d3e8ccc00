"""Analysis of studies: reads study.json, records and predictions only; no torch, ray or pickles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.notebook import Reading


def load_study(folder: Path | str) -> Reading:
    """Return a study, opened and checked: its frames, tables, pictures and report.

    Raises:
        UserError: in one line, for what is no study or is damaged.
    """
    from analysis.notebook import Reading  # loads matplotlib
    from analysis.studies import open_study

    return Reading(open_study(Path(folder)))
