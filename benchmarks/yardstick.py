"""The yardstick: what the authors' scripts do in a step and at inference, written anew.

Behaviour, not code: texts are tokenised in the step, batches are random and padded to their
longest row, every row's label is generated (the question is encoded again), prompts are built and
tokenised again, the loss is taken over padded targets too. Sources: Reason2Decide
train_stage1.py, train_stage2.py and inference.py as described in their public code.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r2d_ray.data.examples import Example
from r2d_ray.method.prompts import (
    EXPLAIN_PREFIX,
    PREDICT_PREFIX,
    explain_given_label_prefix,
    question_text,
)

LABEL_LIMIT = 50  # tokens that a label may have (their generate call)
IGNORED = -100


@dataclass
class Yardstick:
    """A model, its tokenizer and the lengths at which texts are cut."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_input_length: int
    max_rationale_length: int
    source: str

    def stage1_loss(self, rows: Sequence[Example]) -> Tensor:
        """Return the loss of the rationales, no label shown."""
        ids, mask = self.encode([f"{EXPLAIN_PREFIX} {self.body(row)}" for row in rows])
        targets = self.targets([row.rationales[self.source] for row in rows])
        loss: Tensor = self.model(input_ids=ids, attention_mask=mask, labels=targets).loss
        return loss

    def stage2_loss(
        self, rows: Sequence[Example], alpha: float, gold_probability: float, rng: random.Random
    ) -> Tensor:
        """Return alpha x label loss + (1 - alpha) x rationale loss."""
        ids, mask = self.encode([f"{PREDICT_PREFIX} {self.body(row)}" for row in rows])
        label_targets = self.targets([row.label for row in rows])
        label_loss = self.model(input_ids=ids, attention_mask=mask, labels=label_targets).loss
        with torch.no_grad():
            predicted = self.generate(ids, mask, LABEL_LIMIT)
        shown = [
            row.label if rng.random() < gold_probability else own
            for row, own in zip(rows, predicted, strict=True)
        ]
        return alpha * label_loss + (1 - alpha) * self.explain_loss(rows, shown)

    def explain_loss(self, rows: Sequence[Example], shown: Sequence[str]) -> Tensor:
        """Return the loss of the rationales, given these labels."""
        prompts = [
            f"{explain_given_label_prefix(label)} {self.body(row)}"
            for row, label in zip(rows, shown, strict=True)
        ]
        ids, mask = self.encode(prompts)
        targets = self.targets([row.rationales[self.source] for row in rows])
        loss: Tensor = self.model(input_ids=ids, attention_mask=mask, labels=targets).loss
        return loss

    def infer(self, rows: Sequence[Example], batch_size: int) -> list[tuple[str, str]]:
        """Return label and rationale of every row: two generations, in the rows' order."""
        found: list[tuple[str, str]] = []
        for at in range(0, len(rows), batch_size):
            batch = rows[at : at + batch_size]
            ids, mask = self.encode([f"{PREDICT_PREFIX} {self.body(row)}" for row in batch])
            labels = self.generate(ids, mask, LABEL_LIMIT)
            prompts = [
                f"{explain_given_label_prefix(label)} {self.body(row)}"
                for row, label in zip(batch, labels, strict=True)
            ]
            ids, mask = self.encode(prompts)
            texts = self.generate(ids, mask, self.max_rationale_length)
            found += zip(labels, texts, strict=True)
        return found

    @staticmethod
    def body(row: Example) -> str:
        """Return the question, its options and the context as one text."""
        return f"{question_text(row.question, row.choices)} {row.context}".strip()

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return padded ids and mask."""
        found: Any = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_input_length,
            return_tensors="pt",
        )
        return found["input_ids"], found["attention_mask"]

    def targets(self, texts: Sequence[str]) -> Tensor:
        """Return padded target ids, -100 where there is no token."""
        found: Any = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_rationale_length,
            return_tensors="pt",
        )
        ids: Tensor = found["input_ids"]
        return ids.masked_fill(found["attention_mask"] == 0, IGNORED)

    def generate(self, ids: Tensor, mask: Tensor, limit: int) -> list[str]:
        """Return what greedy decoding writes, in the mode (dropout or not) the model is in."""
        out = self.model.generate(  # type: ignore[operator]
            input_ids=ids, attention_mask=mask, max_new_tokens=limit, do_sample=False, num_beams=1
        )
        return [text.strip() for text in self.tokenizer.batch_decode(out, skip_special_tokens=True)]
