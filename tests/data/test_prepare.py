"""From rows to ids on disk: prompts join exactly, folders are whole."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from conftest import tiny_config, toy_splits
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from r2d_ray.config import TrainConfig
from r2d_ray.data import prepare as module
from r2d_ray.data.batches import Ragged
from r2d_ray.data.encode import tokenizer_texts
from r2d_ray.data.examples import (
    Example,
    Provenance,
    Splits,
    content_hash,
    pick_source,
    source_warnings,
)
from r2d_ray.data.inputs.bodies import body_budget, body_ids
from r2d_ray.data.location import DataRequest
from r2d_ray.data.prepare import WITHOUT_CONTEXT, check_join, open_prepared, prepare, prepared_key
from r2d_ray.data.sources import load_splits
from r2d_ray.distributed import stage1_cache
from r2d_ray.distributed.stage1_cache import stage1_key
from r2d_ray.errors import UserError
from r2d_ray.method.label_kinds import FIXED
from r2d_ray.method.prompts import (
    EXPLAIN_PREFIX,
    PREDICT_PREFIX,
    explain_given_label_prefix,
    question_text,
)
from r2d_ray.method.tokens import encode
from r2d_ray.model.scratch import train_tokenizer
from r2d_ray.study.folder import read_info

DATA = Path(os.environ.get("R2D_DATA") or Path(__file__).parents[3] / "shared" / "data")
OLD = Path(__file__).parent / "old"
LABELS = ("yes", "no", "self-care at home", "see a GP within 24 h", "café (A&E)")


def row_of(question: str, context: str = "", choices: tuple[str, ...] | None = None) -> Example:
    return Example("r", "r", question, context, "yes", choices=choices)


@cache
def scratch() -> PreTrainedTokenizerBase:
    return train_tokenizer(tokenizer_texts(toy_splits()))


@cache
def real_t5() -> PreTrainedTokenizerBase:
    folder = DATA / "t5_tokenizer"
    if not folder.is_dir():
        pytest.skip(f"no tokenizer of T5 at {folder}")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


TOKENIZERS = [scratch, pytest.param(real_t5, marks=pytest.mark.real)]
ROWS = [
    row_of("Does alpren treat gout?", "In one trial alpren failed. The weather was fine."),
    row_of(
        "  Is 5 mg/kg  enough,\nor 7.5? ", "P < 0.05 (n = 12); see §3.\n\nNext line — β-blocker."
    ),
    row_of("Which one?", "No context.", ("alpren", "betol 2 mg", "none of these")),
    row_of("?", ""),
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("row", ROWS)
def test_prefix_ids_and_body_ids_are_the_ids_of_the_whole_prompt(
    tokenizer: object, row: Example
) -> None:
    encoder = tokenizer()  # type: ignore[operator]
    found = body_ids(encoder, row, 1000)
    body = found.ids
    assert found.cut == 0
    tokens = FIXED.set_tokens(encoder, LABELS)
    prefixes = {
        PREDICT_PREFIX: encode(encoder, PREDICT_PREFIX),
        EXPLAIN_PREFIX: encode(encoder, EXPLAIN_PREFIX),
    }
    for label, ids in zip(LABELS, tokens.explain_prefixes, strict=True):
        prefixes[explain_given_label_prefix(label)] = list(ids)
    text = f"{question_text(row.question, row.choices)} {row.context}"
    for prefix, ids in prefixes.items():
        whole = encoder(f"{prefix} {text}")["input_ids"]
        assert [*ids, *body, encoder.eos_token_id] == whole


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_label_targets_are_the_ids_of_the_label_with_its_end(tokenizer: object) -> None:
    encoder = tokenizer()  # type: ignore[operator]
    for label, target in zip(LABELS, FIXED.set_tokens(encoder, LABELS).targets, strict=True):
        assert list(target) == encoder(label)["input_ids"]


def test_the_longest_prompt_has_exactly_the_allowed_length() -> None:
    row = row_of("Does alpren treat gout?", "trial " * 200)
    body = body_ids(
        scratch(), row, body_budget(scratch(), FIXED.set_tokens(scratch(), LABELS), 64)
    ).ids
    prefixes = FIXED.set_tokens(scratch(), LABELS).explain_prefixes
    assert max(len(prefix) for prefix in prefixes) + len(body) + 1 == 64


def test_labels_with_the_same_ids_are_refused() -> None:
    with pytest.raises(UserError, match="labels 'yes' and ' yes ' have the same token ids"):
        FIXED.set_tokens(scratch(), ["yes", "no", " yes "])


def test_whether_first_tokens_tell_the_labels_apart() -> None:
    assert FIXED.set_tokens(scratch(), ["yes", "no"]).first_tokens_differ
    assert not FIXED.set_tokens(scratch(), ["the trial", "the weather"]).first_tokens_differ


def test_a_tokenizer_that_does_not_split_at_white_space_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    # Byte pairs over whole texts: ": D" is one piece where the prefix meets the body.
    vocabulary = {"<unk>": 0, ":": 1, " ": 2, "D": 3, ": ": 4, ": D": 5}
    pairs = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[(":", " "), (": ", "D")], unk_token="<unk>")
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pairs, unk_token="<unk>")
    with pytest.raises(UserError, match="does not split at white space"):
        check_join(tokenizer, toy_splits())


def with_training_rationales(*rationales: dict[str, str]) -> Splits:
    rows = tuple(
        Example(f"t{i}", f"t{i}", f"Question {i}?", "", "yes" if i % 2 else "no", texts)
        for i, texts in enumerate(rationales)
    )
    return replace(toy_splits(), train=rows, provenance=Provenance("sample", "here", "none"))


def test_rows_without_a_rationale_have_an_empty_target(tmp_path: Path) -> None:
    given = with_training_rationales({"human": "Because."}, {}, {"llm": "So."}, {"human": "Thus."})
    tables = open_prepared(prepare(given, tiny_config(), tmp_path)).tables
    assert [bool(ids) for ids in tables["train"]["rationale_ids"]] == [True, False, False, True]
    assert tables["train"]["reference"] == ["Because.", "", "", "Thus."]


def test_rows_of_a_set_without_any_rationale_can_be_batched(tmp_path: Path) -> None:
    given = with_training_rationales({}, {}, {}, {})
    prepared = open_prepared(prepare(given, tiny_config(label_loss_weight=1.0), tmp_path))
    assert prepared.info["sources"]["rationale"] is None
    for column in ("rationale_ids", "stage1_rationale_ids"):
        assert Ragged(prepared.tables["train"], column).lengths.tolist() == [0, 0, 0, 0]


def test_each_stage_trains_on_its_own_source(tmp_path: Path) -> None:
    config = tiny_config(rationale_source="llm", stage1_rationale_source="human")
    prepared = open_prepared(prepare(toy_splits(), config, tmp_path))
    row, want = prepared.tables["train"][0], toy_splits().train[0].rationales
    decode = prepared.tokenizer.decode
    assert decode(row["rationale_ids"], skip_special_tokens=True) == want["llm"]
    assert decode(row["stage1_rationale_ids"], skip_special_tokens=True) == want["human"]
    assert row["reference"] == want["llm"]


def test_a_long_rationale_is_cut_and_still_ends(tmp_path: Path) -> None:
    text = "The trial says that gout failed twice."
    config = tiny_config(max_rationale_length=8)
    given = with_training_rationales({"human": text}, {"human": "gout"})
    prepared = open_prepared(prepare(given, config, tmp_path))
    whole = encode(prepared.tokenizer, text)
    assert len(whole) > 7  # and its end id
    ends = prepared.tokenizer.eos_token_id
    assert prepared.tables["train"][0]["rationale_ids"] == [*whole[:7], ends]
    assert prepared.tables["train"][1]["rationale_ids"][-1] == ends


def test_which_rationale_source_is_the_default() -> None:
    assert pick_source(with_training_rationales({"llm": "a"}, {"human": "b"}), None) == "human"
    assert pick_source(with_training_rationales({"llm": "a"}, {"gpt": "b"}), None) == "gpt"
    assert pick_source(with_training_rationales({}, {}), None) is None


def test_a_rationale_source_that_is_guessed_is_said() -> None:
    several = with_training_rationales({"nurse": "a", "doctor": "b"}, {"nurse": "c"})
    assert source_warnings(several, None) == [
        "rationales of doctor are trained on, the first by name of doctor, nurse "
        "(--rationale-source SOURCE names another)"
    ]
    assert source_warnings(several, "nurse") == []
    assert source_warnings(with_training_rationales({"llm": "a"}, {"human": "b"}), None) == []
    assert source_warnings(with_training_rationales({"llm": "a"}, {"llm": "b"}), None) == []
    assert source_warnings(with_training_rationales({}, {}), None) == []
    with pytest.raises(UserError, match=r"'x' is in no training row of toy \(.*: human, llm\)"):
        pick_source(toy_splits(), "x")


def test_what_a_prepared_folder_holds(prepared_dir: Path, splits: Splits) -> None:
    prepared = open_prepared(prepared_dir)
    assert {name: len(table) for name, table in prepared.tables.items()} == {
        "train": 24,
        "validation": 10,
        "test": 10,
        WITHOUT_CONTEXT: 10,
    }
    assert prepared.label_tokens.labels == splits.labels
    assert prepared.info["sources"] == {"rationale": "human", "stage1_rationale": "human"}
    for row, want in zip(prepared.tables["test"], splits.test, strict=True):
        assert (row["id"], row["group"], row["label"]) == (want.id, want.group, want.label)
        assert splits.labels[row["label_index"]] == want.label
        text = f"{want.question} {want.context}".strip()
        assert prepared.tokenizer.decode(row["body_ids"]) == text
    bare = prepared.tables[WITHOUT_CONTEXT]
    assert [prepared.tokenizer.decode(ids) for ids in bare["body_ids"]] == [
        row.question for row in splits.test
    ]


def test_the_cut_share_is_reported(tmp_path: Path) -> None:
    folder = prepare(toy_splits(), tiny_config(max_input_length=40), tmp_path)
    info = json.loads((folder / "prepared.json").read_text())
    cut = open_prepared(folder).tables["train"]["cut_tokens"]
    assert 0 < info["tokens"]["train"]["share_cut"] < 1
    assert info["tokens"]["train"]["share_cut"] == sum(c > 0 for c in cut) / len(cut)
    assert info["tokens"]["train"]["max"] > 40  # of the whole text
    assert max(map(len, open_prepared(folder).tables["train"]["body_ids"])) <= 40


def test_the_same_key_is_the_same_folder_and_is_not_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepare(toy_splits(), tiny_config(), tmp_path)
    monkeypatch.setattr(module, "plan_tokenizer", None)  # would fail if it were called
    assert prepare(toy_splits(), tiny_config(learning_rate=0.5, seed=7), tmp_path) == folder


@pytest.mark.parametrize(
    "change",
    [
        {"max_input_length": 65},
        {"max_rationale_length": 17},
        {"model": "scratch-small"},
        {"rationale_source": "llm"},
        {"stage1_rationale_source": "llm"},
    ],
)
def test_the_key_changes_with_what_the_tables_depend_on(change: dict[str, object]) -> None:
    key = prepared_key(toy_splits(), tiny_config())
    assert prepared_key(toy_splits(), tiny_config(**change)) != key


def test_a_study_of_version_0_1_0_finds_its_prepared_data_and_its_stage_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The keys that version 0.1.0 gave; the stored folders' own hold where their model lay then."""
    info = read_info(OLD / "ended")
    monkeypatch.setattr(stage1_cache, "__version__", info.versions["r2d-ray"])
    sizes, config = (60, 20, 20), TrainConfig.model_validate(info.config)
    splits = load_splits(DataRequest("bioasq", sample_rows=sizes, split_seed=config.seed))
    assert content_hash(splits) == info.data_hash
    assert prepared_key(splits, config) == "9831195a3e6973d0"
    assert stage1_key(config, Path("6ddda2f6289c4e4f")) == "0eb4e98701102587"


def test_the_key_changes_with_the_rows() -> None:
    key = prepared_key(toy_splits(), tiny_config())
    assert prepared_key(toy_splits(train=25), tiny_config()) != key


def test_a_run_killed_half_way_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(toy_splits(), tiny_config(), tmp_path)
    folder = tmp_path / prepared_key(toy_splits(), tiny_config())
    assert not folder.exists()
    assert len(open_prepared(prepare(toy_splits(), tiny_config(), tmp_path)).tables["train"]) == 24
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_options_that_do_not_fit_leave_no_folder(tmp_path: Path) -> None:
    [first, *others] = toy_splits().train
    listed = replace(first, choices=(first.label, "the trial says that gout failed " * 9))
    rows = tuple(replace(row, choices=("yes", "no")) for row in others)
    splits = replace(toy_splits(), labels=(), train=(listed, *rows))
    with pytest.raises(UserError, match="row 'train-0': prefix and options"):
        prepare(splits, tiny_config(), tmp_path)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_the_scratch_tokenizer_is_the_same_every_time() -> None:
    again = train_tokenizer(tokenizer_texts(toy_splits()))
    assert again.backend_tokenizer.to_str() == scratch().backend_tokenizer.to_str()


def test_the_scratch_tokenizer_survives_its_folder(prepared_dir: Path) -> None:
    texts = [row.context for row in toy_splits().test] + list(LABELS)
    stored = open_prepared(prepared_dir).tokenizer
    assert [encode(stored, text) for text in texts] == [encode(scratch(), text) for text in texts]


def test_training_the_tokenizer_leaves_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    train_tokenizer(["a few words"])
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


@pytest.mark.parametrize("tokenizer", [scratch, real_t5])
def test_prompts_of_a_reader_join_too_its_body_being_options_and_text(
    tokenizer: Callable[[], PreTrainedTokenizerBase],
) -> None:
    row = replace(row_of("", "It helped."), choices=("yes", "no"))
    parts = {name: (row,) for name in ("train", "validation", "test")}
    check_join(tokenizer(), replace(toy_splits(), labels=(), **parts))


def test_a_model_without_a_tokenizer_is_refused(trained_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((trained_dir / name).read_bytes())
    with pytest.raises(UserError, match=r"--model .*model: no tokenizer"):
        prepare(toy_splits(), tiny_config(model=str(folder)), tmp_path / "prepared")
    assert list((tmp_path / "prepared").glob("*")) == []
