from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from r2d_ray.config import PROFILES, build_config
from r2d_ray.errors import UserError
from r2d_ray.method.variants import METHODS
from r2d_ray.search.domain import Domain
from r2d_ray.search.space import (
    SPACES,
    SearchSpace,
    distributions,
    load_search_space,
    prepare_space,
)

NAMES = (
    "triage",
    "pubmedqa",
    "bioasq",
    "embedded",
    "finetune",
    "ablation",
    "sensitivity",
    "stage1",
)
SCHEDULE_FIELDS = ("sampling_start_ratio", "sampling_decay_ratio", "gold_probability_floor")
PROFILES_OF = {name: tuple(PROFILES) for name in NAMES} | {
    "embedded": ("embedded", "finetune"),
    "finetune": ("embedded", "finetune"),
}

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return to_file


def space_text(search: str, fixed: str = "{}") -> str:
    return f"metric: macro_f1\nmode: max\nfixed: {fixed}\nsearch: {search}\n"


def refusal(path: str) -> str:
    with pytest.raises(UserError) as caught:
        load_search_space(path)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{path}:")
    return said.removeprefix(f"{path}:").strip()


def ends(domain: Domain) -> tuple[object, ...]:
    return domain.bounds if domain.choices is None else domain.choices


def test_every_space_that_the_project_names_is_there_and_no_other() -> None:
    assert sorted(path.stem for path in SPACES.iterdir() if path.suffix == ".yaml") == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_trial_0_of_every_profile_lies_inside_the_space(name: str) -> None:
    space = load_search_space(name)
    assert (space.name, space.metric, space.mode) == (name, "macro_f1", "max")
    for profile in PROFILES_OF[name]:
        prepared, dropped = prepare_space(space, PROFILES[profile], {})
        assert dropped == ()
        trial_0 = build_config(PROFILES[profile])
        assert all(d.contains(getattr(trial_0, field)) for field, d in prepared.search.items())
        words = {field: domain for field, domain in space.search.items() if domain.relative}
        assert set(words) == ({"stage1_max_steps"} if name == "ablation" else set())
        assert {**prepared.search, **words} == space.search


def test_the_embedded_space_is_refused_with_the_paper_profile() -> None:
    with pytest.raises(UserError) as caught:
        prepare_space(load_search_space("embedded"), PROFILES["paper"], {})
    assert str(caught.value) == (
        "space embedded: learning_rate: default 5e-05 lies outside [0.0003, 0.003]"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_gold_probability_is_down_by_065_of_the_steps_at_every_corner(name: str) -> None:
    search = load_search_space(name).search
    default = build_config({})
    corners = itertools.product(
        *(
            ends(search[field]) if field in search else (getattr(default, field),)
            for field in SCHEDULE_FIELDS
        )
    )
    for start, decay_ratio, floor in corners:
        assert start + decay_ratio * (1 - floor) <= 0.65 + 1e-12


@pytest.mark.parametrize("name", ["triage", "pubmedqa", "bioasq", "embedded"])
def test_the_default_spaces_search_the_six_fields_of_the_method(name: str) -> None:
    assert set(load_search_space(name).search) == {
        "learning_rate",
        "label_loss_weight",
        "sampling_decay",
        "sampling_decay_ratio",
        "gold_probability_floor",
        "label_warmup_ratio",
    }


def test_stage_1_is_searched_only_by_its_own_space_with_at_most_three_values() -> None:
    for name in NAMES:
        searched = [field for field in load_search_space(name).search if "stage1" in field]
        switched = ["stage1_max_steps"] if name == "ablation" else []
        assert searched == (["stage1_learning_rate"] if name == "stage1" else switched)
    choices = load_search_space("stage1").search["stage1_learning_rate"].choices
    assert choices is not None
    assert len(choices) <= 3


def test_distributions_have_the_bounds_of_the_file(write: Write) -> None:
    search = """
  learning_rate: {type: float, low: 1e-5, high: 1.0e-3, log: true}
  label_loss_weight: {type: float, low: 0, high: 1}
  max_steps: {type: int, low: 10, high: 20}
  sampling_dropout: {type: categorical, choices: [true, false]}
  rationale_source: {type: categorical, choices: [null, human]}
  stage1_learning_rate: {type: categorical, choices: [1e-4, 5.0e-5]}
"""
    assert distributions(load_search_space(write(space_text(search)))) == {
        "learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
        "label_loss_weight": FloatDistribution(0.0, 1.0),
        "max_steps": IntDistribution(10, 20),
        "sampling_dropout": CategoricalDistribution((True, False)),
        "rationale_source": CategoricalDistribution((None, "human")),
        "stage1_learning_rate": CategoricalDistribution((1e-4, 5e-5)),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_space_goes_through_json_unchanged(name: str) -> None:
    space = load_search_space(name)
    again = SearchSpace.model_validate(json.loads(json.dumps(space.model_dump(mode="json"))))
    assert again == space
    assert distributions(again) == distributions(space)


@given(low=st.floats(1e-6, 0.4), high=st.floats(0.5, 1.0), log=st.booleans(), share=st.floats(0, 1))
def test_what_a_range_contains_is_what_optuna_would_draw(
    low: float, high: float, log: bool, share: float
) -> None:
    domain = Domain(type="float", low=low, high=high, log=log)
    space = SearchSpace(name="s", metric="macro_f1", mode="max", search={"weight_decay": domain})
    drawn = distributions(space)["weight_decay"]
    for value in (low, high, share):
        assert domain.contains(value) == drawn._contains(value)


def test_a_number_that_yaml_reads_as_a_string_is_a_number_everywhere(write: Write) -> None:
    text = space_text("{weight_decay: {type: float, low: 0, high: 1e-2}}", "{learning_rate: 1e-4}")
    space = load_search_space(write(text))
    assert space.fixed == {"learning_rate": 1e-4}
    assert space.search["weight_decay"].bounds == (0.0, 1e-2)


RATE = "learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3}"


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("{learnin_rate: {type: float, low: 0.1, high: 0.2}}", "did you mean 'learning_rate'?"),
        ("{learning_rate: {type: float, low: 0.2, high: 0.1}}", "low = 0.2 is not below high"),
        ("{learning_rate: {type: float, low: 0.1, high: 0.1}}", "low = 0.1 is not below high"),
        ("{weight_decay: {type: float, low: 0, high: 1, log: true}}", "low = 0.0 has no logarithm"),
        ("{label_loss_weight: {type: float, low: 0, high: 2}}", "label_loss_weight = 2.0: "),
        ("{learning_rate: {type: float, low: 0, high: 1}}", "learning_rate = 0.0: "),
        ("{learning_rate: {type: float, low: .nan, high: 1}}", "search.learning_rate.low = nan: "),
        ("{learning_rate: {type: float, low: .inf, high: 1}}", "search.learning_rate.low = inf: "),
        ("{learning_rate: {type: float, low: x, high: 1}}", "search.learning_rate.low = 'x': "),
        ("{learning_rate: {type: float, low: 1.0e-5}}", "type float takes low and high"),
        ("{learning_rate: {type: float, choices: [0.1]}}", "type float takes low and high"),
        ("{learning_rate: {type: loguniform, low: 0.1, high: 0.2}}", "type = 'loguniform': "),
        ("{learning_rate: {low: 0.1, high: 0.2}}", "search.learning_rate.type: missing"),
        ("{learning_rate: {type: float, low: 0.1, max: 0.2}}", "unknown key 'max'"),
        ("{learning_rate: 0.1}", "search.learning_rate = 0.1: "),
        ("{sampling_decay: {type: categorical, choices: []}}", "choices = []: "),
        ("{sampling_decay: {type: categorical}}", "type categorical takes choices"),
        (
            "{sampling_decay: {type: categorical, choices: [linear], low: 1}}",
            "type categorical takes choices",
        ),
        ("{sampling_decay: {type: categorical, choices: [cubic]}}", "sampling_decay = 'cubic': "),
        (
            "{sampling_decay: {type: categorical, choices: [linear, linear]}}",
            "a value appears twice",
        ),
        ("{model: {type: categorical, choices: [[a]]}}", "allowed: numbers, words"),
        ("{sampling_decay: {type: float, low: 0, high: 1}}", "(allowed: categorical)"),
        ("{sampling_dropout: {type: int, low: 0, high: 1}}", "(allowed: categorical)"),
        ("{max_steps: {type: float, low: 1, high: 9}}", "(allowed: categorical, int)"),
        ("{max_steps: {type: int, low: 1.5, high: 9}}", "max_steps = 1.5: "),
        ("{learning_rate: {type: int, low: 0, high: 1}}", "(allowed: categorical, float)"),
        ("{fp16: {type: categorical, choices: [true]}}", "fp16 overflows"),
        ("{}", "search = {}: "),
        ("[]", "search = []: "),
    ],
)
def test_a_domain_that_cannot_be_searched_is_refused(write: Write, search: str, said: str) -> None:
    assert said in refusal(write(space_text(search)))


@pytest.mark.parametrize(
    ("fixed", "said"),
    [
        ("{epochs: 3}", "unknown field 'epochs'"),
        ("{dropout_rate: 1.0}", "dropout_rate = 1.0: "),
        ("{learning_rate: 0.1}", "learning_rate is both fixed and searched"),
        ("{rationale_prompt: null}", "rationale_prompt = None: "),
    ],
)
def test_a_fixed_value_that_no_run_could_have_is_refused(
    write: Write, fixed: str, said: str
) -> None:
    assert said in refusal(write(space_text(f"{{{RATE}}}", fixed)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a mapping"),
        ("- macro_f1", "not a mapping"),
        ("metric: [", "1: "),
        ("metric: macro_f1\nmetric: accuracy", "2: key 'metric' appears twice"),
        ("a: {b: 1, b: 2}", "1: key 'b' appears twice"),
        ("? [a]\n: 1", "found unhashable key"),
        ("metric: macro_f1\nname: x", "unknown key 'name'"),
        ("metrics: macro_f1", "did you mean 'metric'?"),
        (f"mode: max\nsearch: {{{RATE}}}", "metric: missing"),
        (f"metric: f2\nmode: max\nsearch: {{{RATE}}}", "unknown metric 'f2'"),
        (f"metric: macro_f1\nmode: up\nsearch: {{{RATE}}}", "mode = 'up': "),
        ("!!python/object/apply:os.system ['true']", "1: YAML tag "),
        ("metric: macro_f1\nmode: !!str max", "2: YAML tag 'tag:yaml.org,2002:str'"),
        ("metric: ! macro_f1", "1: YAML tag '!'"),
        ("fixed: &a {seed: 1}", "1: YAML anchor 'a'"),
        ("fixed: *a", "1: YAML anchor 'a'"),
        ("a: 1\n---\nb: 2", "found another document"),
        ("seed: 2024-13-45", "month must be in 1..12"),
        ("[" * 600 + "]" * 600, "nested too deeply"),
        ("metric: \x07", "special characters are not allowed"),
    ],
)
def test_a_file_that_is_no_plain_space_is_refused(write: Write, text: str, said: str) -> None:
    assert said in refusal(write(text))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("metric: caf\xe9".encode("latin-1"))
    assert refusal(str(path)).startswith("unacceptable character #x00e9")


def test_a_tag_runs_nothing(write: Write, tmp_path: Path) -> None:
    refusal(write(f"!!python/object/apply:os.mkdir ['{tmp_path / 'made'}']"))
    assert not (tmp_path / "made").exists()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(alphabet="abx01._-:,[]{}!&*?|>'\"#%@ \n\t", max_size=60))
def test_junk_after_a_space_is_refused_in_one_line_whatever_it_is(write: Write, text: str) -> None:
    refusal(write(space_text(f"{{{RATE}}}") + text + "\n:"))


def test_an_unknown_name_says_which_exist() -> None:
    with pytest.raises(UserError, match="unknown search space 'bioask'; did you mean 'bioasq'"):
        load_search_space("bioask")


@pytest.mark.parametrize("missing", ["nowhere/mine.yaml", "mine.yml", "./bioasq"])
def test_a_missing_file_is_named(missing: str) -> None:
    with pytest.raises(UserError, match="No such file"):
        load_search_space(missing)


def test_a_folder_is_no_space(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Is a directory"):
        load_search_space(str(tmp_path))


def test_what_the_method_fixes_is_dropped_and_named() -> None:
    method = METHODS["sft"].values
    defaults = {**PROFILES["embedded"], **method}
    space, dropped = prepare_space(load_search_space("bioasq"), defaults, method)
    assert set(dropped) == set(method) & set(load_search_space("bioasq").search)
    assert {"label_loss_weight", "sampling_decay"} <= set(dropped)
    assert "learning_rate" in space.search
    assert not set(space.search) & set(method)


def test_a_fixed_value_of_the_space_gives_way_to_the_method(write: Write) -> None:
    text = space_text(f"{{{RATE}}}", "{sampling_decay: constant, seed: 7}")
    method = {"sampling_decay": "none"}
    space, dropped = prepare_space(load_search_space(write(text)), method, method)
    assert (space.fixed, dropped) == ({"seed": 7}, ("sampling_decay",))


def test_a_method_that_fixes_the_whole_space_leaves_nothing_to_search() -> None:
    method = {"sampling_decay": "none", "rationale_prompt": "plain", "stage1_max_steps": 0}
    with pytest.raises(UserError, match=r"fixes every searched field \(stage1_max_steps, sampling"):
        prepare_space(load_search_space("ablation"), method, method)


def test_a_range_without_the_default_is_refused_with_both(write: Write) -> None:
    text = space_text("{learning_rate: {type: float, low: 1e-5, high: 5e-4}}")
    space = load_search_space(write(text))
    with pytest.raises(UserError) as caught:
        prepare_space(space, PROFILES["embedded"], {})
    assert str(caught.value).endswith("learning_rate: default 0.001 lies outside [1e-05, 0.0005]")
    assert prepare_space(space, PROFILES["paper"], {})[0] == space


@pytest.mark.parametrize("profile", PROFILES)
def test_the_word_default_is_trial_0s_value(profile: str) -> None:
    steps = build_config(PROFILES[profile]).stage1_max_steps
    space, _ = prepare_space(load_search_space("ablation"), PROFILES[profile], {})
    assert space.search["stage1_max_steps"].choices == (steps, 0)
    assert distributions(space)["stage1_max_steps"] == CategoricalDistribution((steps, 0))


def test_a_default_that_is_among_the_choices_is_one_choice() -> None:
    space, _ = prepare_space(load_search_space("ablation"), {"stage1_max_steps": 0}, {})
    assert space.search["stage1_max_steps"].choices == (0,)


def test_a_flag_is_what_the_word_stands_for_and_fixes_what_has_no_such_word() -> None:
    flags = {"stage1_max_steps": 40, "sampling_decay": "none", "max_steps": 50}
    assert load_search_space("ablation").fixed_by(flags) == {"sampling_decay": "none"}


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("rationale_source", "choice 'default' is both a rationale_source and the word"),
        ("model", "choice 'default' is both a model and the word"),
        ("learnin_rate", "did you mean 'learning_rate'?"),
        ("fp16", "fp16 overflows"),
    ],
)
def test_the_word_default_is_refused_where_it_could_be_a_value_or_names_no_field(
    write: Write, field: str, said: str
) -> None:
    choices = f"{{{field}: {{type: categorical, choices: [default]}}}}"
    assert said in refusal(write(space_text(choices)))
    twice = "{max_steps: {type: categorical, choices: [default, default]}}"
    assert "a value appears twice" in refusal(write(space_text(twice)))


def test_choices_without_the_default_are_refused_with_both() -> None:
    with pytest.raises(UserError) as caught:
        prepare_space(load_search_space("ablation"), {"sampling_decay": "constant"}, {})
    assert str(caught.value).endswith("default 'constant' lies outside ['linear', 'none']")
