"""Which files of PubMedQA are which split: the published file, or a fold of its split script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from r2d_ray.data.files import checked, read_json
from r2d_ray.data.official.layout import is_json, listed
from r2d_ray.errors import UserError

TEST_IDS = ("test_ground_truth.json", "test_set.json")
"""Files whose keys are the official test ids, the first that there is."""

FOLD_FILES = {"train_set.json": "train", "dev_set.json": "validation"}
"""What `split_dataset.py` writes into each fold; `test_set.json` lies above them."""

TEST_SET = "test_set.json"
_BY_ID = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class PubmedqaFiles:
    """Files by the split that they are; "" for the published file, whose splits are not said."""

    files: dict[str, Path]

    @property
    def first(self) -> Path:
        """The file beside which ids and written rationales are looked for."""
        return next(iter(self.files.values()))


def find_pubmedqa(path: Path) -> PubmedqaFiles:
    """Return the files of a PubMedQA file, of its folder, of a fold or of a folder with one fold.

    `train_set.json` brings the development and test set that lie beside or above it.

    Raises:
        UserError: for a folder without such files, and for one with several folds.
    """
    if not path.is_dir():
        return _fold(path.parent) if path.name == "train_set.json" else PubmedqaFiles({"": path})
    if (path / "train_set.json").is_file():
        return _fold(path)
    published = sorted(file for file in path.glob("ori_pqa*.json*") if is_json(file))
    labelled = [file for file in published if file.name.removesuffix(".gz") == "ori_pqal.json"]
    if len(labelled or published) == 1:
        return PubmedqaFiles({"": (labelled or published)[0]})
    folds = [file.parent for file in path.glob("*/train_set.json")]
    if len(folds) == 1:
        return _fold(folds[0])
    if folds:
        ordered = sorted(folds, key=lambda fold: [int(n) for n in re.findall(r"\d+", fold.name)])
        names = listed(fold.name for fold in ordered)
        raise UserError(
            f"{path}: {len(folds)} folds of PubMedQA ({names}); name one: --data {ordered[0]}"
        )
    found = ", ".join(file.name for file in published) or "none"
    raise UserError(
        f"{path}: no ori_pqal.json in this folder (official PubMedQA PQA-L), no train_set.json of "
        f"a fold and no table (found of PubMedQA: {found})"
    )


def _fold(folder: Path) -> PubmedqaFiles:
    files = {split: folder / name for name, split in FOLD_FILES.items()}
    beside = [folder / TEST_SET, folder.parent / TEST_SET]
    files["test"] = next((file for file in beside if file.is_file()), beside[0])
    return PubmedqaFiles({split: file for split, file in files.items() if file.is_file()})


def _by_id(file: Path) -> dict[str, Any]:
    return checked(_BY_ID, read_json(file), str(file))


def official_test_ids(beside: Path) -> tuple[Path, list[str]] | None:
    """Return the file of the official test ids in the folder of this file, and the ids."""
    for name in TEST_IDS:
        file = beside.parent / name
        if file.is_file() and file != beside:
            return file, [*_by_id(file)]
    return None
