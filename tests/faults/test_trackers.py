"""A search tells MLflow, Weights & Biases and TensorBoard of every trial, each once."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_study import RealStudy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
TRIALS = 2
STAGE1 = ("--set", "stage1_max_steps=4", "--set", "stage1_eval_steps=2")
SECRET_TEXT = "treat"  # of every toy row's question


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["server", "sqlite"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """MLflow's address: a server of its own on loopback, or a file."""
    pytest.importorskip("mlflow", reason="pip install 'r2d-ray[mlflow]'")
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/mlflow.db"
        return
    port = free_port()
    store = f"sqlite:///{tmp_path}/server.db"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def test_every_trial_is_a_run_with_its_stages_and_scores(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    pytest.importorskip("wandb", reason="pip install 'r2d-ray[wandb]'")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    trackers = ("--trackers", "tensorboard", "mlflow", "wandb")
    study = RealStudy(tmp_path / "studies", TRIALS, *STAGE1, *trackers)
    for _ in range(2):  # the second finds all done and doubles nothing
        assert study.end(study.start(), limit=500) == 0, study.log.read_text()[-3000:]
    records = study.records()

    client: Any = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("s")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    everything = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in everything) == [
        *("s-0000", "s-0000-stage1", "s-0000-stage2", "s-0001", "s-0001-stage2"),
    ] or sorted(runs) == ["s-0000", "s-0000-stage2", "s-0001", "s-0001-stage1", "s-0001-stage2"]
    for record in records:
        parent, stage = runs[f"s-{record.trial:04d}"], runs[f"s-{record.trial:04d}-stage2"]
        assert {parent.info.status, stage.info.status} == {"FINISHED"}
        assert stage.data.tags["mlflow.parentRunId"] == parent.info.run_id
        for run in (parent, stage):
            assert {name: str(value) for name, value in record.config.items()} == run.data.params
            known = {"study": "s", "trial": str(record.trial), "method": "r2d", "seed": "42"}
            assert known.items() <= run.data.tags.items()
        history = client.get_metric_history(stage.info.run_id, "eval_macro_f1")
        assert sorted((point.step, point.value) for point in history) == [
            (each.step, each.scores["macro_f1"]) for each in record.curve
        ]
        scores = parent.data.metrics
        assert scores["validation/macro_f1"] == record.metrics["macro_f1"]
        assert scores.get("test/macro_f1") == record.test_metrics.get("macro_f1")
    check_tensorboard(study.root, records)
    check_wandb(study.root, records)


def check_tensorboard(root: Path, records: list[Any]) -> None:
    for record in records:
        folder = root / "tensorboard" / f"s-{record.trial:04d}"
        events = EventAccumulator(str(folder)).Reload()
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        data = plugin_data_pb2.HParamsPluginData.FromString(content)
        shown = data.session_start_info.hparams
        weight = shown["label_loss_weight"].number_value
        assert weight == pytest.approx(record.config["label_loss_weight"])
        assert shown["method"].string_value == "r2d"
        assert events.Scalars("validation/macro_f1")[0].value == pytest.approx(
            record.metrics["macro_f1"]
        )
        stage2 = EventAccumulator(str(folder / "stage2")).Reload()
        assert [one.step for one in stage2.Scalars("eval/macro_f1")] == [
            each.step for each in record.curve
        ]
    assert len(list(root.glob("tensorboard/s-*/stage1/events.out.tfevents.*"))) == 1


BLOCK, OPENING = 32_768, 7  # bytes: of LevelDB's log, and of wandb's own header before it
HEAD, MIDDLE, LAST = struct.Struct("<IHB"), 3, 4


def kept_offline(path: Path) -> Iterator[Any]:
    """Yield the records of a run that wandb kept: messages in the format of LevelDB's log."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = path.read_bytes(), OPENING, []
    assert data.startswith(b":W&B")
    while at + HEAD.size <= len(data):
        if BLOCK - at % BLOCK < HEAD.size:  # what no header fits in is left empty
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = HEAD.unpack_from(data, at)
        at += HEAD.size
        parts = [*(parts if kind in (MIDDLE, LAST) else []), data[at : at + length]]
        at += length
        if kind in (1, LAST):
            yield wandb_internal_pb2.Record.FromString(b"".join(parts))


def check_wandb(root: Path, records: list[Any]) -> None:
    found = {}
    for path in root.glob("wandb/offline-run-*/run-*.wandb"):
        assert SECRET_TEXT.encode() not in path.read_bytes()
        name, config, steps, scores = "", {}, 0, {}
        for said in kept_offline(path):
            if said.HasField("run"):
                name = said.run.display_name
                assert said.run.run_group == "s"
                assert said.run.job_type in ("stage1", "stage2", "test")
                assert "method:r2d" in said.run.tags
                config |= {one.key: json.loads(one.value_json) for one in said.run.config.update}
            if said.HasField("config"):
                config |= {one.key: json.loads(one.value_json) for one in said.config.update}
            if said.HasField("summary"):
                scores |= {one.key: json.loads(one.value_json) for one in said.summary.update}
            steps += said.HasField("history")
        found[name] = (config, steps, scores)
    assert len([name for name in found if name.endswith("-stage1")]) == 1
    for record in records:
        config, steps, _ = found[f"s-{record.trial:04d}-stage2"]
        shown = {name: config[name] for name in ("label_loss_weight", "max_steps", "seed")}
        assert shown == {name: record.config[name] for name in shown}
        assert steps >= len(record.curve)
        if record.test_metrics:
            scores = found[f"s-{record.trial:04d}-test"][2]
            assert scores["test/macro_f1"] == record.test_metrics["macro_f1"]
