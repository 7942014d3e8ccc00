"""What a dry run prints: machines that are not here, epochs, hours; random weights are said."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import tiny_config, toy_info, toy_rows, toy_splits

from r2d_ray.cli.estimate import gpu_flops, rounds
from r2d_ray.cli.plans import machine_lines, patience_lines, profile_line
from r2d_ray.compare import main as compare_main
from r2d_ray.config import GPU_PEAK_FLOPS, SCRATCH_MODELS, build_config
from r2d_ray.data.encode import tokenizer_texts
from r2d_ray.distributed import cluster
from r2d_ray.distributed.cluster import Capacity
from r2d_ray.errors import EXIT_BAD_INPUT, EXIT_DONE, UserError
from r2d_ray.records import TrialRecord
from r2d_ray.sharing.model_card import model_card
from r2d_ray.train import main as train_main
from r2d_ray.tune import main as tune_main

RANDOM = (
    "random weights: scratch-tiny was not pretrained; it learns only from your 24 training rows"
)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of 24 training rows; the machine has 3 CPUs and no GPU."""
    path = tmp_path / "notes.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "split", "question", "context", "label", "rationale.human"])
        for split, count in (("train", 24), ("validation", 10), ("test", 10)):
            for row in toy_rows(split, count):
                cells = (row.question, row.context, row.label, row.rationales["human"])
                rows.writerow([row.id, split, *cells])
    monkeypatch.setattr(cluster, "local_capacity", lambda: Capacity(3.0, 0.0))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def weights(table: Path) -> Path:
    """A folder in the shape of a pretrained T5: tiny, with its own tokenizer."""
    from transformers import T5Config, T5ForConditionalGeneration

    from r2d_ray.model.scratch import train_tokenizer

    folder = table.parent / "my-t5"
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    tokenizer = train_tokenizer(tokenizer_texts(toy_splits()))
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, **sizes)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_plan_for_gpus_that_are_not_here(
    weights: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--dataset", "notes.csv", "--model", "my-t5", "--cluster-gpus", "4"]
    assert tune_main([*words, "--dry-run"]) == EXIT_DONE
    out = capsys.readouterr().out
    assert "planned for 4 GPUs; this machine has none" in out
    # 24 rows, 16 a step: 1,000 steps are 667 epochs; stage 1 has 5 / 3 of them.
    assert "profile finetune: stage 2 of 667 epochs (24 training rows, 16 a step)" in out
    assert "trials 12, 4 at once, at most 13667 optimiser steps" in out
    assert "GPU-hours" in out
    assert "  gpus_per_worker: 1.0" in out
    # Ray's workers run in folders of their own: they know the model by its whole path.
    assert f"  model: {weights.resolve()}\n" in out
    assert "study notes-r2d-my-t5: " in out
    assert "random weights" not in out
    assert tune_main([*words, "--dry-run", "--epochs", "6"]) == EXIT_DONE
    assert "(stage 1, once: 15; stage 2: 9 per trial)" in capsys.readouterr().out
    assert tune_main(words) == EXIT_BAD_INPUT, "only a plan"
    assert "--cluster-gpus 4" in capsys.readouterr().err
    compared = ["--methods", "sft", "r2d", "--seeds", "1", "2", "--dry-run"]
    assert compare_main([*words, *compared]) == EXIT_DONE
    out = capsys.readouterr().out
    assert "4 arms, 4 at once" in out
    # r2d: 1000 + 1667 steps for each seed; sft has the same number in stage 2.
    assert f"{4 * 2667} optimiser steps in all" in out
    assert sorted(table.parent.iterdir()) == [weights, table]


@pytest.mark.parametrize(
    ("capacity", "lines"),
    [
        (Capacity(8, 4, gpus_here=0), ["planned for 4 GPUs; this machine has none"]),
        (Capacity(8, 4, gpus_here=2), ["planned for 4 GPUs; this machine has 2"]),
        (Capacity(8, 4), []),
    ],
)
def test_whose_gpus_are_planned_for(capacity: Capacity, lines: list[str]) -> None:
    assert machine_lines(capacity, build_config({"gpus_per_worker": 1})) == lines


@pytest.mark.parametrize("here", [0, 2])
def test_gpus_that_a_plan_does_not_use_are_not_planned_for(here: int) -> None:
    assert machine_lines(Capacity(8, 4, gpus_here=here), build_config({})) == [
        "of the 4 GPUs of --cluster-gpus the plan uses none (gpus_per_worker = 0); as many CPUs "
        "as it needs are assumed"
    ]


@pytest.mark.parametrize(
    ("seconds", "at_once", "wall"), [([], 2, 0), ([6.0], 2, 6), ([6.0] * 5, 2, 18), ([2, 4], 1, 6)]
)
def test_runs_take_rounds(seconds: list[float], at_once: int, wall: float) -> None:
    assert rounds(seconds, at_once) == wall


@pytest.mark.parametrize("verb", ["tune", "train", "compare"])
def test_a_plan_says_that_weights_are_random(
    verb: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = {"tune": tune_main, "train": train_main, "compare": compare_main}[verb]
    methods = ["--methods", "sft"] if verb == "compare" else []
    assert main(["--dataset", "notes.csv", "--dry-run", *methods]) == EXIT_DONE
    seen = capsys.readouterr()
    assert (seen.out + seen.err).count(RANDOM) == 1
    assert "profile embedded: " in seen.out


@pytest.mark.parametrize("model", [*SCRATCH_MODELS, "google/t5-v1_1-base"])
def test_the_model_card_says_that_weights_are_random(model: str) -> None:
    info = toy_info("s", build_config({"model": model}), {"metric": "macro_f1", "mode": "max"}, 1)
    record = TrialRecord(
        **{"study": "s", "trial": 0, "method": "r2d", "dataset": "toy", "seed": 1},
        config={"model": model},
        status="done",
    )
    said = f"random weights: {model} was not pretrained" in model_card(info, record)
    assert said == (model in SCRATCH_MODELS)


@pytest.mark.parametrize(
    ("name", "tera", "gpu"),
    [
        ("Tesla T4", 9.75, "T4"),
        ("NVIDIA L4", 18.15, "L4"),
        ("NVIDIA L40S", 10.5, "A10G"),  # not an L4
        ("NVIDIA A10G", 10.5, "A10G"),
        ("NVIDIA A10", 10.5, "A10G"),
        ("NVIDIA A100-SXM4-40GB", 46.8, "A100"),
        ("NVIDIA A100-SXM4-80GB", 46.8, "A100"),
        ("NVIDIA A100-PCIE-40GB", 46.8, "A100"),
        ("NVIDIA A100 80GB PCIe", 46.8, "A100"),
        ("NVIDIA H100 80GB HBM3", 148.35, "H100"),
        ("NVIDIA H100 PCIe", 113.4, "H100 PCIe"),
        ("NVIDIA H100 NVL", 125.25, "H100 NVL"),
        ("NVIDIA H200", 148.35, "H200"),
        ("NVIDIA H200 NVL", 125.25, "H200 NVL"),
        ("Tesla V100-SXM2-16GB", 10.5, "A10G"),
        ("AMD Instinct MI300X", 10.5, "A10G"),
        (None, 10.5, "A10G"),
    ],
)
def test_the_rate_of_a_gpu_is_15_per_cent_of_its_peak(
    name: str | None, tera: float, gpu: str
) -> None:
    flops, known = gpu_flops(name)
    article = "a" if gpu == "T4" else "an"
    assert (flops / 1e12, known) == (pytest.approx(tera), f"{article} {gpu}")


@pytest.mark.parametrize(
    ("name", "tera", "gpu"),
    [
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 46.8 / 7, "1/7 of an A100"),
        ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", 46.8 * 3 / 7, "3/7 of an A100"),
        ("NVIDIA H100 80GB HBM3 MIG 2g.20gb", 148.35 * 2 / 7, "2/7 of an H100"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", 148.35 / 7, "1/7 of an H100"),
        ("NVIDIA H200 MIG 7g.141gb", 148.35, "7/7 of an H200"),
        ("NVIDIA A30 MIG 2g.12gb", 10.5, "an A10G"),  # not known, as without MIG
    ],
)
def test_a_slice_of_a_gpu_has_its_share_of_the_rate(name: str, tera: float, gpu: str) -> None:
    flops, known = gpu_flops(name)
    assert (flops / 1e12, known) == (pytest.approx(tera), gpu)


def test_a_plan_of_one_of_each_has_no_plural() -> None:
    config = tiny_config(max_steps=1, eval_steps=1)
    said = profile_line("embedded", config, replace(toy_splits(), train=toy_splits().train[:1]))
    assert "(1 training row, " in said
    assert said.endswith(", an evaluation every step")
    one = Capacity(2, 1, gpus_here=0)
    assert machine_lines(one, config.model_copy(update={"gpus_per_worker": 1})) == [
        "planned for 1 GPU; this machine has none"
    ]
    with pytest.raises(
        UserError, match=r"one trial needs 1 CPU and 0 GPUs .* has 0 CPUs and 1 GPU"
    ):
        Capacity(0, 1).check(config)


def test_a_more_precise_name_of_a_gpu_stands_before_the_plain_one() -> None:
    """The first name that fits is taken."""
    names = [set(name.split()) for name in GPU_PEAK_FLOPS]
    assert not any(
        first < later for place, first in enumerate(names) for later in names[place + 1 :]
    )


def test_a_plan_says_on_which_gpu_its_hours_are(
    weights: Path,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, said in (
        ("NVIDIA A100-SXM4-80GB", "46.8 TFLOP/s a GPU, as on an A100"),
        ("Tesla T4", "9.8 TFLOP/s a GPU, as on a T4"),
        (None, "10.5 TFLOP/s a GPU, as on an A10G"),
    ):
        here = Capacity(8.0, 1.0, 16.0, name)
        monkeypatch.setattr(cluster, "local_capacity", lambda here=here: here)
        assert tune_main(["--dataset", "notes.csv", "--model", "my-t5", "--dry-run"]) == EXIT_DONE
        assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("contexts", "prompt"),
    [
        ({"train": 0, "validation": 0, "test": 0}, "`predict: QUESTION` gives"),
        ({"train": 3, "validation": 0, "test": 0}, "`predict: QUESTION CONTEXT` gives"),
        (None, "`predict: QUESTION CONTEXT` gives"),  # of version 0.2, which does not say
    ],
)
def test_the_model_card_shows_a_context_only_where_rows_have_one(
    contexts: dict[str, int] | None, prompt: str
) -> None:
    info = toy_info("s", build_config({}), {"metric": "macro_f1", "mode": "max"}, 1)
    card = {k: v for k, v in info.data_card.items() if k != "contexts"}
    card |= {} if contexts is None else {"contexts": contexts}
    values = {"study": "s", "trial": 0, "method": "r2d", "dataset": "toy", "seed": 1}
    record = TrialRecord(**values, config={"model": "scratch-tiny"}, status="done")
    text = model_card(info.model_copy(update={"data_card": card}), record)
    assert prompt in text
    assert ("No row of its data has a context" in text) == ("CONTEXT" not in prompt)


def test_a_plan_says_when_a_flat_search_ends() -> None:
    assert patience_lines(None, "macro_f1") == []
    assert patience_lines(6, "macro_f1") == [
        "ends early after 6 trials in a row, done or pruned, without a better macro_f1 (trial 0 "
        "sets the first)"
    ]


def test_a_comparison_has_no_patience(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--dataset", str(table), "--methods", "r2d", "--patience-trials", "3", "--dry-run"]
    with pytest.raises(SystemExit) as ended:
        compare_main(asked)
    assert ended.value.code == EXIT_BAD_INPUT
    said = "error: --patience-trials belongs to python -m r2d_ray.tune (see --help)\n"
    assert capsys.readouterr().err == said
