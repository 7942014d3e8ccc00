"""The one dictionary of names: what a paper writes for the words of code.

Tables, pictures and the page show a method, a setting or a score by it; files that programs read
(CSV, Parquet, Markdown) keep the words of code, which `--methods` and `--set` take.
"""

from __future__ import annotations

import re

from r2d_ray.config import TrainConfig

METHODS = {
    "r2d": "R2D",
    "sft": "SFT",
    "dss": "DSS",
    "r2d_c": "R2D-C",
    "r2d_c_authors": "R2D-C (authors' code)",
    "teacher_forcing": "teacher forcing",
    "gold_90": "90 % gold labels",
    "gold_50": "50 % gold labels",
    "gold_0": "predicted labels only",
    "no_stage1": "R2D without stage 1",
    "stage1_sft": "stage 1, then SFT",
    "random_wrong": "random wrong labels",
    "drop_wrong": "no loss under wrong labels",
    "drop_wrong_reweighted": "no loss under wrong labels, reweighted",
    "relabel": "relabelled",
    "relabel_or_keep": "relabelled or gold",
    "no_dropout_labels": "labels without dropout",
    "composite_selection": "composite selection",
}
"""What a paper calls each method."""

METRICS = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "bleu": "BLEU",
    "rouge_l": "ROUGE-L",
    "bertscore": "BERTScore",
    "ece": "ECE",
    "nll": "negative log-likelihood",
    "brier": "Brier score",
    "reader_consistency": "consistency (reader)",
    "reader_sufficiency": "sufficiency (reader)",
    "rationale_loss": "rationale loss",
    "label_loss": "label loss",
    "bag_of_words": "bag of words",
}
"""What a paper calls each score; others have the same name in both."""

FIELDS = {
    "label_loss_weight": "label loss weight α",
    "label_warmup_ratio": "warm-up of α",
    "learning_rate": "learning rate",
    "lr_scheduler_type": "learning-rate schedule",
    "warmup_ratio": "learning-rate warm-up",
    "max_steps": "training steps",
    "eval_steps": "steps between evaluations",
    "logging_steps": "steps between log lines",
    "max_grad_norm": "gradient clipping norm",
    "max_input_length": "input length (tokens)",
    "max_rationale_length": "rationale length (tokens)",
    "max_label_length": "label length (tokens)",
    "early_stopping_patience": "early-stopping patience",
    "early_stopping_start_ratio": "early stopping from (share of steps)",
    "per_device_train_batch_size": "batch size per device",
    "per_device_eval_batch_size": "evaluation batch size per device",
    "sampling_decay": "decay of the gold probability",
    "sampling_start_ratio": "decay starts at (share of steps)",
    "sampling_decay_ratio": "decay takes (share of steps)",
    "gold_probability_floor": "least gold probability",
    "sampling_label": "label shown when sampled",
    "sampling_dropout": "dropout when sampling",
    "rationale_prompt": "rationale prompt",
    "dropout_rate": "dropout",
    "class_weight_beta": "class weight β",
    "gumbel_temperature_floor": "least Gumbel temperature",
    "attn_implementation": "attention implementation",
    "deepspeed_config": "DeepSpeed file",
    "zero_stage": "ZeRO stage",
    "gpus_per_worker": "GPUs per worker",
    "r2d_c_variant": "R2D-C variant",
    "bf16": "bfloat16",
}
"""What a paper calls each setting; of others the underscores become spaces (see `field`)."""

STAGE1 = "stage1_"


def method(code: str) -> str:
    """Return a method's name."""
    return METHODS.get(code, code)


def metric(code: str) -> str:
    """Return a score's name."""
    return METRICS.get(code, code)


def field(code: str) -> str:
    """Return a setting's name, of stage 1 with the stage behind it."""
    if code.startswith(STAGE1):
        return f"{field(code.removeprefix(STAGE1))}, stage 1"
    return FIELDS.get(code, code.replace("_", " "))


def setting(code: str) -> str:
    """Return the words of a grid's setting: `sampling_decay=none` is named by its field."""
    return re.sub(r"([a-z]\w*)=", lambda found: f"{field(found[1])} = ", code).replace(",", ", ")


def run(code: str) -> str:
    """Return the name of an arm or group, `method[-setting][-source][-seed]`; others unchanged.

    Of a search's `r2d, best without context` it is the method that has a name.
    """
    base, mark, rest = code.partition(", best")
    if mark:
        return f"{method(base)}{mark}{rest}"
    name, _, rest = code.partition("-")
    if name not in METHODS:
        return code
    rest, _, last = rest.rpartition("-") if re.search(r"(^|-)\d+$", rest) else (rest, "", "")
    parts = [*([setting(rest)] if rest else []), *([f"seed {last}"] if last else [])]
    return f"{METHODS[name]} ({', '.join(parts)})" if parts else METHODS[name]


_WORDS = METHODS | METRICS | {name: field(name) for name in TrainConfig.model_fields if "_" in name}
_CODE = re.compile(
    r"(?<![\w./@+-])("
    + "|".join(sorted(map(re.escape, _WORDS), key=len, reverse=True))
    + r")(-[\w=.,+-]*\w)?('s)?(?![\w/@])"
)


def in_words(text: str) -> str:
    """Return a sentence with the names for the words of code in it.

    A word that is part of a path, an address or a longer name stays as it is.
    """

    def named(found: re.Match[str]) -> str:
        code, rest, ending = found[1], found[2] or "", found[3] or ""
        words = run(code + rest) if code in METHODS else _WORDS[code] + rest
        return words + ending

    return _CODE.sub(named, text)
