"""Labels that are one to a reader and two to a computer: letter case, invisible signs, `1.0`."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

from r2d_ray.errors import UserError

WHOLE_FLOAT = re.compile(r"([+-]?[0-9]+)[.,]0")


def as_seen(text: str) -> str:
    """Return the text as it looks: without invisible signs, composed, with plain spaces."""
    composed = unicodedata.normalize("NFKC", text)
    visible = "".join(c for c in composed if unicodedata.category(c) != "Cf")
    return " ".join(visible.split())


def near_key(label: str) -> str:
    """Return what labels share that are one label to a reader."""
    seen = unicodedata.normalize("NFC", as_seen(label).casefold())
    return WHOLE_FLOAT.sub(r"\1", seen) if WHOLE_FLOAT.fullmatch(seen) else seen


def check_spellings(name: str, labels: Sequence[str], counts: Mapping[str, int]) -> None:
    """Raise UserError where two labels of a fixed set are one label to a reader.

    Args:
        name: The data set.
        labels: Its labels.
        counts: Rows of each label.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        alike[near_key(label)].append(label)
    for spellings in alike.values():
        if len(spellings) > 1:
            same_look = len({as_seen(label) for label in spellings}) == 1
            shown = " and ".join(
                f"{ascii(label) if same_look else repr(label)} "
                f"({counts[label]} row{'' if counts[label] == 1 else 's'})"
                for label in spellings
            )
            why = "invisible signs or the form of an accent" if same_look else "spelling"
            raise UserError(
                f"{name}: labels {shown} differ in {why} only and would be "
                f"{len(spellings)} classes (write one of them in every row)"
            )
