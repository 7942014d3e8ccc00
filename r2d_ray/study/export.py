"""best/: the selected model as safetensors, tokenizer, r2d_ray.json and a model card.

It loads with plain `AutoModelForSeq2SeqLM`; r2d_ray.json adds what `predict` needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2d_ray.method.label_kinds import FIXED, KINDS
from r2d_ray.records import StudyInfo, TrialRecord
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
        (part / "README.md").write_text(model_card(info, record), encoding="utf-8")


def model_card(info: StudyInfo, record: TrialRecord) -> str:
    """Return the model card as Markdown."""
    data = info.data_card
    label = KINDS.get(data.get("label_kind", ""), FIXED).described(data["labels"])
    body, bare = "QUESTION CONTEXT", ""
    contexts = data.get("contexts")
    if contexts is not None and not any(contexts.values()):
        body, bare = "QUESTION", " No row of its data has a context."
    random = f"\n\n**{info.random_weights}.**" if info.random_weights else ""
    return f"""---
library_name: transformers
pipeline_tag: text2text-generation
---
# {info.name}, trial {record.trial}

A T5 ({record.config["model"]}) that predicts a label and writes the rationale for it, trained by
r2d_ray with the method `{info.method}` on `{info.dataset}` ({info.provenance["kind"]}).{random}

Prompts: `predict: {body}` gives the label, {label};
`given label: LABEL, explain: {body}` gives the rationale.{bare}

| score (validation, step {record.selected_step}) | value |
|---|---|
{_rows(record.metrics)}

Data hash `{info.data_hash}`, seed {record.seed}, versions {info.versions}. Not a medical device:
the model was selected by label scores on a research data set.
"""


def _rows(scores: Mapping[str, Any]) -> str:
    return "\n".join(f"| {name} | {value:.4f} |" for name, value in scores.items())
