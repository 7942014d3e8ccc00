"""Shared fixtures: a toy data set written here, a tiny config, a prepared folder."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from r2d_ray.config import TrainConfig, build_config
from r2d_ray.data.examples import Example, Provenance, Splits
from r2d_ray.records import StudyInfo

# The same cases in every run, and no deadline: a busy machine is no fault.
settings.register_profile("r2d_ray", derandomize=True, deadline=None)
settings.load_profile("r2d_ray")

DRUGS = ("alpren", "betol", "cardex", "dormin", "exalin", "fluvor")
DISEASES = ("asthma", "gout", "migraine", "anaemia")


def toy_rows(split: str, count: int) -> tuple[Example, ...]:
    draw = random.Random(split)
    rows = []
    for i in range(count):
        drug, disease = draw.choice(DRUGS), draw.choice(DISEASES)
        label = draw.choice(("yes", "no"))
        cue = "helped" if label == "yes" else "failed"
        rows.append(
            Example(
                id=f"{split}-{i}",
                group=f"{split}-{i // 2}",
                question=f"Does {drug} treat {disease} in case {split} {i}?",
                context=f"In one trial {drug} {cue}. The weather was fine. " * (1 + i % 3),
                label=label,
                rationales={"human": f"The trial says that {drug} {cue}.", "llm": f"It {cue}."},
            )
        )
    return tuple(rows)


def toy_splits(train: int = 24, validation: int = 10, test: int = 10) -> Splits:
    return Splits(
        name="toy",
        train=toy_rows("train", train),
        validation=toy_rows("validation", validation),
        test=toy_rows("test", test),
        labels=("yes", "no"),
        provenance=Provenance("sample", "tests/conftest.py", "Apache-2.0"),
    )


def toy_info(name: str, config: TrainConfig, space: Mapping[str, Any], trials: int) -> StudyInfo:
    """Return what study.json says of a study on the toy rows."""
    return StudyInfo(
        name=name,
        method="r2d",
        dataset="toy",
        profile="embedded",
        config=config.model_dump(),
        space=dict(space),
        study={"num_samples": trials},
        data_card={"labels": ["yes", "no"]},
        data_hash="0123",
        provenance={"kind": "sample"},
        versions={},
    )


TINY = {
    "model": "scratch-tiny",
    "max_input_length": 64,
    "max_rationale_length": 16,
    "max_label_length": 4,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 8,
    "stage1_max_steps": 4,
    "stage1_eval_steps": 2,
    "max_steps": 8,
    "eval_steps": 4,
    "logging_steps": 2,
    "learning_rate": 1e-3,
    "stage1_learning_rate": 1e-3,
    "early_stopping_patience": 0,
    "stage1_early_stopping_patience": 0,
    "label_warmup_ratio": 0.0,
}


def tiny_config(**values: object) -> TrainConfig:
    return build_config({**TINY, **values})


@pytest.fixture(autouse=True)
def subnormals_are_numbers() -> Iterator[None]:
    """Undo around each test the flushing that loading a model switches on; Hypothesis needs it."""

    def reset() -> None:
        if "torch" in sys.modules:
            sys.modules["torch"].set_flush_denormal(False)

    reset()
    yield
    reset()


@pytest.fixture(scope="session")
def splits() -> Splits:
    return toy_splits()


@pytest.fixture(scope="session")
def prepared_dir(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> Path:
    from r2d_ray.data.prepare import prepare

    return prepare(splits, tiny_config(), tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def trained_dir(tmp_path_factory: pytest.TempPathFactory, prepared_dir: Path) -> Path:
    """Weights that have seen the toy set for a few seconds: they write labels of the set."""
    from r2d_ray.data.prepare import open_prepared
    from r2d_ray.training.stage import run_stage

    out = tmp_path_factory.mktemp("trained")
    steps = {"max_steps": 60, "eval_steps": 60, "logging_steps": 60, "learning_rate": 2e-3}
    config = tiny_config(per_device_train_batch_size=8, **steps)
    prepared = open_prepared(prepared_dir)
    run_stage(config, prepared, "stage2", output_dir=out / "checkpoints", best_dir=out / "best")
    return out / "best"
