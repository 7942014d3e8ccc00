"""A model folder that transformers 4.x and 5.x read alike: head, scale of the head, tokenizer.

5.x writes `tie_word_embeddings: true` for every T5 and keeps in `scale_decoder_outputs` what 4.x
reads from it; 4.x would then tie a head of its own to the embedding without a word.
"""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r2d_ray.storage import write_json

READ_BY_ALL = "PreTrainedTokenizerFast"
"""The class that both read from tokenizer.json alone; 5.x's own names are unknown to 4.x."""
KEPT = ("eos_token", "pad_token", "unk_token", "model_max_length", "clean_up_tokenization_spaces")


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """Write weights and config.json; an unscaled head is written as one of its own.

    4.x scales the decoder's output where, and only where, the head is tied; so a head that is not
    scaled gets its own copy of the weights, tied or not. mT5 never scales.
    """
    scaled = getattr(model.config, "scale_decoder_outputs", model.config.model_type == "umt5")
    if not scaled:
        head = model.get_output_embeddings()
        head.weight = nn.Parameter(head.weight.detach().clone())
    model.save_pretrained(folder)
    if not scaled:
        path = folder / "config.json"
        stored = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {**stored, "tie_word_embeddings": False})


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write tokenizer.json and a tokenizer_config.json that asks for nothing beside it."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: stored[name] for name in KEPT if name in stored}
    write_json(path, {**kept, "tokenizer_class": READ_BY_ALL})
