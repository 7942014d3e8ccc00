"""What goes wrong by the user's hand: one clear line, exit code 2, nothing written.

A `UserError` names the thing (flag, field, file and line), its value and what was allowed.
Everything else that raises is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

EXIT_DONE = 0
EXIT_NO_USABLE_TRIAL = 1
EXIT_BAD_INPUT = 2
EXIT_SOME_TRIALS_FAILED = 3
EXIT_STOPPED_RESUMABLE = 75


class UserError(Exception):
    """Bad usage or bad input; its text is the one line that the user sees."""


def unknown(kind: str, value: object, allowed: Iterable[str]) -> UserError:
    """Return the error for a name that is not in a closed set, with the nearest allowed name.

    Args:
        kind: What was named, as the user knows it (`dataset`, `method`, `field`).
        value: What the user wrote.
        allowed: The names that exist.
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UserError(f"unknown {kind} {str(value)!r}{hint} (allowed: {', '.join(names)})")


def from_validation(
    error: ValidationError, where: str = "", *, with_value: bool = False
) -> UserError:
    """Return the first thing that pydantic refused as one line: place, field, what is wrong.

    Args:
        error: What pydantic raised.
        where: The file or flag that held the values; empty where the field says enough.
        with_value: Whether to show a refused number or word. Never for rows: their text is private.
    """
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    value = first["input"]
    plain = first["type"] != "missing" and not (value and isinstance(value, dict | list))
    if with_value and field and plain:
        field += f" = {reprlib.repr(value)}"
    # Classes of ours mean nothing to the user.
    said = re.sub(r"^Value error, | or (an )?instance of \w+$", "", first["msg"])
    return UserError(": ".join(part for part in (where, field, said) if part))
