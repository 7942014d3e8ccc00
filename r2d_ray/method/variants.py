"""The methods by name: Reason2Decide, the baselines and the controls, as config values.

A method sets the method's fields; a profile sets the rest for all methods alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r2d_ray.errors import unknown


@dataclass(frozen=True, slots=True)
class Method:
    """One arm of the study; `values` are TrainConfig fields, fixed in every search."""

    name: str
    description: str
    source: str
    values: Mapping[str, Any]


_PAPER = "Reason2Decide (arXiv 2512.20074)"
_REFEREE = "control requested by a referee of the paper"
_NO_SAMPLING = {
    "sampling_decay": "none",
    "gold_probability_floor": 1.0,
    "sampling_decay_ratio": 0.6,
}
_LABELS_ONLY = {
    "label_loss_weight": 1.0,
    "label_warmup_ratio": 0.0,
    "rationale_prompt": "given_label",
    **_NO_SAMPLING,
}
_NO_STAGE1 = {"stage1_max_steps": 0, "stage1_learning_rate": 5e-5}


def _constant(probability: float) -> dict[str, Any]:
    return {
        "sampling_decay": "constant",
        "sampling_decay_ratio": 0.6,
        "gold_probability_floor": probability,
    }


_ALL = (
    Method(
        "r2d",
        "two stages, joint loss, task-level scheduled sampling",
        f"{_PAPER}, train_stage1.py and train_stage2.py",
        {},
    ),
    Method(
        "sft",
        "labels only: plain fine-tuning",
        f"{_PAPER}, src/sft/train_sft.py",
        {**_NO_STAGE1, **_LABELS_ONLY},
    ),
    Method(
        "dss",
        "labels and rationales as two tasks; the rationale prompt shows no label; no stage 1",
        "Distilling Step-by-Step (arXiv 2305.02301), model_utils.py TaskPrefixTrainer",
        {
            **_NO_STAGE1,
            **_NO_SAMPLING,
            "label_loss_weight": 0.5,
            "label_warmup_ratio": 0.0,
            "rationale_prompt": "plain",
        },
    ),
    Method(
        "r2d_c",
        "r2d with a confidence gate and a cycle loss from the rationale back to the label",
        "Reason2Decide-C (doi 10.3390/computers15050279), src/r2dc_stage2.py, bugs fixed",
        {"confidence_gate": True, "cycle_loss_weight": 0.1, "r2d_c_variant": "mended"},
    ),
    Method(
        "r2d_c_authors",
        "r2d_c as its authors' code has it: padding counts, labels are generated",
        "Reason2Decide-C, src/r2dc_stage2.py",
        {
            "confidence_gate": True,
            "cycle_loss_weight": 0.1,
            "r2d_c_variant": "authors",
            "label_choice": "generate",
        },
    ),
    Method("teacher_forcing", "r2d with gold labels throughout", _REFEREE, _NO_SAMPLING),
    Method("gold_90", "r2d with gold probability 0.9 from step 0", _REFEREE, _constant(0.9)),
    Method("gold_50", "r2d with gold probability 0.5 from step 0", _REFEREE, _constant(0.5)),
    Method("gold_0", "r2d with predicted labels from step 0", _REFEREE, _constant(0.0)),
    Method("no_stage1", "r2d without stage 1", _REFEREE, _NO_STAGE1),
    Method("stage1_sft", "stage 1, then labels only", _REFEREE, _LABELS_ONLY),
    Method(
        "random_wrong",
        "r2d whose sampled labels are random wrong ones at the same dose",
        "control: does noise alone do it?",
        {"sampling_label": "random_wrong"},
    ),
    Method(
        "drop_wrong",
        "r2d without the rationale loss of rows that show a wrong label",
        "control: the gold rationale under a wrong label teaches the model to ignore it",
        {"wrong_label_target": "drop"},
    ),
    Method(
        "drop_wrong_reweighted",
        "drop_wrong at r2d's weight of rationales: those that are learnt weigh more",
        "control: drop_wrong also teaches less",
        {"wrong_label_target": "drop_reweighted"},
    ),
    Method(
        "relabel",
        "r2d whose rationale under a wrong label argues for that label, where such a text is known",
        "variant: what is written fits the label that is shown",
        {"wrong_label_target": "relabel"},
    ),
    Method(
        "relabel_or_keep",
        "relabel, with gold's rationale where none of the label shown is known",
        "variant: what is written fits the label where the row does, and is true of the row",
        {"wrong_label_target": "relabel_or_keep"},
    ),
    Method(
        "no_dropout_labels",
        "r2d whose sampled labels are chosen without dropout",
        "control: the authors sample from a noisy model",
        {"sampling_dropout": False},
    ),
    Method(
        "composite_selection",
        "r2d selected by macro-F1 and rationale loss together",
        "control: label F1 alone may select a step before sampling began",
        {"selection_metric": "composite"},
    ),
)
METHODS: dict[str, Method] = {method.name: method for method in _ALL}


def get_method(name: str) -> Method:
    """Return the method of this name; raises UserError with the names that exist."""
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]
