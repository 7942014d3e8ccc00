"""What leaves a study with its best model: known files alone, and a card written anew.

No prepared data, no predictions and nothing that somebody put beside the model goes along.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from r2d_ray.config import SCRATCH_MODELS
from r2d_ray.errors import UserError
from r2d_ray.model.t5 import whole_tokenizer
from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.sharing.model_card import CARD, model_card
from r2d_ray.storage import whole_folder
from r2d_ray.study.folder import StudyFolder, read_info, read_trials
from r2d_ray.study.lock import check_unlocked
from r2d_ray.study.model_file import MODEL_FILE, ModelFile, read_model_file
from r2d_ray.study.seeds import of_seed

KNOWN = (
    *(
        "config.json",
        "generation_config.json",
        "model*.safetensors",
        "model.safetensors.index.json",
    ),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("spiece.model", "sentencepiece.bpe.model"),
)
"""Names of the files that leave as they are; card and r2d_ray.json are written anew."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What leaves: files by name, as they lie or as bytes, and what must be said of them.

    `left_out` are names in best/ that stay where they are.
    """

    files: dict[str, Path | bytes]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(
            len(one) if isinstance(one, bytes) else one.stat().st_size
            for one in self.files.values()
        )

    def write(self, folder: Path) -> None:
        """Write the files as a folder, whole or not at all; what a killed write left is cleared."""
        with whole_folder(folder) as part:
            for name, one in self.files.items():
                (part / name).write_bytes(one if isinstance(one, bytes) else one.read_bytes())


def contents_of(root: Path, licence: str | None = None) -> Contents:
    """Return what leaves of a study's best model.

    Args:
        root: The study's folder.
        licence: Of the weights, in the hub's spelling.

    Raises:
        UserError: for what is no study, a study in use or without a best model, and a model whose
            files are damaged.
    """
    info = read_info(root)
    check_unlocked(root)
    best = StudyFolder(root).best_dir
    if not best.is_dir():
        raise UserError(f"{root}: no best model yet (allowed: a search that has ended)")
    model = read_model_file(best)
    whole_tokenizer(model.config, best)
    result = read_result(root)
    names = sorted(path.name for path in best.iterdir())
    known = [name for name in names if any(fnmatch(name, pattern) for pattern in KNOWN)]
    files: dict[str, Path | bytes] = {name: best / name for name in known}
    card = model_card(info, run_of(root, info, model), result, licence)
    files[CARD] = card.encode()
    files[MODEL_FILE] = without_path(best)
    rest = tuple(name for name in names if name not in files)
    return Contents(files, rest, notes_on(info, result))


def run_of(root: Path, info: StudyInfo, model: ModelFile) -> TrialRecord:
    """Return the record of the run whose model it is, of several seeds that of its own.

    Raises:
        UserError: if the study has no record of it.
    """
    for record in read_trials(root, info):
        if record.trial != model.trial:
            continue
        seeds = [run.seed for run in record.seeds] or [record.seed]
        if model.config.seed in seeds:
            return of_seed(record, seeds.index(model.config.seed))
    raise UserError(
        f"{root}: best/ is of trial {model.trial}, seed {model.config.seed}, which records.jsonl "
        "does not have (allowed: a study as written by r2d_ray)"
    )


def read_result(root: Path) -> dict[str, Any] | None:
    """Return result.json, None before the last look at the test split."""
    path = root / "result.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found.get("test"), dict):
            raise ValueError
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError):
        raise UserError(f"{path}: not a valid result (allowed: as written by r2d_ray)") from None
    return dict(found)


def without_path(best: Path) -> bytes:
    """Return r2d_ray.json with the name of the model that training began from, not its path."""
    values = json.loads((best / MODEL_FILE).read_text(encoding="utf-8"))
    model = Path(values["config"]["model"])
    if model.is_absolute():
        values["config"]["model"] = model.name
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def notes_on(info: StudyInfo, result: dict[str, Any] | None) -> tuple[str, ...]:
    """Return what the user should know before others have the model."""
    notes = []
    if result is None:
        notes.append("the card has no test scores: the study has not ended")
    if info.config["model"] in SCRATCH_MODELS and info.provenance.get("kind") != "sample":
        notes.append(
            f"the tokenizer of {info.config['model']} was made of your training rows: its "
            "vocabulary holds pieces of their words"
        )
    return tuple(notes)
