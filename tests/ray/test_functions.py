"""A search from Python on a real cluster, alone: it ends, its model predicts."""

from pathlib import Path

import pytest
import ray
from conftest import TINY

import r2d_ray
from r2d_ray.errors import UserError

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


def test_a_search_is_run_once_and_its_model_predicts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[object] = []

    def search() -> r2d_ray.StudyResult:
        return r2d_ray.run_search(
            "bioasq",
            profile="embedded",
            sample_rows=(40, 16, 16),
            num_samples=1,
            address="local",
            storage_path=tmp_path,
            progress=seen.append,
            **{**TINY, "per_device_train_batch_size": 8},
        )

    result = search()
    assert result["trials"] == {"done": 1}
    assert seen
    assert capfd.readouterr().out == ""
    rows = [{"question": "Does it help?", "context": "It helped."}]
    assert result.best_model == result.folder / "best"
    assert result.table.loc["best (trial 0, the defaults)", "accuracy"] >= 0
    [row] = r2d_ray.predict_rows(result.best_model, rows)
    assert row["predicted_label"] in ("yes", "no")
    assert not ray.is_initialized()
    assert search() == result  # nothing is run again, and Ray can be joined twice


def test_a_process_that_is_connected_already_is_told_so(tmp_path: Path) -> None:
    ray.init(address="local", num_cpus=1, include_dashboard=False)
    try:
        with pytest.raises(UserError, match="is connected to Ray"):
            r2d_ray.run_search("bioasq", storage_path=tmp_path)
        assert ray.is_initialized()
    finally:
        ray.shutdown()
