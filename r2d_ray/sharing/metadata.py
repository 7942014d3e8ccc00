"""The front matter of a model card: what the hub shows and searches by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2d_ray.config import SCRATCH_MODELS
from r2d_ray.data.named_sets import NAMED_SETS
from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.study.seeds import is_number

SCORES = {  # score in result.json: its column, and the metric's name on the hub
    "macro_f1": ("macro-F1", "f1"),
    "accuracy": ("accuracy", "accuracy"),
    "ece": ("ECE", None),
    "bleu": ("BLEU", "bleu"),
    "rouge_l": ("ROUGE-L", "rouge"),
    "bertscore": ("BERTScore", "bertscore"),
}


def base_model(config: Mapping[str, Any]) -> str | None:
    """Return the hub's name of the model that training began from, None of any other."""
    name = str(config["model"])
    return None if name in SCRATCH_MODELS or Path(name).is_absolute() else name


def metadata(
    info: StudyInfo, record: TrialRecord, table: Mapping[str, Any], licence: str | None
) -> str:
    """Return the front matter that the hub reads, as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    base, origin = base_model(record.config), info.provenance
    hub_set = str(origin.get("address", "")).partition("@")[0]
    on_hub = origin.get("kind") == "hub"
    known = any(info.dataset in (name, f"{name}-sample") for name in NAMED_SETS)
    scores = [
        EvalResult(
            task_type="text2text-generation",
            dataset_type=hub_set if on_hub else info.dataset,
            dataset_name=info.dataset,
            dataset_split="test",
            metric_type=kind,
            metric_name=name,
            metric_value=round(float(table["this model"][key]), 4),
        )
        for key, (name, kind) in SCORES.items()
        if kind and table and is_number(table["this model"].get(key))
    ]
    card = ModelCardData(
        base_model=base,
        datasets=[hub_set] if on_hub else None,
        eval_results=scores or None,
        language="en" if known else None,
        library_name="transformers",
        license=licence,
        model_name=info.name if scores else None,
        pipeline_tag="text2text-generation",
        tags=["t5", "r2d_ray", "reason2decide", "rationale-generation", record.method],
    )
    return str(card.to_yaml()).strip()
