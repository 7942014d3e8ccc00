"""Labels that rows bring of their own: options from table to loss, scores by letters."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import toy_splits
from torch import Tensor
from toy_steps import HALF_SAMPLED, batch_of, config_of, model_of, prompts_seen, stage_of, texts
from transformers import PreTrainedModel

from r2d_ray.config import TrainConfig
from r2d_ray.data.batches import Nested, OptionColumns, own_options
from r2d_ray.data.encode import text_table
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.errors import UserError
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.evaluation.predictions import label_metrics, prediction_metrics, predictions
from r2d_ray.evaluation.reading.alignment import MASK, control_scores, masked, reader_splits
from r2d_ray.evaluation.reading.readers import own_reading, read_texts, with_swapped
from r2d_ray.evaluation.reading.verdicts import read_rows, verdict_scores, verdict_statistics
from r2d_ray.method.batch import Batch, select_rows
from r2d_ray.method.label_kinds import CHOICES, FIXED
from r2d_ray.method.labels import label_log_probabilities, prompt_table, text_prefixes
from r2d_ray.method.losses import stage2_loss
from r2d_ray.method.prompts import explain_given_label_prefix, question_text
from r2d_ray.method.sampling import Choice, rationale_prompts, replacement
from r2d_ray.method.tokens import encode
from r2d_ray.model.teacher_forcing import IGNORED
from r2d_ray.records import Prediction
from r2d_ray.search.checks import check_data
from r2d_ray.study.model_file import ModelFile
from r2d_ray.training.stage import run_stage

COLLIDING = ("the trial helped", "the trial failed", "the weather was fine")
CPU = torch.device("cpu")


def with_choices(splits: Splits, choices_of: Sequence[tuple[str, ...]]) -> Splits:
    """Return the splits with these options in turn; a row's label is its first or second one."""
    parts = {
        name: tuple(
            replace(row, choices=own, label=own[0 if row.label == "yes" else 1])
            for row, own in zip(rows, list(choices_of) * len(rows), strict=False)
        )
        for name, rows in splits.items()
    }
    return replace(splits, labels=(), **parts)


SETS = [
    ("the trial helped", "the trial failed and asthma helped gout"),
    ("gout", "asthma", "migraine anaemia", "the weather was fine"),
    ("it helped", "gout", "it helped"),  # repeats a text
]


def config_of_choices(**values: object) -> TrainConfig:
    return config_of(max_input_length=128, **values)


@pytest.fixture(scope="module")
def chosen() -> Splits:
    return with_choices(toy_splits(), SETS)


@pytest.fixture(scope="module")
def prepared(chosen: Splits, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("choices")
    return open_prepared(prepare(chosen, config_of_choices(), folder))


def evaluator_of(prepared: Prepared, **values: object) -> Evaluator:
    config = config_of_choices(**values)
    table = prompt_table(prepared.tokenizer, prepared.label_tokens, CPU)
    return Evaluator(model_of(config, prepared).eval(), prepared.tokenizer, table, config)


# Tables


def test_a_row_keeps_its_options_and_those_that_differ(prepared: Prepared, chosen: Splits) -> None:
    assert prepared.label_tokens.kind == CHOICES
    assert prepared.label_tokens.classes == ("A", "B", "C", "D")
    eos = prepared.tokenizer.eos_token_id
    for row, want in zip(prepared.tables["train"], chosen.train, strict=True):
        assert row["choices"] == list(want.choices or ())
        assert row["options"] == list(dict.fromkeys(want.choices or ()))
        assert row["options"][row["label_index"]] == row["label"] == want.label
        for text, ids, prefix in zip(
            row["options"], row["option_ids"], row["option_prefixes"], strict=True
        ):
            assert ids == [*encode(prepared.tokenizer, text), eos]
            assert prefix == encode(prepared.tokenizer, explain_given_label_prefix(text))


def test_options_with_the_same_ids_are_one_the_first(prepared: Prepared) -> None:
    # The tokenizer of the toy set knows neither letter: both options are unknown to it.
    rows = [Example("r", "r", "Which?", "", "Ю", choices=("gout", "Ж", "Ю"))]
    table = text_table(rows, prepared.tokenizer, (), config_of_choices())
    assert table["options"] == [["gout", "Ж"]]
    assert (table["label"], table["label_index"]) == (["Ж"], [1])
    assert table["choices"] == [["gout", "Ж", "Ю"]]


def test_a_body_leaves_room_for_its_rows_longest_prefix(prepared: Prepared) -> None:
    short, long = ("gout", "asthma"), ("gout", "the weather was fine " * 4)
    rows = [
        Example(name, "g", "Which?", "fine " * 200, "gout", choices=own)
        for name, own in (("a", short), ("b", long))
    ]
    config = config_of(max_input_length=60)
    table = text_table(rows, prepared.tokenizer, (), config)
    for row in table:
        longest = max(len(prefix) for prefix in row["option_prefixes"])
        assert len(row["body_ids"]) + longest + 1 == 60


def test_options_that_leave_no_room_are_refused(prepared: Prepared) -> None:
    rows = [Example("r", "g", "Which?", "", "gout", choices=("gout", "the weather was fine " * 9))]
    with pytest.raises(
        UserError, match=r"row 'r': prefix and options \(48 tokens\) alone are 33 tokens too"
    ):
        text_table(rows, prepared.tokenizer, (), config_of(max_input_length=60))


def test_nested_columns_are_those_of_the_table(prepared: Prepared) -> None:
    table = prepared.tables["train"].select([5, 1, 2])
    nested = Nested(table, "option_ids")
    found = [[ids.tolist() for ids in nested[row]] for row in range(3)]
    assert found == table["option_ids"]


# Scoring


@torch.no_grad()
def scored(evaluator: Evaluator, batch: Batch) -> Tensor:
    ids, mask = evaluator.table.predict(batch)
    start = torch.full((len(ids), 1), evaluator.model.config.decoder_start_token_id)
    out = evaluator.model(input_ids=ids, attention_mask=mask, decoder_input_ids=start)
    options = evaluator.table.options(batch)
    states = out.encoder_last_hidden_state
    return label_log_probabilities(evaluator.model, out.logits[:, 0], states, mask, options)


@torch.no_grad()
def one_by_one(model: PreTrainedModel, body: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    sums = []
    for target in targets:
        wanted = torch.tensor([target])
        logits = model(input_ids=body[None], labels=wanted).logits[0]
        sums.append(logits.log_softmax(-1).gather(1, wanted[0][:, None]).sum())
    return torch.stack(sums).log_softmax(-1)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packed_scoring_equals_scoring_every_option_of_a_row_alone(
    prepared: Prepared, attention: str
) -> None:
    evaluator = evaluator_of(prepared, attn_implementation=attention)
    table = prepared.tables["test"]
    [batch] = evaluator._batches(table.select(range(6)), None)
    found = scored(evaluator, batch)
    ids, mask = evaluator.table.predict(batch)
    assert found.shape == (6, 4)
    for i, row in enumerate(batch["rows"]):
        targets = table[row]["option_ids"]
        want = one_by_one(evaluator.model, ids[i][mask[i].bool()], targets)
        torch.testing.assert_close(found[i, : len(targets)], want, atol=1e-4, rtol=1e-4)
        assert (found[i, len(targets) :] == float("-inf")).all()


def test_the_labels_of_rows_do_not_depend_on_their_batch(prepared: Prepared) -> None:
    rows = prepared.tables["test"]
    one, many = evaluator_of(prepared, per_device_eval_batch_size=1), evaluator_of(prepared)
    for alone, together, row in zip(one.labels(rows), many.labels(rows), rows, strict=True):
        assert alone.label == together.label
        assert alone.label in row["options"]
        assert len(together.probabilities) == len(row["options"])
        assert alone.probabilities == pytest.approx(together.probabilities, abs=1e-5)
        assert sum(together.probabilities) == pytest.approx(1.0)


# A fixed set given as options


def same_set(tmp_path: Path, **values: object) -> tuple[Prepared, Prepared]:
    """Return one data set prepared twice: with a fixed set, and with the set as options.

    The fixed set's questions list the options too, so that the bodies are equal.
    """
    own = with_choices(toy_splits(), [COLLIDING])
    parts = {
        name: tuple(
            replace(row, question=question_text(row.question, row.choices), choices=None)
            for row in rows
        )
        for name, rows in own.items()
    }
    third = replace(parts["train"][0], label=COLLIDING[2])
    parts["train"] = (third, *parts["train"][1:])
    own = replace(own, train=(replace(own.train[0], label=COLLIDING[2]), *own.train[1:]))
    config = config_of_choices(**values)
    fixed = replace(own, labels=COLLIDING, **parts)
    return tuple(open_prepared(prepare(s, config, tmp_path)) for s in (fixed, own))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "values",
    [
        {"sampling_label": "predicted"},
        {"sampling_label": "random_wrong"},
        {"sampling_dropout": False},
        {"label_choice": "generate"},
        {"cycle_loss_weight": 0.1, "confidence_gate": True},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_fixed_set_given_as_options_gives_the_same_losses(
    tmp_path: Path, values: dict[str, object]
) -> None:
    fixed, own = same_set(tmp_path)
    assert fixed.label_tokens.kind == FIXED
    assert not fixed.label_tokens.first_tokens_differ
    config = config_of_choices(**HALF_SAMPLED, **values)
    means = {"steps": 1, "error_sum": 0.05, "threshold": 0.3}
    found, shown = [], []
    for prepared in (fixed, own):
        table = prepared.tables["train"]
        assert table["body_ids"] == fixed.tables["train"]["body_ids"]
        model, stage = model_of(config, own), stage_of(config, prepared, **means)
        table_ = prompt_table(prepared.tokenizer, prepared.label_tokens, CPU)
        stage = replace(stage, table=table_)
        torch.manual_seed(0)
        with prompts_seen() as seen:
            loss, sums = stage2_loss(model, model, batch_of(config, prepared, 5), 5, stage)
        shown.append([text for prompts in seen for text in texts(prepared, prompts)])
        found.append({"loss": loss.item(), **{name: float(v) for name, v in sums.items()}})
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert shown[0] == shown[1]
    assert found[0]["sampled"] > 0


def test_a_fixed_set_given_as_options_gives_the_same_labels_and_probabilities(
    tmp_path: Path,
) -> None:
    fixed, own = same_set(tmp_path)
    outputs = [evaluator_of(p).labels(p.tables["test"]) for p in (fixed, own)]
    for one, other in zip(*outputs, strict=True):
        assert one.label == other.label
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
    found = [
        predictions(p.tables["test"], out, p.label_tokens.labels)
        for p, out in zip((fixed, own), outputs, strict=True)
    ]
    for one, other in zip(*found, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
        assert (one.options, other.options) == ((), COLLIDING)


# Steps


def test_step_counts_are_those_of_the_gold_options(prepared: Prepared) -> None:
    config = config_of_choices()
    batch = batch_of(config, prepared, 2)
    table = prepared.tables["train"]
    rows = [table["id"].index(name) for name in batch["ids"]]
    gold = [table[row]["option_ids"][table[row]["label_index"]] for row in rows]
    assert batch["label_tokens"] == sum(len(ids) for ids in gold)
    assert batch["labels"] == [table[row]["label"] for row in rows]
    stage = stage_of_choices(config, prepared)
    targets = stage.table.options(batch).targets_of(batch["label_index"])
    assert [row[row != IGNORED].tolist() for row in targets] == gold
    few = select_rows(batch, torch.tensor([3, 1]))
    assert few["labels"] == [batch["labels"][3], batch["labels"][1]]
    assert torch.equal(few["options"]["targets"], batch["options"]["targets"][[3, 1]])


def stage_of_choices(config: TrainConfig, prepared: Prepared, **means: float):  # type: ignore[no-untyped-def]
    return stage_of(config, prepared, (), **means)


@pytest.mark.parametrize("accumulation", [2, 8])
def test_shares_of_micro_batches_add_up_to_the_whole_batch(
    prepared: Prepared, accumulation: int
) -> None:
    whole = config_of_choices(**HALF_SAMPLED)
    parts = config_of_choices(
        **HALF_SAMPLED,
        per_device_train_batch_size=8 // accumulation,
        gradient_accumulation_steps=accumulation,
    )
    totals = []
    for config, count in ((whole, 1), (parts, accumulation)):
        model, stage = model_of(config, prepared), stage_of_choices(config, prepared)
        batches = [batch_of(config, prepared, 3 * count + micro) for micro in range(count)]
        found = [stage2_loss(model, model, batch, 3, stage) for batch in batches]
        names = ("label_loss", "rationale_loss", "sampled", "changed", "label_errors")
        totals.append(
            {"loss": sum(loss.item() for loss, _ in found)}
            | {name: sum(float(sums[name]) for _, sums in found) for name in names}
        )
    assert totals[0] == pytest.approx(totals[1], rel=1e-4)


def test_a_random_wrong_label_is_another_option_of_the_row(prepared: Prepared) -> None:
    config = config_of_choices(**HALF_SAMPLED, sampling_label="random_wrong")
    means = {"steps": 1, "error_sum": 1 - config.train_error_memory}  # the error is 1
    stage = stage_of_choices(config, prepared, **means)
    met: dict[int, set[int]] = {}
    for step in range(12):
        batch = batch_of(config, prepared, step)
        choice = Choice(batch["label_index"], torch.ones(8))
        found = replacement(choice, batch, step, stage).tolist()
        counts = (batch["options"]["targets"][..., 0] != IGNORED).sum(dim=1).tolist()
        for gold, wrong, count in zip(batch["label_index"].tolist(), found, counts, strict=True):
            assert wrong != gold
            met.setdefault(count, set()).add(wrong)
    assert met == {2: {0, 1}, 4: {0, 1, 2, 3}}


def test_a_row_with_one_option_has_no_wrong_label(prepared: Prepared) -> None:
    config = config_of_choices(sampling_label="random_wrong")
    stage = stage_of_choices(config, prepared, steps=1, error_sum=1 - config.train_error_memory)
    rows = [Example("r", "r", "Which?", "", "gout", choices=("gout", "gout"))]
    table = text_table(rows, prepared.tokenizer, (), config)
    batch = {"ids": ["r"], "label_index": torch.tensor(table["label_index"])}
    batch["options"] = OptionColumns(table, CHOICES).tensors([0])
    choice = Choice(batch["label_index"], torch.ones(1))
    assert replacement(choice, batch, 4, stage).tolist() == [0]


def test_a_free_label_is_cut_to_its_rows_room_and_its_target_with_it(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    from r2d_ray.method import sampling

    config = config_of_choices(
        label_choice="generate", sampling_decay="constant", gold_probability_floor=0.0
    )
    stage, core = stage_of_choices(config, prepared), model_of(config, prepared)
    written = ["the weather was fine and gout helped asthma in one trial"] * 8
    monkeypatch.setattr(
        sampling, "generate_with_confidence", lambda *_, **__: (written, torch.ones(8))
    )
    eos, met = prepared.tokenizer.eos_token_id, set()
    for step in range(3):
        batch = batch_of(config, prepared, step)
        choice = Choice(batch["label_index"], torch.ones(8))
        predict = stage.table.predict(batch)
        prompts = rationale_prompts(core, batch, choice, step, stage, predict)
        rooms = batch["options"]["prefix_lengths"].amax(dim=1).tolist()
        for prompt, target, room in zip(
            texts(prepared, prompts), prompts.label_targets, rooms, strict=True
        ):
            shown = prepared.tokenizer.decode(target[target != IGNORED][:-1])
            assert written[0].startswith(shown)
            assert shown != written[0]
            assert target[target != IGNORED][-1] == eos
            assert prompt.startswith(explain_given_label_prefix(shown) + " ")
            assert len(encode(prepared.tokenizer, explain_given_label_prefix(shown))) <= room
            met.add(room)
    assert len(met) > 1


# Scores


def option_row(gold: str, label: str | None, *options: str, **more: float) -> Prediction:
    return Prediction(
        id=gold, group="g", gold_label=gold, label=label, options=options, probabilities=more
    )


def test_scores_are_over_the_letters_of_options(prepared: Prepared) -> None:
    found = [
        option_row("x", "x", "x", "y"),  # A, A
        option_row("y", "x", "x", "y", "y"),  # B (the first of two), A
        option_row("z", "z", "x", "y", "z"),  # C, C
        option_row("x", "neither", "y", "x"),  # B, outside
    ]
    scores = prediction_metrics(found, ("A", "B", "C"))
    # A: 1 hit of 2 predicted and 1 gold, F1 2/3; B: 0 of 2; C: 1.
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert scores["accuracy"] == 2 / 4
    assert scores["out_of_set_rate"] == 1 / 4
    assert scores["support[B]"] == 2


def test_probabilities_of_options_by_letter() -> None:
    row = option_row("y", "x", "x", "x", "y", x=0.75, y=0.25)
    assert row.class_probabilities(("A", "B", "C", "D")) == {"A": 0.75, "B": 0, "C": 0.25, "D": 0}
    fixed = Prediction(id="a", group="g", probabilities={"yes": 1.0, "no": 0.0})
    assert fixed.class_probabilities(("yes", "no")) == {"yes": 1.0, "no": 0.0}


def test_the_file_alone_scores_as_the_evaluator_does(prepared: Prepared) -> None:
    from r2d_ray.evaluation.scoring import score

    rows = prepared.tables["test"]
    evaluator = evaluator_of(prepared)
    outputs = evaluator.labels(rows)
    tokens = prepared.label_tokens
    found = predictions(rows, outputs, tokens.labels, None, evaluator.generated_labels(rows))
    stored = [Prediction.model_validate_json(row.model_dump_json()) for row in found]
    scores = score(stored, tokens.classes)
    for name, value in label_metrics(rows, outputs, tokens).items():
        assert scores[name] == value
    gold = [row.probabilities[row.gold_label or ""] for row in stored]
    nll = -torch.tensor(gold, dtype=torch.float64).log().mean()
    assert scores["nll"] == pytest.approx(float(nll))
    assert scores["generated_out_of_set_rate"] == 1.0  # an untrained model writes no option


def test_the_controls_are_over_positions(chosen: Splits) -> None:
    from r2d_ray.evaluation.controls.labels import controls

    def rows(*letters: int) -> tuple[Example, ...]:
        return tuple(
            Example(f"{i}", "g", "q", "", "abcd"[place], choices=("a", "b", "c", "d"))
            for i, place in enumerate(letters)
        )

    made = replace(chosen, train=rows(2, 2, 0), validation=rows(1), test=rows(2, 0))
    majority, coin = controls(made).items()
    assert majority[0] == "majority label (C)"
    assert majority[1]["accuracy"] == 0.5
    # Half of the rows are C (guessed with 2/3), half A (1/3).
    assert coin[1]["accuracy"] == pytest.approx(0.5, abs=0.05)


# A whole run


def test_a_tiny_model_learns_rows_with_options_by_heart(chosen: Splits, tmp_path: Path) -> None:
    rows = chosen.train[:8]
    assert len({row.label for row in rows}) > 3
    small = replace(
        chosen,
        train=rows,
        validation=tuple(replace(row, id=f"v-{row.id}") for row in rows),
    )
    config = config_of_choices(max_steps=30, eval_steps=30, logging_steps=30, learning_rate=3e-3)
    prepared = open_prepared(prepare(small, config, tmp_path / "data"))
    out = run_stage(config, prepared, "stage2", output_dir=tmp_path / "o", best_dir=tmp_path / "b")
    assert out.curve[-1]["scores"]["accuracy"] == 1.0


def test_own_options_are_none_under_a_fixed_set(prepared_dir: Path) -> None:
    prepared = open_prepared(prepared_dir)
    assert own_options(prepared.tables["train"], prepared.label_tokens.kind) is None
    assert set(prepared.tables["train"]["options"][0]) == set()


def test_text_prefixes_of_options_are_theirs(prepared: Prepared) -> None:
    config = config_of_choices()
    batch, stage = batch_of(config, prepared, 0), stage_of_choices(config, prepared)
    ids, lengths, shown = text_prefixes(prepared.tokenizer, batch["labels"], stage.table, batch)
    want, want_lengths = stage.table.options(batch).prefixes_of(batch["label_index"])
    assert shown == batch["labels"]
    assert torch.equal(lengths, want_lengths)
    assert torch.equal(ids, want[:, : ids.shape[1]])


# Reading, prediction


def test_a_reader_sees_the_rows_options_and_not_their_texts_in_the_rationale(
    chosen: Splits, tmp_path: Path
) -> None:
    told = replace(
        chosen,
        train=tuple(
            replace(row, rationales={"human": f"So {row.label}, not {(row.choices or ())[1]}."})
            for row in chosen.train
        ),
    )
    reading = reader_splits(told, "human")
    for row, original in zip(reading.train, told.train, strict=True):
        assert row.context == MASK
        assert row.choices == original.choices
    prepared = open_prepared(prepare(reading, config_of_choices(), tmp_path))
    options = [("gout", "asthma"), ("gout", "gout")]
    read = read_texts(evaluator_of(prepared), ["It went up.", "It went up."], options)
    assert read[0] in options[0]
    assert read[1] == "gout"


def test_the_swap_gives_another_option_of_the_row(prepared: Prepared) -> None:
    rows = prepared.tables["test"].select(range(6))
    evaluator = evaluator_of(prepared, max_rationale_length=8)
    outputs = evaluator.labels(rows)
    found = predictions(rows, outputs, (), evaluator.rationales(rows, [o.label for o in outputs]))
    for row in with_swapped(evaluator, rows, found):
        [(label, _)] = row.swapped.items()
        assert label != row.label
        assert label in row.options
    _, scores = own_reading(evaluator, found)
    assert {"consistency", "sufficiency", "gold_robustness", "own_kappa"} <= set(scores)


def test_a_readers_verdicts_are_places_among_the_rows_options() -> None:
    found = [
        option_row("x", "y", "x", "y").model_copy(update={"rationale": "y"}),
        option_row("z", "z", "a", "b", "z").model_copy(update={"rationale": "?"}),
    ]

    def reader(texts: Sequence[str], sets: Sequence[Sequence[str]]) -> list[str | None]:
        return [text if text in own else None for text, own in zip(texts, sets, strict=True)]

    read = read_rows(found, reader, ())
    assert verdict_scores(found, read, "reader")["reader_consistency"] == 1 / 2
    assert verdict_statistics(found, read, (), "reader") == [
        {"reader_verdict": [1.0]},
        {"reader_verdict": [-1.0]},
    ]
    assert control_scores(found, masked(reader), (), "reader") == {
        "reader_on_gold": None,
        "reader_on_masked_gold": None,
        "reader_empty": 0.0,
        "reader_label_only": 0.0,
    }


def test_new_rows_are_predicted_over_their_own_options(prepared: Prepared, tmp_path: Path) -> None:
    from r2d_ray.prediction.predictor import Predictor

    config = config_of_choices(max_rationale_length=8)
    model_of(config, prepared).save_pretrained(tmp_path)
    prepared.tokenizer.save_pretrained(tmp_path)
    options = [("gout", "asthma"), ("it helped", "it failed", "gout", "it helped")]
    rows = [Example(f"{i}", "g", "Which?", "", "", choices=own) for i, own in enumerate(options)]
    predictor = Predictor(tmp_path, ModelFile(labels=[], config=config), "cpu", 2)
    for row, own in zip(predictor.answers(rows), options, strict=True):
        assert list(row.probabilities) == list(dict.fromkeys(own))
        assert row.label == max(row.probabilities, key=lambda text: row.probabilities[text])
    bare = [replace(row, choices=None) for row in rows]
    free = config.model_copy(update={"label_choice": "generate"})
    predictor = Predictor(tmp_path, ModelFile(labels=[], config=free), "cpu", 2)
    assert [row.probabilities for row in predictor.answers(bare)] == [{}, {}]


def test_rows_with_options_can_be_planned(chosen: Splits) -> None:
    check_data(chosen, config_of_choices())
    check_data(chosen, config_of_choices(sampling_label="random_wrong"))
