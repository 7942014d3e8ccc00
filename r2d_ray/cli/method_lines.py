"""What `compare --list` prints: every method, its source and its values."""

from __future__ import annotations

from collections.abc import Mapping

from r2d_ray.cli.screen.words import short
from r2d_ray.config import TrainConfig
from r2d_ray.method.variants import Method


def method_lines(methods: Mapping[str, Method]) -> list[str]:
    """Return every method with its source and the fields in which it differs from `r2d`."""
    lines = []
    for method in methods.values():
        lines += [f"{method.name}: {method.description}", f"  source: {method.source}"]
        differing = {
            name: value
            for name, value in method.values.items()
            if value != TrainConfig.model_fields[name].default
        }
        values = ", ".join(f"{name}={short(value)}" for name, value in differing.items())
        lines.append(f"  differences from r2d: {values or 'none'}")
    return lines
