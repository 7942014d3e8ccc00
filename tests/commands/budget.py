"""The table: what becomes of each kind of command that a document shows, and how it is shrunk.

A command is known by its first words; the longest rule counts. A new kind of command needs a line
here, a new placeholder an entry below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done with commands that begin with `words`.

    Args:
        words: The first words.
        quick: The check of `make test`: `plan` runs it with `--dry-run`, `parse` reads its flags,
            `make` asks make for the recipe, `ray` reads Ray's flags and the command inside, `none`
            is for what cannot be checked.
        why: Why it is not run whole; empty if `make commands` runs it.
        more: Words put at its end where it is run whole.
    """

    words: str
    quick: Literal["plan", "parse", "make", "ray", "none"]
    why: str = ""
    more: tuple[str, ...] = ()


SMOKE = ("--smoke-test", "--address", "local")
A_TEST = "takes minutes or installs; `make -n` shows that the target is there"
MACHINES = "needs a cluster or a cloud account"
SERVER = "serves until it is ended"
INSTALLS = "installs"
READER = "is for the reader's hands and eyes"

RULES = (
    Rule("python -m r2d_ray.tune", "plan", more=(*SMOKE, "--num-samples", "2")),
    Rule("python -m r2d_ray.train", "plan", more=SMOKE),
    Rule("python -m r2d_ray.compare", "plan", more=SMOKE),
    Rule("python -m r2d_ray.predict", "parse"),
    Rule("python -m analysis", "parse"),
    Rule("python -m r2d_ray.judge", "parse", "asks a language model"),
    Rule("python -m r2d_ray.zero_shot", "parse", "asks a language model"),
    Rule("python -m r2d_ray.write_rationales", "parse", "asks a language model"),
    Rule("python -m r2d_ray.export", "parse"),
    Rule("python examples/search_in_python.py", "none", "test_python_example.py runs it"),
    Rule("python examples/clinic_notes.py", "none", "test_clinic_notes.py runs it"),
    Rule("python -m benchmarks.", "parse", "takes minutes on a quiet machine"),
    Rule("make", "make", A_TEST),
    Rule("ray", "ray", MACHINES),
    Rule("optuna-dashboard", "none", SERVER),
    Rule("tensorboard", "none", SERVER),
    Rule("mlflow", "none", SERVER),
    Rule("jupyter", "none", SERVER),
    Rule("mkdocs", "none", SERVER),
    Rule("pip", "none", INSTALLS),
    Rule("python -m pip", "none", INSTALLS),
    Rule("python -m venv", "none", INSTALLS),
    Rule("git", "none", "needs a network or changes a repository"),
    Rule("gcloud", "none", MACHINES),
    Rule("aws", "none", MACHINES),
    Rule("cd", "none", READER),
    Rule("source", "none", READER),
    Rule("export", "none", READER),
    Rule("cat", "none", READER),
    Rule("head", "none", READER),
    Rule("ls", "none", READER),
    Rule("open", "none", READER),
    Rule("xdg-open", "none", READER),
    Rule("$EDITOR", "none", READER),
)

WRITTEN_BY = {"clinic.csv": ("examples/clinic_notes.py", 200, 1)}
"""Tables that a document has a script write: the script, and rows and seed at the small size."""

SAME_WORD = {"python3": "python", ".venv/bin/python": "python", ".venv/bin/pip": "pip"}

HERE = {
    "--address": ("local",),
    "--gpus-per-worker": ("0",),
    "--num-workers": ("1",),
    "--profile": ("embedded",),
    "--storage-path": ("studies",),
}
"""Flags whose values are a machine's: what they become here, at both depths."""
NO_HUB_MODEL = "scratch-tiny"
"""Stands for a `--model` of the hub or of the reader; a `scratch-` model or a study's stays."""

SMALL = {
    "--num-samples": ("2",),
    "--extend": ("1",),
    "--seeds": ("1",),
    "--seeds-per-config": ("1",),
    "--time-budget": ("60",),
    "--max-concurrent-trials": ("2",),
    "--sample-rows": ("40", "20", "20"),
    "--rationale-rows": ("20",),
}
"""Flags of a size: what they become where the command is run whole."""
SMALL_SETTINGS = {
    "stage1_max_steps": "4",
    "stage1_eval_steps": "2",
    "max_steps": "8",
    "eval_steps": "4",
    "logging_steps": "2",
}
"""The same of `--set FIELD=VALUE`; other fields stay as they are shown."""
SMALL_GRIDS = "small/"
"""Folder of the grids that stand for larger ones: `--grid ablation` is `small/ablation.yaml`, so
that a study is still named after its grid."""
SMALL_GRID = """metric: macro_f1
mode: max
search:
  sampling_decay: {type: categorical, choices: [linear, none]}
"""
"""What such a file holds: two points for a grid of many."""

READS_A_STUDY = frozenset({"--study", "--tuned-from", "--warm-start", "--extend", "--resume"})
"""Flags of what an earlier command leaves: a dry run beside nothing can only read the words."""

DOTS = ("--dataset", "bioasq")
"""What `...` stands for among the words of a command that takes a data set."""
VARIABLES = {"MLFLOW_TRACKING_URI": "needs a server", "CUDA_VISIBLE_DEVICES": "names a machine"}
"""Variables left out, and why. `...` as the value of any other is refused."""
NO_HUB_DATA = "hub.csv"
"""Stands for a `--dataset hub:...`: a table made for the `--columns` of the command."""
STUDY_FOLDERS = ("/mnt/r2d/studies/", "~/studies/", "./studies/")
"""Where documents say that studies lie, beside `studies/`."""
DATA_FOLDERS = ("/data", "/mnt/r2d/data", "/path/to/data")
"""Where documents say that data lies: the official files where they are, else an empty folder."""
LINKED = ("tests", "examples", "search_spaces", "cluster", "cluster.yaml", "docs")
"""What a command may read of the repository, whose root documents take for the working folder."""

LIMIT_S = 400
"""Seconds that one command may take whole."""
SHOWN_ROWS = 60
"""A table that a document shows with fewer rows stands for one of so many."""
