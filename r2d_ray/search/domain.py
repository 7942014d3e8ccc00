"""What one field of a search space may be: a range or choices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULT = "default"  # a choice that stands for trial 0's value, which differs by profile and flags
SCALARS = (bool, int, float, str, type(None))  # what Optuna's journal keeps as a choice


class Domain(BaseModel):
    """What one field may be: `low` to `high`, both included, evenly or in `log`; or `choices`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    type: Literal["float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check_shape(self) -> Domain:
        if self.type == "categorical":
            if self.choices is None or self.low is not None or self.high is not None or self.log:
                raise ValueError("type categorical takes choices, not low, high or log")
            if not all(isinstance(choice, SCALARS) for choice in self.choices):
                raise ValueError(f"choices {self} (allowed: numbers, words, true, false, null)")
        elif self.low is None or self.high is None or self.choices is not None:
            raise ValueError(f"type {self.type} takes low and high, not choices")
        elif self.low >= self.high:
            raise ValueError(f"low = {self.low} is not below high = {self.high}")
        elif self.log and self.low <= 0:
            raise ValueError(f"low = {self.low} has no logarithm (allowed: above 0, or log: false)")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value of a numeric domain."""
        assert self.low is not None  # by _check_shape
        assert self.high is not None
        return self.low, self.high

    @property
    def relative(self) -> bool:
        """Whether a choice stands for trial 0's value."""
        return self.choices is not None and DEFAULT in self.choices

    def resolved(self, value: Any) -> Domain:
        """Return the domain with trial 0's value in the place of the word; doubles fall away."""
        if self.choices is None or not self.relative:
            return self
        choices = dict.fromkeys(value if choice == DEFAULT else choice for choice in self.choices)
        return self.model_copy(update={"choices": tuple(choices)})

    def contains(self, value: Any) -> bool:
        """Return whether the value can be drawn from this domain."""
        if self.choices is not None:
            return value in self.choices
        low, high = self.bounds
        return bool(low <= value <= high)

    def __str__(self) -> str:
        """Return the domain as an error shows it."""
        values = self.bounds if self.choices is None else self.choices
        return f"[{', '.join(map(repr, values))}]"
