"""r2d_ray: a Ray-distributed hyperparameter study of Reason2Decide.

The names below are loaded when first used, so that `import r2d_ray` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2d_ray.config import TrainConfig
    from r2d_ray.data.location import DataRequest
    from r2d_ray.data.sources import load_splits
    from r2d_ray.errors import UserError
    from r2d_ray.functions import predict_rows, run_comparison, run_search
    from r2d_ray.functions.result import StudyResult, StudyStopped

__version__ = "0.3.0"
__all__ = [
    "DataRequest",
    "StudyResult",
    "StudyStopped",
    "TrainConfig",
    "UserError",
    "load_splits",
    "predict_rows",
    "run_comparison",
    "run_search",
]

_PLACES = {
    "DataRequest": "data.sources",
    "StudyResult": "functions.result",
    "StudyStopped": "functions.result",
    "TrainConfig": "config",
    "UserError": "errors",
    "load_splits": "data.sources",
    "predict_rows": "functions",
    "run_comparison": "functions",
    "run_search": "functions",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
