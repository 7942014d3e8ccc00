"""What the Hugging Face hub has of a model: whether it answers, and weights that may be read."""

from __future__ import annotations

import functools
from pathlib import Path

from huggingface_hub import HfApi, constants, get_session, try_to_load_from_cache

from r2d_ray.errors import UserError
from r2d_ray.model.checkpoint import INDEX, WEIGHTS

HUB_TIMEOUT_S = 5.0
"""Wait for the hub's first answer; its client would try six times over half a minute."""

CONVERTER = ("SFconvertbot", "Adding `safetensors` variant of this model")
"""Who converts weights on the hub, and the title of the pull request that holds them: the models
that are older than safetensors, T5 v1.1 among them, may have theirs nowhere else."""


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


def weights_revision(name: str, revision: str | None) -> str | None:
    """Return the revision that has a model's safetensors, on the hub or in its cache here.

    It is the one asked for; where the default branch has none, the converter's pull request. Only
    names are asked for, no weights.

    Raises:
        UserError: if neither has them, or the hub does not say.
    """
    if only_local(name):
        if cached_folder(name, revision) is not None:
            return revision
        raise UserError(
            f"--model {name}: no {WEIGHTS} in the cache, and the hub cannot be reached "
            "(allowed: a folder, or a model and --model-revision that were loaded before)"
        )
    hub = HfApi(endpoint=constants.ENDPOINT)
    try:
        if any(hub.file_exists(name, file, revision=revision) for file in (WEIGHTS, INDEX)):
            return revision
        found = None if revision else converted(hub, name)
    except Exception as error:  # whichever the client's transport raises
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"--model {name}: the hub does not say which weights it has: {why}"
        ) from None
    if found:
        return found
    at = f" at revision {revision}" if revision else ""
    raise UserError(
        f"--model {name}: the hub has no {WEIGHTS}{at} (allowed: a revision that has them: "
        "--model-revision REV, or a folder by save_pretrained)"
    )


def cached_folder(name: str, revision: str | None) -> Path | None:
    """Return the folder of the hub's cache here that has a model's safetensors, None if none."""
    found = (try_to_load_from_cache(name, file, revision=revision) for file in (WEIGHTS, INDEX))
    return next((Path(path).parent for path in found if isinstance(path, str)), None)


def converted(hub: HfApi, name: str) -> str | None:
    """Return the revision of the converter's pull request for a model, such as `refs/pr/2`."""
    author, title = CONVERTER
    requests = hub.get_repo_discussions(
        name, author=author, discussion_type="pull_request", discussion_status="open"
    )
    for request in requests:
        if request.title == title and request.author == author:
            return request.git_reference
    return None
