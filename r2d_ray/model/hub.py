"""Whether the Hugging Face hub answers: asked once, so that its absence costs one line."""

from __future__ import annotations

import functools
from pathlib import Path

from huggingface_hub import constants, get_session

HUB_TIMEOUT_S = 5.0
"""Wait for the hub's first answer; its client would try six times over half a minute."""


@functools.cache
def hub_answers() -> bool:
    """Return whether the hub can be reached from this process."""
    if constants.is_offline_mode():
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_S)
    except Exception:  # whichever the client's transport raises: there is no answer
        return False
    return True


def only_local(name: str) -> bool:
    """Return whether a model must be found on this machine: a folder, or no hub to ask."""
    return Path(name).is_dir() or not hub_answers()
