"""A model on the Hugging Face hub: a new repository, private unless asked, filled by one commit."""

from __future__ import annotations

from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id
from huggingface_hub.utils.tqdm import disable_progress_bars

from r2d_ray.errors import UserError
from r2d_ray.sharing.contents import Contents
from r2d_ray.storage import counted

HUB = "hub:"
MADE_BY_THE_HUB = {".gitattributes"}


def check_name(name: str) -> None:
    """Raise UserError for a name that the hub cannot have."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise UserError(f"--to {HUB}{name}: no name of the hub (allowed: USER/NAME)") from None


def upload(contents: Contents, name: str, public: bool) -> str:
    """Upload the files as one commit and return the model's address.

    A repository that an interrupted upload left empty is filled. The token is that of `HF_TOKEN`,
    or the one that `hf auth login` kept.

    Raises:
        UserError: without a token or a network, and for a repository that has files or is public
            where a private one was asked for.
    """
    where = f"--to {HUB}{name}"
    if constants.is_offline_mode():
        raise UserError(f"{where}: HF_HUB_OFFLINE is set (allowed: a folder, or no such variable)")
    token = get_token()
    if token is None:
        raise UserError(f"{where}: no token (allowed: HF_TOKEN, or after `hf auth login`)")
    hub = HfApi(endpoint=constants.ENDPOINT, token=token)
    disable_progress_bars()
    try:
        made = hub.create_repo(name, private=not public, exist_ok=True)
        full = made.repo_id
        check_empty(hub, full, public)
        hub.create_commit(
            full,
            [CommitOperationAdd(path, one) for path, one in contents.files.items()],
            commit_message="Model exported by r2d_ray",
        )
    except UserError:
        raise
    except Exception as error:  # whichever the client's transport raises
        lines = (str(error).strip() or type(error).__name__).splitlines()
        why = " ".join(" ".join(lines).split()).replace(token, "...")
        raise UserError(f"{where}: the hub does not take it: {why}") from None
    return str(made)


def check_empty(hub: HfApi, name: str, public: bool) -> None:
    """Raise UserError for a repository with files, or one that more people see than was asked."""
    info = hub.model_info(name)
    files = {one.rfilename for one in info.siblings or ()} - MADE_BY_THE_HUB
    if files:
        raise UserError(
            f"--to {HUB}{name}: {counted(len(files), 'file')} there already (allowed: a new name)"
        )
    if not public and info.private is False:
        raise UserError(f"--to {HUB}{name}: it is public (allowed: with --public, or a new name)")
