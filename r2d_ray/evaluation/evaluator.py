"""Labels, then rationales, on a split: what the model outputs, gathered over ranks, in row order.

First `predict: body` gives the label, then `given label: ..., explain: body` the rationale (paper
section 3). Rows are taken in order of length; ranks make equally many passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch import distributed as dist
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r2d_ray.config import TrainConfig
from r2d_ray.data.batches import Ragged, own_options
from r2d_ray.evaluation.predictions import LabelOutput
from r2d_ray.method.batch import EvalBatch, on_device, pad
from r2d_ray.method.labels import PromptTable, label_log_probabilities, text_prefixes
from r2d_ray.model.decoding import generate_texts, rows_at_once
from r2d_ray.model.teacher_forcing import IGNORED, teacher_forced

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluator:
    """Runs a model over a prepared table; `rank` of `world_size` takes its share of the rows."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    table: PromptTable
    config: TrainConfig
    rank: int = 0
    world_size: int = 1
    autocast: Callable[[], AbstractContextManager[Any]] = field(default=nullcontext)

    def labels(self, rows: Dataset) -> list[LabelOutput]:
        """Return the label of every row, chosen as `config.label_choice` says."""
        tokens = self.table.tokens
        own: list[list[str]] = rows["options"] if tokens.kind.by_row else []

        def choose(batch: EvalBatch) -> list[LabelOutput]:
            if not tokens.kind.closed:
                return [LabelOutput(text, ()) for text in self._generated_labels(batch)]
            probabilities = self._probabilities(batch)
            sets = [own[row] if own else tokens.labels for row in batch["rows"]]
            best = probabilities.argmax(dim=-1).tolist()
            texts = [labels[i] for labels, i in zip(sets, best, strict=True)]
            if self.config.label_choice == "generate":
                texts = self._generated_labels(batch)
            values = probabilities.tolist()
            return [
                LabelOutput(text, tuple(row[: len(labels)]))
                for text, row, labels in zip(texts, values, sets, strict=True)
            ]

        return self._over(rows, choose)

    def generated_labels(self, rows: Dataset) -> list[str]:
        """Return what free greedy decoding writes as the label of every row."""
        return self._over(rows, self._generated_labels)

    def rationales(self, rows: Dataset, labels: Sequence[str]) -> list[str]:
        """Return the rationale of every row given these labels, greedy."""

        def write(batch: EvalBatch) -> list[str]:
            if self.config.rationale_prompt == "plain":
                ids, mask = self.table.explain(batch)
            else:
                shown = [labels[row] for row in batch["rows"]]
                prefixes, lengths, _ = text_prefixes(self.tokenizer, shown, self.table, batch)
                ids, mask = self.table.join(prefixes, lengths, batch)
            return self._generate(ids, mask, self.config.max_rationale_length)

        return self._over(rows, write, at_once=self._decoded_at_once)

    def rationale_loss(self, rows: Dataset, column: str, given_label: bool) -> float:
        """Return the token mean loss of the gold rationales, given gold labels or none."""
        targets = Ragged(rows, column)
        gold = np.array(rows["label_index"])

        def loss(batch: EvalBatch) -> list[tuple[float, int]]:
            if given_label:
                index = torch.from_numpy(gold[batch["rows"]]).to(batch["body_ids"].device)
                ids, mask = self.table.explain_given(batch, index)
            else:
                ids, mask = self.table.explain(batch)
            wanted = pad([targets[row] for row in batch["rows"]], IGNORED).to(ids.device)
            losses = teacher_forced(self.model, self.model, ids, mask, wanted).token_losses
            counts = (wanted != IGNORED).sum(dim=1).tolist()
            # By row: a row that comes twice, because ranks make equal passes, counts once.
            return [(float(part.sum()), len(part)) for part in torch.split(losses, counts)]

        with_target = np.flatnonzero(targets.lengths).tolist()
        pairs = self._over(rows, loss, with_target)
        tokens = sum(count for _, count in pairs)
        return sum(value for value, _ in pairs) / tokens if tokens else float("nan")

    def _probabilities(self, batch: EvalBatch) -> Tensor:
        ids, mask = self.table.predict(batch)
        start = torch.full((len(ids), 1), self.model.config.decoder_start_token_id).to(ids.device)
        out = self.model(
            input_ids=ids, attention_mask=mask, decoder_input_ids=start, use_cache=False
        )
        states = out.encoder_last_hidden_state
        return label_log_probabilities(
            self.model, out.logits[:, 0], states, mask, self.table.options(batch)
        ).exp()

    def _generated_labels(self, batch: EvalBatch) -> list[str]:
        return self._generate(*self.table.predict(batch), self.config.max_label_length)

    def _generate(self, ids: Tensor, mask: Tensor, limit: int) -> list[str]:
        size = self.config.per_device_eval_batch_size
        return generate_texts(self.model, self.tokenizer, ids, mask, limit, self._synced, size)

    @property
    def _synced(self) -> bool:
        return self.config.effective_zero_stage == 3 and self.world_size > 1

    @property
    def _decoded_at_once(self) -> int:
        """Rows whose rationales are written together; the same on every rank."""
        config = self.config
        fit = rows_at_once(self.model.config, config.max_input_length, config.max_rationale_length)
        return max(config.per_device_eval_batch_size, 0 if self._synced else fit)

    def _over(
        self,
        rows: Dataset,
        act: Callable[[EvalBatch], list[T]],
        which: list[int] | None = None,
        at_once: int | None = None,
    ) -> list[T]:
        """Return `act` of every row of the table (or of `which`), in that order, from all ranks."""
        training = self.model.training
        self.model.eval()
        found: dict[int, T] = {}
        with torch.no_grad(), self.autocast():
            for batch in self._batches(rows, which, at_once):
                found.update(zip(batch["rows"], act(batch), strict=True))
        self.model.train(training)
        if self.world_size > 1:
            parts: list[dict[int, T] | None] = [None] * self.world_size
            dist.all_gather_object(parts, found)
            found = {row: value for part in parts for row, value in (part or {}).items()}
        return [found[row] for row in (range(len(rows)) if which is None else which)]

    def _batches(
        self, rows: Dataset, which: list[int] | None, at_once: int | None = None
    ) -> Iterator[EvalBatch]:
        bodies = Ragged(rows, "body_ids")
        own = own_options(rows, self.table.tokens.kind)
        order = np.array(range(len(rows)) if which is None else which, dtype=int)
        order = order[np.argsort(-bodies.lengths[order], kind="stable")]
        # Every rank makes as many passes as rank 0: where rows run out the last ones come again.
        per_rank = -(-len(order) // self.world_size)
        mine = np.resize(order, per_rank * self.world_size)[self.rank :: self.world_size]
        size = at_once or self.config.per_device_eval_batch_size
        for start in range(0, len(mine), size):
            taken = mine[start : start + size].tolist()
            ids = pad([bodies[row] for row in taken], self.table.pad_id)
            device = self.table.predict_prefix.device
            lengths = torch.tensor([len(bodies[row]) for row in taken])
            batch: EvalBatch = {
                "rows": taken,
                "body_ids": ids.to(device),
                "body_lengths": lengths.to(device),
            }
            if own:
                batch["options"] = on_device(own.tensors(taken), device)
            yield batch
