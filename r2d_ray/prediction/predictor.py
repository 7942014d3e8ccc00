"""An exported model that answers rows: labels first, then the rationales of these labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from datasets import Dataset
from transformers.utils import logging as transformers_logging

from r2d_ray.data.encode import set_tokens, text_table
from r2d_ray.data.examples import Example
from r2d_ray.errors import UserError
from r2d_ray.evaluation.calibration import calibrated_outputs
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.evaluation.predictions import probabilities_of
from r2d_ray.method.labels import prompt_table
from r2d_ray.model.t5 import load_weights, whole_tokenizer
from r2d_ray.prediction.answers import Answer
from r2d_ray.storage import counted
from r2d_ray.study.model_file import ModelFile


def pick_device(wanted: str) -> str:
    """Return the torch device to use.

    Raises:
        UserError: if CUDA was asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device (allowed: cpu, auto)")
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


class Predictor:
    """A model on its device.

    Args:
        folder: The model's.
        model: What `r2d_ray.json` says.
        device: A torch device.
        batch_size: Rows of a forward pass.

    Raises:
        UserError: naming the file of the folder that is damaged or does not fit the others.
    """

    def __init__(self, folder: Path, model: ModelFile, device: str, batch_size: int) -> None:
        transformers_logging.disable_progress_bar()
        self.labels, self.device = model.labels, torch.device(device)
        self.config = model.config.model_copy(update={"per_device_eval_batch_size": batch_size})
        self.calibration = model.calibration
        self.tokenizer = whole_tokenizer(model.config, folder)
        self.model = load_weights(str(folder))
        torch.nn.Module.to(self.model, self.device)

    def answers(
        self,
        rows: Sequence[Example],
        *,
        abstain_below: float | None = None,
        refuse_long: bool = False,
    ) -> list[Answer]:
        """Return the answer to every row, in order.

        Args:
            rows: Of one kind of label: with options, or without.
            abstain_below: Probability of a label below which no rationale is written.
            refuse_long: Whether a question that is too long is an error and not cut.

        Raises:
            UserError: for options, or with `refuse_long` a question, that are too long.
        """
        tokens = set_tokens(self.tokenizer, self.labels, rows, self.config)
        table = prompt_table(self.tokenizer, tokens, self.device)
        evaluator = Evaluator(self.model, self.tokenizer, table, self.config)
        tokenised = text_table(rows, self.tokenizer, self.labels, self.config)
        if refuse_long:
            self._refuse_long(tokenised)
        chosen = calibrated_outputs(evaluator.labels(tokenised), self.calibration, self.labels)
        options = [self.labels] * len(rows) if self.labels else tokenised["options"]
        found = [
            Answer(output.label, probabilities_of(own, output), None, cut)
            for output, own, cut in zip(chosen, options, tokenised["cut_tokens"], strict=True)
        ]
        if not self.config.trains_rationales:
            return found
        kept = [i for i, answer in enumerate(found) if not answer.abstains(abstain_below)]
        if kept:
            shown = [found[i].label for i in kept]
            texts = evaluator.rationales(tokenised.select(kept), shown)
            for i, text in zip(kept, texts, strict=True):
                found[i] = found[i].with_rationale(text)
        return found

    def _refuse_long(self, rows: Dataset) -> None:
        for place, cut in zip(rows["id"], rows["question_cut_tokens"], strict=True):
            if cut:
                raise UserError(
                    f"{place}: the question is {counted(cut, 'token')} longer than what "
                    f"max_input_length {self.config.max_input_length} of this model leaves for it "
                    "(allowed: a shorter question, or --long-inputs cut)"
                )
