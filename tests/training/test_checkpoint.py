"""Which checkpoint serves: the newest whole one; damaged ones are named, and no fresh start."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from r2d_ray.training.checkpoint import CheckpointError, damage, newest_whole, seal

SHA = {  # printf weights | sha256sum
    "weights": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
    "moments": "690a8d18f75dfaa79dd8134ac62cdad42fffe0f34cb78dd14e2d3aae3ae83ad3",
}
FILES = {"model.safetensors": b"weights", "state/optimizer.pt": b"moments"}


def saved(folder: Path, step: int, ranks: int = 1) -> Path:
    """Write a checkpoint as the ranks do: each in a folder of its own, put together."""
    for rank in range(ranks):
        own = folder.with_name(f"{folder.name}-rank{rank}")
        files = FILES if rank == 0 else {f"shard-{rank}.pt": b"moments of a rank"}
        for name, data in files.items():
            (own / name).parent.mkdir(parents=True, exist_ok=True)
            (own / name).write_bytes(data)
        seal(own, step, rank, ranks)
        shutil.copytree(own, folder, dirs_exist_ok=True)
        shutil.rmtree(own)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of Ray Train with its file beside the checkpoints."""
    (tmp_path / "checkpoint_manager_snapshot.json").write_text("{}")
    return tmp_path


def test_a_seal_says_what_was_saved(tmp_path: Path) -> None:
    place = saved(tmp_path / "c", 40, ranks=2)
    assert json.loads((place / "seal-0.json").read_text()) == {
        "step": 40,
        "ranks": 2,
        "files": {
            "model.safetensors": {
                "bytes": 7,
                "sha256": SHA["weights"],
            },
            "state/optimizer.pt": {
                "bytes": 7,
                "sha256": SHA["moments"],
            },
        },
    }
    assert damage(place) is None


@pytest.mark.parametrize("name", [*FILES, "shard-1.pt", "seal-0.json", "seal-1.json"])
def test_a_file_of_any_rank_that_is_gone_or_cut_is_named(tmp_path: Path, name: str) -> None:
    place = saved(tmp_path / "c", 4, ranks=2)
    data = (place / name).read_bytes()
    (place / name).write_bytes(data[: len(data) // 2])
    told = damage(place)
    assert told is not None
    assert told.startswith(name)
    (place / name).unlink()
    assert damage(place) == f"{name} is missing"


def test_a_cut_file_is_told_with_both_sizes_and_a_changed_one_too(tmp_path: Path) -> None:
    place = saved(tmp_path / "c", 4)
    (place / "model.safetensors").write_bytes(b"wei")
    assert damage(place) == "model.safetensors has 3 of 7 bytes"
    (place / "model.safetensors").write_bytes(b"WEIGHTS")
    assert damage(place) == "model.safetensors does not hold the bytes that were saved"
    (place / "model.safetensors").unlink()
    (place / "model.safetensors").mkdir()  # a thing that cannot be read as a file
    assert damage(place) is not None


def test_no_changed_byte_and_no_cut_of_the_seal_goes_unseen(tmp_path: Path) -> None:
    place = saved(tmp_path / "c", 4)
    for name, data in FILES.items():
        for at in range(len(data)):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            (place / name).write_bytes(changed)
            assert damage(place) == f"{name} does not hold the bytes that were saved"
        (place / name).write_bytes(data)
    assert damage(place) is None
    text = (place / "seal-0.json").read_text().rstrip()
    for at in range(len(text)):
        (place / "seal-0.json").write_text(text[:at])
        assert damage(place) == "seal-0.json is truncated"


def test_the_whole_one_with_the_most_steps_is_taken_whatever_its_name(run: Path) -> None:
    saved(run / "checkpoint_b", 4)
    newest = saved(run / "checkpoint_a", 12)
    assert newest_whole(run, None) == newest
    assert newest_whole(run, run / "checkpoint_b") == newest  # Ray had no time to count it


def cut_model(place: Path) -> None:
    (place / "model.safetensors").write_bytes(b"w")


def lose_seal(place: Path) -> None:
    (place / "seal-0.json").unlink()


def lose_all(place: Path) -> None:
    shutil.rmtree(place)


@pytest.mark.parametrize("harm", [cut_model, lose_seal, lose_all])
def test_a_damaged_one_gives_way_to_the_one_before_it_and_is_named_once(
    run: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    before, newest = saved(run / "checkpoint_1", 4), saved(run / "checkpoint_2", 8)
    harm(newest)
    with caplog.at_level(logging.WARNING):
        assert newest_whole(run, newest) == before
    [line] = caplog.messages
    assert line.startswith(f"{newest} is damaged: ")
    assert line.endswith("; training continues from checkpoint_1")


def test_where_none_is_whole_the_run_ends_with_what_is_wrong_with_each(run: Path) -> None:
    one, two = saved(run / "checkpoint_1", 4), saved(run / "checkpoint_2", 8)
    cut_model(one)
    lose_seal(two)
    with pytest.raises(CheckpointError) as caught:
        newest_whole(run, two)
    assert str(caught.value) == (
        f"no checkpoint is intact: {two} is damaged: seal-0.json is missing; "
        f"{one} is damaged: model.safetensors has 1 of 7 bytes"
    )


def test_a_first_checkpoint_that_a_kill_cut_off_is_no_reason_to_fail(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert newest_whole(run, None) is None
    lose_seal(saved(run / "checkpoint_1", 4))
    assert newest_whole(run, None) is None
    [line] = caplog.messages
    assert line.endswith("seal-0.json is missing; training starts over: it was never counted")
