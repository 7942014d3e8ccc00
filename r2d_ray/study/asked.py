"""What a command is asked: classes of values whose fields are its flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

DATA, TRAINING, SEARCH = "data", "model and training", "search"
COMPARISON, STUDY, CLUSTER = "comparison", "study", "cluster"


@dataclass(frozen=True, slots=True)
class Flag:
    """What the command line says of a field beyond its type and docstring.

    Attributes:
        group: Heading of the help under which the flag stands.
        metavar: What stands for the value there.
        name: The flag's, where it is not the field's.
        words: Names that the help lists; checked where they are looked up.
        former: Another spelling that is accepted, and its values.
        positional: Whether the value stands alone, without the flag's name.
    """

    group: str
    metavar: str | tuple[str, ...] | None = None
    name: str | None = None
    words: tuple[str, ...] = ()
    former: tuple[str, tuple[str, ...]] | None = None
    positional: bool = False


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value} appears twice (allowed: each once)")
    return values


Once = AfterValidator(_each_once)
"""Refuses a value that is named twice."""


class Asked(BaseModel):
    """Values that a command was asked for."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    def given(self) -> dict[str, Any]:
        """Return the values that were given, without the defaults."""
        return {name: getattr(self, name) for name in self.model_fields_set}


Budgets = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...],
    *(Flag(COMPARISON, "STEPS"), Field(max_length=4, exclude_if=lambda found: not found), Once),
]
"""Steps of stage 2, each budget once, at most four: three larger ones after the first."""


def flag_of(name: str) -> str:
    """Return the flag of this name: `num_samples` -> `--num-samples`."""
    return "--" + name.replace("_", "-")


def flag_in(kind: type[BaseModel], field: str) -> Flag:
    """Return what the command line says of a field."""
    return next(said for said in kind.model_fields[field].metadata if isinstance(said, Flag))
