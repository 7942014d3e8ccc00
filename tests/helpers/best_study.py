"""A study on disk with a best model, untrained: what leaves a study is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import tiny_config, toy_info

from r2d_ray.data.prepare import open_prepared
from r2d_ray.model.t5 import load_model
from r2d_ray.records import write_jsonl
from r2d_ray.sharing.best import export_best
from r2d_ray.storage import write_json
from r2d_ray.study.books import trial_record

RESULT = {"test": {"best (trial 0, the defaults)": {"macro_f1": 0.75, "accuracy": 0.75}}}


def write_study(root: Path, prepared_dir: Path, **changes: Any) -> Path:
    """Write a search of one trial that has ended; `changes` are of study.json."""
    config = tiny_config()
    space = {"metric": "macro_f1", "mode": "max", "search": {}}
    info = toy_info("notes", config, space, 1)
    info = info.model_copy(update=changes)
    record = trial_record(info, 0, {}, "done", metrics={"macro_f1": 0.5}, selected_step=8)
    root.mkdir(parents=True)
    write_json(root / "study.json", info.model_dump(mode="json"))
    write_jsonl(root / "records.jsonl", [record])
    write_json(root / "result.json", RESULT)
    load_model(config, open_prepared(prepared_dir).tokenizer).save_pretrained(root / "weights")
    export_best(root / "weights", prepared_dir / "tokenizer", root / "best", info, record)
    return root
