"""Space files: every YAML is searched as it says or refused in one line, and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fuzz_cases import cases, harmless, sandbox
from hypothesis import given
from hypothesis import strategies as st

import r2d_ray.search.run  # noqa: F401  heavy: imported here rather than by the first case
from r2d_ray.config import SELECTION_METRICS, TrainConfig
from r2d_ray.errors import EXIT_BAD_INPUT
from r2d_ray.search.space import distributions, load_search_space
from r2d_ray.tune import main as tune_main


def mapping(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"


COMMAND = ["--dataset", "bioasq", "--sample-rows", "14", "3", "3", "--profile", "embedded"]
HUGE = "0x" + "f" * 5000
PLAIN = [
    *("1", "0", "-1", "0.5", "1e-3", "1.0e-3", "1e400", ".nan", ".inf", "true", "null", "~"),
    *("yes", "2020-01-01", "12:30:45", "0o17", "0b1", "1_000", "''", "default", "linear", "é"),
    *("scratch-tiny", "../x", '"\\0"', '"\\ud800"', '"\\x1b[2J"', "1e" + "9" * 50),
]
NOT_PLAIN = [
    *("0x" + "f" * 5000, "9" * 5000, "2020-13-45", "<<", "=", "!!python/name:os.abort", "*a"),
    *("&a 1", "!!binary /w==", "!!set {a}", "!<x> y", "%x", "@", "\t", "\x07", "\x85", "|\n  x"),
]
SCALAR = st.sampled_from(PLAIN * 6 + NOT_PLAIN)
FIELD = st.sampled_from([*TrainConfig.model_fields, "fp16", "epochs", "1", "null", "[a]"])
GOOD = st.sampled_from(
    [
        ("learning_rate", "{type: float, low: 1.0e-4, high: 1e-2, log: true}"),
        ("label_loss_weight", "{type: float, low: 0.5, high: 0.9}"),
        ("max_steps", "{type: int, low: 100, high: 0x1ff}"),
        ("sampling_decay", "{type: categorical, choices: [linear, none]}"),
        ("seed", "{type: int, low: 0, high: 2147483647}"),
        ("bf16", "{type: categorical, choices: [false, true]}"),
        ("deepspeed_config", "{type: categorical, choices: [null]}"),
        ("model", "{type: categorical, choices: [scratch-tiny, ../x]}"),
    ]
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.lists(st.tuples(SCALAR, inner), max_size=3).map(mapping)
    ),
    max_leaves=5,
)
RARELY = st.sampled_from([False, False, True])
BOMBS = st.sampled_from(
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
        "&a [*a]",
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "? " * 3000,
        "!!python/object/apply:os.mkdir [made]",
        "metric: !!python/object/new:os.system ['touch made']",
        "--- a\n--- b",
        "%YAML 9.9\n---\na",
        "a: " + "1:" * 9000,
        "\ufeffmetric: macro_f1",
    ]
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(str.encode)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with sandbox(tmp_path_factory.mktemp("spaces")) as place:
        yield place


@st.composite
def domains(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["float", "int", "categorical", "bool"]))
    keys = {"type": kind}
    if kind == "categorical" or draw(st.booleans()):
        items = draw(st.lists(SCALAR, max_size=4))
        keys["choices"] = "[" + ", ".join(items) + "]"
    else:
        keys |= {"low": draw(SCALAR), "high": draw(SCALAR)}
    if draw(st.booleans()):
        keys[draw(st.sampled_from(["low", "high", "log", "step", "choices", "type"]))] = draw(VALUE)
    return mapping(list(keys.items()))


@st.composite
def space_files(draw: st.DrawFn) -> str:
    searched = st.tuples(FIELD, domains()) if draw(RARELY) else GOOD
    search = draw(st.lists(searched, min_size=1, max_size=3, unique_by=lambda pair: pair[0]))
    keys = {
        "metric": draw(st.sampled_from([*["macro_f1"] * 9, *SELECTION_METRICS, "f1", "[a]"])),
        "mode": draw(st.sampled_from([*["max", "min"] * 4, "MAX", "true"])),
        "fixed": mapping(
            draw(st.lists(st.tuples(FIELD, VALUE), max_size=2)) if draw(RARELY) else []
        ),
        "search": mapping(search),
    }
    if draw(RARELY):
        keys[draw(st.sampled_from(["metric", "mode", "fixed", "search", "name", "1"]))] = draw(
            VALUE
        )
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    return end.join(f"{key}: {value}" for key, value in keys.items())


@cases(share=35)
@given(text=space_files())
def test_any_space_is_searched_or_refused(folder: Path, text: str) -> None:
    tried(folder, text.encode(errors="surrogatepass"))


@cases(share=15)
@given(content=BOMBS.map(str.encode) | st.binary(max_size=60) | TEXTS)
def test_what_is_no_space_is_refused_and_runs_nothing(folder: Path, content: bytes) -> None:
    tried(folder, content)
    assert not (folder / "made").exists()


def tried(folder: Path, content: bytes) -> None:
    path = folder / "fuzz.yaml"
    path.write_bytes(content)
    quiet = ["--verbosity", "quiet", "--dry-run"]
    done = harmless(tune_main, [*COMMAND, "--space", str(path), *quiet], folder)
    if done.code == EXIT_BAD_INPUT:
        return
    space = load_search_space(str(path))
    assert distributions(space).keys() == space.search.keys()
    written = yaml.safe_load(content)
    assert space.search.keys() == written["search"].keys()
    for name in space.search:
        assert f"\n  {name}: [" in done.out
