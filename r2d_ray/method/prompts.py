"""The prompts, word for word (`preprocess_function` of train_stage1.py and train_stage2.py).

A prompt is a prefix followed by a body. Only the prefix differs between the tasks (`predict:`,
`explain:`, `given label: ..., explain:`), so a prompt's token ids are the prefix's ids followed by
the body's.
"""

from __future__ import annotations

from collections.abc import Sequence

PREDICT_PREFIX = "predict:"
EXPLAIN_PREFIX = "explain:"


def explain_given_label_prefix(label: str) -> str:
    """Return the prefix of the rationale prompt that shows the label (Reason2Decide stage 2)."""
    return f"given label: {label}, explain:"


def choice_letter(position: int) -> str:
    """Return the letter of an answer option, 0 -> A."""
    return chr(ord("A") + position)


def options_text(choices: Sequence[str]) -> str:
    """Return a row's answer options as the body shows them, a letter before each."""
    options = " ".join(f"({choice_letter(i)}) {text}" for i, text in enumerate(choices))
    return f"Answer choices: {options}"


def question_text(question: str, choices: Sequence[str] | None) -> str:
    """Return the part of the body before the context: the question and its answer options."""
    return f"{question} {options_text(choices)}" if choices else question
