"""What a folder of weights holds, read from its headers: nothing is loaded, nothing is drawn.

A weight that is missing would be drawn at random by transformers, one too many left out: both are
refused here, by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForSeq2SeqLM, PretrainedConfig, PreTrainedTokenizerBase

from r2d_ray.errors import UserError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
OTHER_FORMATS = ("*.bin", "*.h5", "*.msgpack", "*.ckpt*", "*.pt", "*.pth")
TOKENIZERS = ("tokenizer.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
JSON_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""Files that transformers reads beside the weights, where they are there."""
LFS_POINTER = b"version https://git-lfs"
EMBEDDING = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
"""Three names of one weight in every T5: a file may hold any of them."""
HEAD = "lm_head.weight"
SHOWN = 3  # names in one line

Shapes = Mapping[str, tuple[int, ...]]


def check_is_model(folder: Path) -> None:
    """Raise UserError for a folder that is no model: empty, an adapter, a damaged file, ByT5."""
    where = f"--model {folder}"
    if (folder / ADAPTER).is_file():
        raise UserError(
            f"{where}: an adapter, not a model (allowed: merge it into its model first)"
        )
    if not any(folder.iterdir()):
        raise UserError(f"{where}: an empty folder (allowed: a folder with config.json, {WEIGHTS})")
    if not (folder / "config.json").is_file():
        raise UserError(f"{where}: no config.json (allowed: a folder as save_pretrained writes it)")
    for path in (folder / name for name in (*JSON_FILES, *TOKENIZERS)):
        if path.is_file():
            check_whole(path, where)
    if "ByT5Tokenizer" in _text(folder / "tokenizer_config.json"):
        raise byt5(str(folder))


def check_whole(path: Path, where: str) -> None:
    """Raise UserError for a file that is not what its name says: a pointer, empty, torn JSON."""
    data = path.read_bytes()
    if data.startswith(LFS_POINTER):
        raise lfs_pointer(path, where)
    said = "" if data else "it is empty"
    if data and path.suffix == ".json":
        try:
            said = "" if isinstance(json.loads(data), dict) else "it is no JSON object"
        except ValueError as error:
            said = f"it is not JSON ({error})"
    if said:
        raise UserError(f"{where}: {path.name} cannot be read: {said} (allowed: the whole file)")


def lfs_pointer(path: Path, where: str) -> UserError:
    """Return the refusal of a file whose content was not fetched."""
    return UserError(
        f"{where}: {path.name} is a pointer of Git LFS, not the file "
        "(allowed: the file that `git lfs pull` fetches)"
    )


def check_has_tokenizer(folder: Path) -> None:
    """Raise UserError for a folder without a tokenizer: transformers would make an empty one."""
    if tokenizer_of(folder) is None:
        raise UserError(
            f"--model {folder}: no tokenizer (allowed: a folder with {' or '.join(TOKENIZERS[:2])})"
        )


def tokenizer_of(folder: Path) -> str | None:
    """Return the name of the file that transformers reads a folder's tokenizer from, or None."""
    return next((name for name in TOKENIZERS if (folder / name).is_file()), None)


def byt5(name: str) -> UserError:
    """Return the refusal of ByT5."""
    return UserError(
        f"--model {name}: ByT5 is not supported: its tokens are bytes, and prompts are joined "
        "from tokens that end at white space (allowed: t5, mt5, umt5 with their own tokenizers)"
    )


def check_weights(folder: Path, architecture: PretrainedConfig) -> None:
    """Raise UserError unless the folder's weights are those of this architecture.

    Names and shapes of the headers are compared with the model built without memory.

    Raises:
        UserError: for missing, superfluous and differently shaped weights, a shard that is not
            there, a pointer of Git LFS, a file that is cut off, and weights in another format.
    """
    where = f"--model {folder}"
    found = read_shapes(folder)
    with torch.device("meta"):
        model = AutoModelForSeq2SeqLM.from_config(architecture, trust_remote_code=False)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    ignored = tuple(model._keys_to_ignore_on_load_unexpected or ())
    missing = sorted(wanted.keys() - found.keys())
    if any(name in found for name in EMBEDDING):
        missing = [name for name in missing if name not in EMBEDDING]
    if not says_untied(folder):
        missing = [name for name in missing if name != HEAD]
    if missing:
        raise UserError(
            f"{where}: {len(missing)} of {len(wanted)} weights are missing: {_some(missing)} "
            "(allowed: a file with every weight; none is drawn at random)"
        )
    extra = [name for name in sorted(found.keys() - wanted.keys()) if name not in ignored]
    if extra:
        raise UserError(
            f"{where}: {len(extra)} weights have no place in a model of config.json: "
            f"{_some(extra)} (allowed: the config.json that belongs to the weights)"
        )
    for name in sorted(found.keys() & wanted.keys()):
        if found[name] != wanted[name]:
            raise UserError(
                f"{where}: {name} has shape {list(found[name])}, config.json says "
                f"{list(wanted[name])} (allowed: the config.json that belongs to the weights)"
            )


def check_tokenizer(
    name: str, tokenizer: PreTrainedTokenizerBase, architecture: PretrainedConfig
) -> None:
    """Raise UserError unless every id of the tokenizer has a row of the embedding."""
    if "ByT5" in type(tokenizer).__name__:
        raise byt5(name)
    for what in ("eos", "pad"):
        if getattr(tokenizer, f"{what}_token_id") is None:
            meaning = {"eos": "end", "pad": "padding"}[what]
            raise UserError(
                f"--model {name}: the tokenizer has no {meaning} token "
                f"(allowed: one with {what}_token in tokenizer_config.json)"
            )
    ids, rows = len(tokenizer), architecture.vocab_size
    if ids > rows:
        raise UserError(
            f"--model {name}: the tokenizer has {ids:,} ids, the embedding {rows:,} rows "
            "(allowed: a model saved after resize_token_embeddings)"
        )


def read_shapes(folder: Path) -> Shapes:
    """Return name and shape of every weight in a folder, from the headers of its safetensors.

    Raises:
        UserError: as `check_weights` says of files.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise lfs_pointer(path, f"--model {folder}")
        try:
            with safe_open(path, framework="pt") as header:
                for name in header.keys():  # noqa: SIM118 - no mapping
                    shapes[name] = tuple(header.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"--model {folder}: {path.name} cannot be read as safetensors, it may be cut off: "
                f"{str(error).splitlines()[0]} (allowed: the whole file)"
            ) from None
    return shapes


def weight_files(folder: Path) -> list[Path]:
    """Return the folder's safetensors: one file, or the shards that its index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        others = sorted({path.name for kind in OTHER_FORMATS for path in folder.glob(kind)})
        only = f", only {_some(others)}" if others else ""
        raise UserError(
            f"--model {folder}: no safetensors weights{only} (allowed: a folder with {WEIGHTS})"
        )
    try:
        listed = sorted(set(json.loads(_text(folder / INDEX))["weight_map"].values()))
        shards = [folder / name for name in listed]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UserError(
            f"--model {folder}: {INDEX} lists no shards (allowed: as save_pretrained writes it)"
        ) from None
    if missing := [path.name for path in shards if not path.is_file()]:
        raise UserError(
            f"--model {folder}: {len(missing)} of {len(shards)} shards that {INDEX} lists are "
            f"missing: {_some(missing)} (allowed: every shard)"
        )
    return shards


def says_untied(folder: Path) -> bool:
    """Return whether config.json itself says that the head has weights of its own."""
    try:
        return json.loads(_text(folder / "config.json")).get("tie_word_embeddings") is False
    except (ValueError, AttributeError):
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
