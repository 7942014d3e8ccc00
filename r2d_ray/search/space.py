"""Search spaces: YAML data -> SearchSpace -> Optuna distributions.

A space names TrainConfig fields and nothing else, so a value keeps one name from the file to the
tables. Files are data: no tags, anchors, inheritance or conditions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from r2d_ray.config import SELECTION_METRICS, TrainConfig, build_config
from r2d_ray.errors import UserError, from_validation, unknown
from r2d_ray.records import Objective
from r2d_ray.search.domain import DEFAULT, Domain
from r2d_ray.storage import read_plain_yaml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


# Beside the package in a checkout and in site-packages alike. Not importlib.resources: a folder
# without modules is a namespace package, which would also take a `search_spaces` folder of the
# user's, and which Python 3.11 cannot read in an editable install.
SPACES = Path(__file__).resolve().parents[2] / "search_spaces"


class SearchSpace(BaseModel):
    """What a study searches: `metric` to `mode`, over `search`, with `fixed` for every trial.

    Keys of `fixed` and `search` are TrainConfig fields; their values lie within its bounds. The
    word `default` may be a choice until `prepare_space` knows trial 0's value.
    `model_dump(mode="json")` and `model_validate` carry a space through study.json unchanged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    metric: str
    mode: Literal["min", "max"]
    fixed: dict[str, Any] = Field(default_factory=dict)
    search: Annotated[dict[str, Domain], Field(min_length=1)]

    @field_validator("metric")
    @classmethod
    def _check_metric(cls, metric: str) -> str:
        if metric not in SELECTION_METRICS:
            raise unknown("metric", metric, SELECTION_METRICS)
        return metric

    @field_validator("fixed")
    @classmethod
    def _check_fixed(cls, fixed: dict[str, Any]) -> dict[str, Any]:
        return {field: _field_value(field, value) for field, value in fixed.items()}

    @field_validator("search")
    @classmethod
    def _check_search(cls, search: dict[str, Domain]) -> dict[str, Domain]:
        return {field: _in_bounds(field, domain) for field, domain in search.items()}

    @model_validator(mode="after")
    def _check_overlap(self) -> SearchSpace:
        both = [field for field in self.search if field in self.fixed]
        if both:
            raise ValueError(f"{both[0]} is both fixed and searched (allowed: one of them)")
        return self

    @property
    def objective(self) -> Objective:
        """The searched score and its better end."""
        return Objective(self.metric, self.mode)

    def fixed_by(self, flags: Mapping[str, Any]) -> dict[str, Any]:
        """Return the flags that end the search of a field.

        A search whose choices hold `default` goes on, with the flag's value in the word's place.
        """
        search = self.search
        return {k: v for k, v in flags.items() if k in search and not search[k].relative}


def _field_value(field: str, value: object) -> Any:
    """Return the value as TrainConfig reads it: `1e-5`, a string in YAML, becomes a number."""
    return getattr(build_config({field: value}), field)


def _choice(field: str, choice: object) -> Any:
    """Return a choice as TrainConfig reads it, the word `default` where it is no value itself."""
    if choice != DEFAULT or field not in TrainConfig.model_fields:
        return _field_value(field, choice)
    try:
        _field_value(field, choice)
    except UserError:
        return DEFAULT
    raise UserError(
        f"{field}: choice {DEFAULT!r} is both a {field} and the word for trial 0's value "
        "(allowed: the value itself)"
    )


def _in_bounds(field: str, domain: Domain) -> Domain:
    """Return the domain with its values as TrainConfig reads them; UserError where it does not."""
    if domain.choices is not None:
        choices = tuple(_choice(field, choice) for choice in domain.choices)
        if len(set(choices)) < len(choices):
            raise UserError(f"{field}: a value appears twice in choices {domain}")
        return domain.model_copy(update={"choices": choices})
    if field not in TrainConfig.model_fields:
        raise unknown("field", field, TrainConfig.model_fields)
    annotation = TrainConfig.model_fields[field].annotation
    kinds = ("categorical", *(kind.__name__ for kind in (int, float) if annotation is kind))
    if domain.type not in kinds:
        raise UserError(f"{field}: type = {domain.type!r} (allowed: {', '.join(kinds)})")
    low, high = (_field_value(field, end) for end in domain.bounds)
    return domain.model_copy(update={"low": low, "high": high})


def load_search_space(name_or_path: str) -> SearchSpace:
    """Return the space of this name (`bioasq`) or of this YAML file (`./mine.yaml`).

    Raises:
        UserError: for an unknown name, an unreadable file, YAML with tags, anchors or a key twice,
            an unknown key or field, or a value that is not allowed; with file and field.
    """
    path = Path(os.path.expanduser(name_or_path))
    if "/" not in name_or_path and path.suffix not in (".yaml", ".yml"):
        names = [file.stem for file in SPACES.glob("*.yaml")]
        if name_or_path not in names:
            raise unknown("search space", name_or_path, [*names, "FILE.yaml"])
        path = SPACES / f"{name_or_path}.yaml"
    document = read_plain_yaml(path)
    if not isinstance(document, dict):
        raise UserError(f"{path}: not a mapping (allowed keys: {', '.join(_KEYS)})")
    for key in document:
        if key not in _KEYS:
            raise UserError(f"{path}: {unknown('key', key, _KEYS)}")
    try:
        return SearchSpace.model_validate({**document, "name": path.stem})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except ValidationError as error:
        raise _refused(error, path) from None


_KEYS = tuple(key for key in SearchSpace.model_fields if key != "name")


def _refused(error: ValidationError, path: Path) -> UserError:
    """Return the first thing that pydantic refused; for an unknown key with the nearest known."""
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        *place, key = (str(part) for part in first["loc"])
        return UserError(f"{path}: {'.'.join(place)}: {unknown('key', key, Domain.model_fields)}")
    return from_validation(error, str(path), with_value=True)


def prepare_space(
    space: SearchSpace, defaults: Mapping[str, Any], method_fixed: Mapping[str, Any]
) -> tuple[SearchSpace, tuple[str, ...]]:
    """Return the space without the fields that the method fixes, and the names of those fields.

    The word `default` among choices becomes trial 0's value.

    Args:
        space: As loaded.
        defaults: Field values of trial 0: profile, fixed values, method and flags merged; a field
            that is not there has TrainConfig's default.
        method_fixed: The fields that the method sets.

    Raises:
        UserError: if a searched range excludes trial 0's value, or if nothing is left to search.
    """
    dropped = tuple(field for field in (*space.fixed, *space.search) if field in method_fixed)
    search = {field: domain for field, domain in space.search.items() if field not in dropped}
    if not search:
        names = ", ".join(space.search)
        raise UserError(f"space {space.name}: the method fixes every searched field ({names})")
    trial_0 = build_config(defaults)
    for field, domain in search.items():
        default = getattr(trial_0, field)
        search[field] = domain.resolved(default)
        if not search[field].contains(default):
            said = f"default {default!r} lies outside {domain}"
            raise UserError(f"space {space.name}: {field}: {said}")
    fixed = {field: value for field, value in space.fixed.items() if field not in dropped}
    return space.model_copy(update={"fixed": fixed, "search": search}), dropped


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of every searched field; both bounds are included."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for field, domain in space.search.items():
        if domain.choices is not None:
            found[field] = CategoricalDistribution(domain.choices)
        elif domain.type == "int":
            low, high = map(int, domain.bounds)
            found[field] = IntDistribution(low, high, log=domain.log)
        else:
            found[field] = FloatDistribution(*domain.bounds, log=domain.log)
    return found
