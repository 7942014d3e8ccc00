"""The script of examples/ that searches from Python ends with predictions, on a real cluster."""

import importlib.util
import re
from pathlib import Path

import pytest
from conftest import TINY

EXAMPLE = Path(__file__).parents[2] / "examples" / "search_in_python.py"
pytestmark = [pytest.mark.commands, pytest.mark.timeout(400)]


def test_the_example_ends_with_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("search_in_python", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setenv("RAY_ADDRESS", "")
    names = ("stage1_max_steps", "stage1_eval_steps", "max_steps", "eval_steps", "logging_steps")
    example.SETTINGS = {"num_samples": 1, **{name: TINY[name] for name in names}}
    example.ROWS = (40, 16, 16)
    example.main(tmp_path)
    said, shown = capsys.readouterr()
    assert "1/1" in shown
    assert re.search(r"^majority label .* NaN$", said, re.M)
    assert "best trial: 0 of {'done': 1}" in said
    assert re.search(r"^right: \d+% of 16 test rows$", said, re.M)
    assert len(list((tmp_path / "studies").glob("frame-*.jsonl"))) == 1
    assert (tmp_path / "studies" / "from-python" / "best" / "model.safetensors").is_file()
