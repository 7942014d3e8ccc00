"""One loop for both stages: a transformers.Trainer with our losses, batches and evaluation.

The loop, accumulation, learning-rate schedule, bf16, DeepSpeed, checkpoints and exact resume are
transformers'. Ray is not known here: what must reach it goes through callbacks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback

from r2d_ray.config import TrainConfig
from r2d_ray.data.batches import FromStep, StepBatches, own_options
from r2d_ray.data.prepare import Prepared
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.evaluation.predictions import label_metrics
from r2d_ray.method.batch import Batch
from r2d_ray.method.labels import prompt_table
from r2d_ray.method.losses import stage1_loss, stage2_loss
from r2d_ray.method.running import FILE as RUNNING_FILE
from r2d_ray.method.running import RunningMeans
from r2d_ray.method.sampling import Stage2
from r2d_ray.storage import whole_folder, write_json
from r2d_ray.training.arguments import StageName, StagePlan, stage_plan, training_arguments
from r2d_ray.training.callbacks import AtSave, AtStepEnd, SeedPerRank, StepClock, StopWhenFlat
from r2d_ray.training.checkpoint import seal
from r2d_ray.training.step_log import SinceLog, StepSums


class NonFiniteError(RuntimeError):
    """A loss or score that is not a finite number: the trial fails with this reason."""


def step_batches(
    config: TrainConfig, prepared: Prepared, plan: StagePlan, rank: int
) -> StepBatches:
    """Return the training rows of a stage in the order of its steps."""
    first = plan.name == "stage1"
    return StepBatches(
        prepared.tables["train"],
        config,
        label_lengths=[len(target) for target in prepared.label_tokens.targets],
        options=own_options(prepared.tables["train"], prepared.label_tokens.kind),
        rationale_column="stage1_rationale_ids" if first else "rationale_ids",
        only_with_rationale=first,
        max_steps=plan.max_steps,
        rank=rank,
        seed=config.seed,
    )


def running_means(checkpoint: Path | None) -> RunningMeans:
    """Return the running means of a checkpoint, new ones where training begins."""
    if checkpoint is None:
        return RunningMeans()
    saved = json.loads((checkpoint / RUNNING_FILE).read_text(encoding="utf-8"))
    return RunningMeans(**saved)


class StageTrainer(Trainer):
    """Trains one stage; selects the best checkpoint into `best_dir` as plain weights."""

    def __init__(
        self,
        model: PreTrainedModel,
        config: TrainConfig,
        prepared: Prepared,
        stage: StageName,
        output_dir: Path,
        best_dir: Path,
        callbacks: Sequence[TrainerCallback] = (),
        resume_from: Path | None = None,
    ) -> None:
        self.config = config
        self.plan = stage_plan(config, stage)
        self.best_dir = best_dir
        self.prepared = prepared
        self.clock = StepClock()
        self.sums = StepSums(config.gradient_accumulation_steps)
        self.step_sums = StepSums(config.gradient_accumulation_steps)
        self.since_log = SinceLog(self, self.sums, resume_from)
        args = training_arguments(config, self.plan, output_dir)
        super().__init__(
            model=model,
            args=args,
            train_dataset=step_batches(config, prepared, self.plan, args.process_index),
            eval_dataset=prepared.tables["validation"],
            processing_class=prepared.tokenizer,
            callbacks=[
                SeedPerRank(),
                StopWhenFlat(self.plan.patience, self.plan.patience_start, self.plan.eval_steps),
                self.clock,
                AtStepEnd(self.end_step),
                AtSave(self.complete_checkpoint),
                self.since_log,
                *callbacks,
            ],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False
        # Shares of a step's token mean add up over micro-batches: nothing is left to divide.
        self.loss_is_scaled_for_ga = True
        self.table = prompt_table(prepared.tokenizer, prepared.label_tokens, args.device)
        self.running = running_means(resume_from)
        self.stage2 = Stage2(config, self.table, prepared.tokenizer, self.running)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return this rank's micro-batches from the step that training has reached."""
        assert isinstance(self.train_dataset, StepBatches)
        accumulation = self.config.gradient_accumulation_steps
        start = FromStep(len(self.train_dataset), lambda: self.state.global_step * accumulation)
        # A generator of its own: the loader would else draw from the global one at every start.
        return DataLoader(
            self.train_dataset, batch_size=None, sampler=start, generator=torch.Generator()
        )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return this micro-batch's share of the step's loss, times the ranks that average it."""
        core, batch = self.model, cast(Batch, inputs)
        assert isinstance(core, PreTrainedModel)
        if self.plan.name == "stage1":
            loss, sums = stage1_loss(model, core, batch, self.table)
        else:
            loss, sums = stage2_loss(model, core, batch, self.state.global_step, self.stage2)
            self.step_sums.add(sums)
        self.sums.add(sums)
        return torch.mul(loss, self.args.world_size)

    def end_step(self) -> None:
        """Enter a finished optimiser step into the running means, where a loss needs them."""
        if self.plan.name == "stage1" or not self.config.needs_running_means:
            self.step_sums.sums = {}
            return
        total = self.step_sums.totals(self.args.device)
        # Confidences of generated labels come from the rows with a rationale only.
        confidence = total["confidence"] * total["rows"] / total["confidence_rows"]
        ids = (total.get("kept_ids", 0.0), total.get("all_ids", 0.0))
        self.running.update(total["label_errors"], total["rows"], confidence, self.config, ids)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: transformers' estimate does not know these batches."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with the series of rule 6 beside the loss; raise on anything that is not finite."""
        if "loss" in logs and "learning_rate" in logs:
            logs = {**logs, **self.sums.take(self.args.device)}
        for name, value in logs.items():
            if isinstance(value, float) and not math.isfinite(value) and name != "grad_norm":
                raise NonFiniteError(f"{name} = {value} at step {self.state.global_step}")
        super().log(logs, start_time)

    def evaluator(self) -> Evaluator:
        """Return the evaluator of the model as it stands."""
        assert isinstance(self.model, PreTrainedModel)
        return Evaluator(
            self.model,
            self.prepared.tokenizer,
            self.table,
            self.config,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            autocast=self.compute_loss_context_manager,
        )

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Score the validation split: labels (stage 2) and the loss of the gold rationales."""
        rows = self.prepared.tables["validation"] if eval_dataset is None else eval_dataset
        evaluator = self.evaluator()
        scores: dict[str, float] = {}
        if self.plan.name == "stage1":
            scores["rationale_loss"] = evaluator.rationale_loss(
                rows, "stage1_rationale_ids", given_label=False
            )
        else:
            outputs = evaluator.labels(rows)
            scores |= label_metrics(rows, outputs, self.prepared.label_tokens)
            if self.config.trains_rationales:
                given = self.config.rationale_prompt == "given_label"
                scores["rationale_loss"] = evaluator.rationale_loss(rows, "rationale_ids", given)
                likelihood = math.exp(-scores["rationale_loss"])
                scores["composite"] = (scores["macro_f1"] + likelihood) / 2
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def complete_checkpoint(self) -> None:
        """Seal what was just saved; where its evaluation is the best so far, save weights apart."""
        checkpoint = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            write_json(checkpoint / RUNNING_FILE, self.running.values())
            (checkpoint / "training_args.bin").unlink(missing_ok=True)  # a pickle, never read
        self.since_log.save(checkpoint)
        seal(checkpoint, self.state.global_step, self.args.process_index, self.args.world_size)
        if self.state.best_global_step != self.state.global_step:
            return
        if not self.args.should_save:
            self.save_model(str(self.best_dir))  # gathers with the rank that writes; writes nothing
            return
        with whole_folder(self.best_dir) as part:
            self.save_model(str(part))
            (part / "training_args.bin").unlink(missing_ok=True)
