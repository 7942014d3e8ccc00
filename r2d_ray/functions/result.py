"""What a study that has ended returns to Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_ray.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class StudyStopped(Exception):
    """A study was interrupted before its end; the same call or command resumes it."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class StudyResult(dict[str, Any]):
    """What `result.json` holds, as a dictionary, with where the study lies and its table.

    Attributes:
        folder: The study's folder.
    """

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.folder = folder

    @property
    def table(self) -> pd.DataFrame:
        """Test scores, one row a model, method or control; NaN is a score that does not exist.

        Of methods over seeds, `macro_f1` is the mean and `macro_f1_sd` its standard deviation.
        Shares and F1 are 0 to 1, BLEU 0 to 100.
        """
        import pandas as pd

        if "methods" not in self:
            rows = self["test"]
        else:
            methods = {name: _spread(row) for name, row in self["methods"].items()}
            rows = {**methods, **self["controls"]}
        numbers = {
            name: {k: v for k, v in row.items() if isinstance(v, int | float | None)}
            for name, row in rows.items()
        }
        return pd.DataFrame.from_dict(numbers, orient="index").rename_axis("run")

    @property
    def best_model(self) -> Path:
        """The folder of the best model, for `predict_rows`.

        Raises:
            UserError: for a comparison, which exports none, and where no trial finished.
        """
        if "methods" in self:
            raise UserError(f"{self.folder}: a comparison exports no model (allowed: a search)")
        if "best_dir" not in self:
            raise UserError(f"{self.folder}: no trial finished: there is no best model")
        return Path(self["best_dir"])

    def __repr__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in sorted(self["trials"].items()))
        return f"<StudyResult {self.folder}: {states}>"


def _spread(row: dict[str, Any]) -> dict[str, Any]:
    """Return a method's scores: the mean under the score's name, the deviation beside it."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and "mean" in value:
            found[name] = value["mean"]
            found[f"{name}_sd"] = value["sd"]
        else:
            found[name] = value
    return found
