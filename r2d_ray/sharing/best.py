"""best/: the selected model as safetensors, tokenizer, r2d_ray.json and a model card.

It loads with plain `AutoModelForSeq2SeqLM`; r2d_ray.json adds what `predict` needs.
"""

from __future__ import annotations

from pathlib import Path

from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.sharing.model_card import CARD, model_card
from r2d_ray.storage import whole_folder, write_json
from r2d_ray.study.model_file import MODEL_FILE, described


def export_best(
    weights: Path, tokenizer_dir: Path, folder: Path, info: StudyInfo, record: TrialRecord
) -> None:
    """Write the trial's selected weights as `folder`, whole or not at all."""
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

    from r2d_ray.model.portable import save_model, save_tokenizer
    from r2d_ray.model.t5 import load_weights

    transformers_logging.disable_progress_bar()

    with whole_folder(folder) as part:
        # Loaded and saved anew: a sharded run writes tied weights several times over.
        save_model(load_weights(str(weights)), part)
        save_tokenizer(AutoTokenizer.from_pretrained(tokenizer_dir), part)
        write_json(part / MODEL_FILE, described(info, record))
        (part / CARD).write_text(model_card(info, record), encoding="utf-8")
