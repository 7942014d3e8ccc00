"""Folders that are whole or not there, and the hashes under which things are kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from r2d_ray.storage import file_digest, key_of, whole_folder


def contents(folder: Path) -> dict[str, str]:
    """Return every file below a folder, hidden ones too, with its text."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def test_a_folder_appears_when_its_block_ends_and_not_before(tmp_path: Path) -> None:
    place = tmp_path / "parent" / "new"
    with whole_folder(place) as part:
        (part / "a").write_text("1")
        assert not place.exists()
    assert contents(tmp_path) == {"parent/new/a": "1"}
    assert [path.name for path in place.parent.iterdir()] == ["new"]


def test_a_folder_takes_the_place_of_the_one_before_whole(tmp_path: Path) -> None:
    place = tmp_path / "best"
    place.mkdir()
    (place / "old").write_text("1")
    with whole_folder(place) as part:
        (part / "new").write_text("2")
        assert contents(place) == {"old": "1"}
    assert contents(tmp_path) == {"best/new": "2"}


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_after_an_error_nothing_has_changed(
    tmp_path: Path, replace: bool, error: BaseException
) -> None:
    place = tmp_path / "best"
    place.mkdir()
    (place / "old").write_text("1")

    def write_half() -> None:
        with whole_folder(place, replace=replace) as part:
            (part / "new").write_text("2")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert contents(tmp_path) == {"best/old": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_what_a_killed_writer_left_is_no_part_of_the_next_folder(tmp_path: Path) -> None:
    place = tmp_path / "best"
    writer = whole_folder(place)
    (writer.__enter__() / "half").write_text("1")  # and never ends
    with whole_folder(place) as part:
        (part / "whole").write_text("2")
    assert contents(tmp_path) == {"best/whole": "2"}


def test_of_several_at_once_one_makes_the_folder_and_the_others_hear_of_it(tmp_path: Path) -> None:
    line = threading.Barrier(4)

    def attempt(name: str) -> str | None:
        try:
            with whole_folder(tmp_path / "study", replace=False) as part:
                (part / "by").write_text(name)
                line.wait()
        except OSError:
            return None
        return name

    with ThreadPoolExecutor(4) as pool:
        made = [name for name in pool.map(attempt, "abcd") if name]
    assert len(made) == 1
    assert contents(tmp_path) == {"study/by": made[0]}


def test_a_key_is_that_of_the_values_and_not_of_their_order() -> None:
    # printf '[1, {"a": [0.5, null], "b": "\\u00e9"}]' | sha256sum | head -c 16
    assert key_of(1, {"b": "é", "a": (0.5, None)}) == "016079f3c46acdc0"
    assert key_of(1, {"a": [0.5, None], "b": "é"}) == "016079f3c46acdc0"
    assert len({key_of(), key_of([]), key_of(1, 2), key_of([1, 2]), key_of(2, 1)}) == 5


def test_a_files_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert file_digest(tmp_path / "abc") == known
