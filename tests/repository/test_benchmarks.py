"""The benchmarks measure what they say: same losses, same rows, sums worked out by hand."""

import json
import random
import struct
import sys
from pathlib import Path

import pytest
import torch
from conftest import tiny_config
from tensorboard.compat.proto.event_pb2 import Event

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks are not installed

from benchmarks import bag_of_words, command, overhead, plain, scaling, study, watch
from benchmarks.yardstick import Yardstick
from r2d_ray.config import TrainConfig
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.location import DataRequest
from r2d_ray.data.prepare import Prepared, open_prepared
from r2d_ray.data.sources import load_splits
from r2d_ray.method.batch import Batch
from r2d_ray.model.t5 import load_model
from r2d_ray.model.teacher_forcing import IGNORED
from r2d_ray.records import TrialRecord
from r2d_ray.study.folder import StudyFolder
from r2d_ray.training.trainer import StageTrainer

FULL_LENGTH = {"max_input_length": 256, "max_rationale_length": 64}  # nothing is cut
CALM = {"dropout_rate": 0.0, "sampling_decay": "none", "label_warmup_ratio": 0.0}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> Prepared:
    from r2d_ray.data.prepare import prepare

    config = tiny_config(**FULL_LENGTH)
    return open_prepared(prepare(splits, config, tmp_path_factory.mktemp("prepared")))


def both(
    prepared: Prepared, splits: Splits, stage: str, folder: Path
) -> tuple[Yardstick, StageTrainer, Batch, list[Example]]:
    """The yardstick, our trainer, its first batch and the same rows as examples."""
    config = tiny_config(**FULL_LENGTH, **CALM, label_loss_weight=0.7)
    side = plain.side_of(config, splits, prepared.tokenizer)
    name = "stage1" if stage == "stage1" else "stage2"
    trainer = StageTrainer(side.model, config, prepared, name, folder / "out", folder / "best")
    assert trainer.train_dataset is not None
    batch = trainer.train_dataset[0]
    by_id = {row.id: row for row in splits.train}
    return side, trainer, batch, [by_id[name] for name in batch["ids"]]


def test_the_yardsticks_stage_1_loss_is_ours(
    prepared: Prepared, splits: Splits, tmp_path: Path
) -> None:
    side, trainer, batch, rows = both(prepared, splits, "stage1", tmp_path)
    ours = trainer.compute_loss(side.model, batch)
    torch.testing.assert_close(side.stage1_loss(rows), ours)


def test_the_yardsticks_stage_2_loss_is_ours_where_gold_is_shown(
    prepared: Prepared, splits: Splits, tmp_path: Path
) -> None:
    side, trainer, batch, rows = both(prepared, splits, "stage2", tmp_path)
    ours = trainer.compute_loss(side.model, batch)
    theirs = side.stage2_loss(rows, alpha=0.7, gold_probability=1.0, rng=random.Random(0))
    torch.testing.assert_close(theirs, ours)


def test_the_yardstick_shows_its_own_generated_label_where_the_coin_says_so(
    prepared: Prepared, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = plain.side_of(tiny_config(**FULL_LENGTH, **CALM), splits, prepared.tokenizer)
    rows = splits.train[:4]
    shown: list[list[str]] = []

    def explain(rows: list[Example], labels: list[str]) -> torch.Tensor:
        shown.append(list(labels))
        return torch.tensor(0.0)

    monkeypatch.setattr(side, "explain_loss", explain)
    monkeypatch.setattr(side, "generate", lambda *_: ["own"] * len(rows))
    for probability in (0.0, 1.0):
        side.stage2_loss(rows, 0.5, probability, random.Random(0))
    assert shown == [["own"] * 4, [row.label for row in rows]]


def test_the_yardstick_pads_a_batch_to_its_longest_row(prepared: Prepared, splits: Splits) -> None:
    side = plain.side_of(tiny_config(**FULL_LENGTH), splits, prepared.tokenizer)
    targets = side.targets(["yes", "The trial says that alpren helped."])
    lengths = (targets != IGNORED).sum(dim=1)
    assert targets.shape[1] == lengths.max()
    assert lengths[0] < lengths[1]


def plain_config(**values: object) -> TrainConfig:
    short = {"stage1_max_steps": 2, "stage1_eval_steps": 1, "max_steps": 2, "eval_steps": 1}
    return tiny_config(**FULL_LENGTH, **{**short, **values})


def test_a_plain_trial_trains_both_stages_and_keeps_the_best(
    prepared: Prepared, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_model(plain_config(), prepared.tokenizer).save_pretrained(tmp_path)
    prepared.tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr(plain, "load_splits", lambda request: splits)
    evaluations: list[bool] = []

    def evaluate(*args: object) -> float:
        evaluations.append(bool(args[-1]))
        return 0.5

    monkeypatch.setattr(plain, "evaluate", evaluate)
    config = plain_config(model=str(tmp_path))
    found = plain.train_trial(config.model_dump(), "rows.jsonl", seed=1)
    assert evaluations == [True, True, False, False]
    assert found["stage1_trainings"] == 1
    assert found["label_tokens"] > 1
    assert min(found["stage1_s"], found["stage2_s"]) > 0


def test_the_plain_evaluation_scores_generated_labels(
    prepared: Prepared, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = plain_config()
    side = plain.side_of(config, splits, prepared.tokenizer)
    gold = [row.label for row in splits.validation]
    answers = iter(gold)
    monkeypatch.setattr(side, "generate", lambda ids, *_: [next(answers) for _ in ids])
    assert plain.evaluate(side, splits.validation, config, stage1=False) == 1.0
    assert side.model.training


def test_random_batches_take_every_row_once_an_epoch(splits: Splits) -> None:
    batches = plain.random_batches(splits.train, 8, seed=3)
    epoch = [row.id for _ in range(3) for row in next(batches)]
    assert sorted(epoch) == sorted(row.id for row in splits.train)
    assert epoch != [row.id for row in splits.train]


def test_a_job_survives_json() -> None:
    job = plain.PlainJob([plain_config().model_dump()], "rows.jsonl", 1, 2, "storage", "out.json")
    assert plain.PlainJob(**json.loads(json.dumps(job.values()))) == job


def test_stages_last_as_long_as_asked_for_but_at_most_one_epoch() -> None:
    assert study.steps_for(step_s=4.0, stage_s=30.0, rows=1000) == 8
    assert study.steps_for(step_s=4.0, stage_s=30.0, rows=50) == 6


def test_both_sides_read_the_rows_that_were_written(splits: Splits, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    parts = {name: rows[:8] for name, rows in splits.items()}
    study.write_rows(parts, "human", path)
    read = load_splits(DataRequest(str(path), split_seed=study.SEED))
    for (_, wrote), (_, found) in zip(parts.items(), read.items(), strict=True):
        assert [row.id for row in found] == [row.id for row in wrote]
        assert [row.context for row in found] == [row.context.strip() for row in wrote]
        texts = [list(row.rationales.values()) for row in found]
        assert texts == [[row.rationales["human"]] for row in wrote]


def test_a_place_is_held_by_one_trial_after_the_other() -> None:
    # Two at once; after 13 s (both first ones ended) four more take 20 s each: 40 s of two places.
    ends = (10.0, 13.0, 30.0, 33.0, 50.0, 53.0)
    assert command.slot_s(ends, at_once=2) == 20.0
    with pytest.raises(ValueError, match="no trial after"):
        command.slot_s(ends[:2], at_once=2)


def record(trial: int, built: bool) -> TrialRecord:
    known = {"study": "s", "method": "r2d", "dataset": "toy", "config": {}, "seed": 1}
    return TrialRecord.model_validate(
        {
            **known,
            "trial": trial,
            "status": "done",
            "stage1": {"built_here": built},
            "metrics": {"macro_f1": 0.5 + trial / 10},
            "wall_s": 5.0,
        }
    )


def test_the_comparison_counts_from_the_command_to_the_last_trials_end(tmp_path: Path) -> None:
    records = tuple(record(trial, built=trial == 0) for trial in range(4))
    ours = command.Ran(100.0, 190.0, StudyFolder(tmp_path), records, (120.0, 130.0, 140.0, 150.0))
    trials = [
        {
            "stage1_s": 20.0,
            "stage2_s": 30.0,
            "stage1_trainings": 1,
            "label_tokens": 3.0,
            "ended": at,
        }
        for at in (160.0, 160.0, 220.0, 220.0)
    ]
    found = study.compared(ours, {"began": 100.0, "ended": 225.0, "trials": trials}, at_once=2)
    assert found["yardstick_search_s"] == 120.0
    assert found["ours_search_s"] == 50.0
    assert found["ratio"] == 2.4
    assert (found["yardstick_stage1_trainings"], found["ours_stage1_trainings"]) == (4, 1)
    assert (found["yardstick_slot_s"], found["ours_slot_s"]) == (60.0, 20.0)
    assert found["asymptote"] == 3.0
    assert found["yardstick_label_tokens"] == 3.0
    assert "2.40x" in study.text(found)
    assert "computed" in study.text(found)


def test_a_trials_parts_add_up_to_its_place() -> None:
    marks = watch.Marks(began=112.0, first_step=113.0, last=120.0)
    parts = overhead.parts_of(100.0, 104.0, None, marks, 121.5)
    assert parts == overhead.Parts(4.0, 0.0, 8.0, 1.0, 7.0, 1.5)
    assert parts.overhead == 13.5
    assert overhead.share(parts.overhead, 40.5) == 0.25


def test_a_trial_that_built_stage_1_has_it_apart() -> None:
    marks = watch.Marks(began=130.0, first_step=131.0, last=140.0)
    parts = overhead.parts_of(100.0, 100.0, 120.0, marks, 141.0)
    assert (parts.stage1, parts.workers) == (20.0, 10.0)


def event(**fields: object) -> bytes:
    data = Event(**fields).SerializeToString()
    return struct.pack("<QI", len(data), 0) + data + struct.pack("<I", 0)


def test_times_of_an_event_file_are_its_opening_and_each_step_once() -> None:
    data = event(wall_time=1.0, file_version="brain.Event:2")
    data += event(wall_time=2.0)  # texts of step 0
    for step, at in ((1, 3.0), (1, 3.1), (2, 4.0)):
        data += event(wall_time=at, step=step)
    torn = event(wall_time=5.0, step=3)[:-6]
    assert list(watch.wall_times(data + torn)) == [1.0, 3.0, 4.0]


def test_exponents_are_slopes_of_logarithms() -> None:
    lines = [{"size": n, "step_s": 2.0 * n, "square_s": float(n * n)} for n in (1, 10, 100)]
    assert scaling.exponents(lines) == pytest.approx({"step_s": 1.0, "square_s": 2.0})
    assert scaling.table("rows", lines).splitlines()[-1] == "| exponent | 1.00 | 2.00 |"


def test_made_rows_are_as_asked_for() -> None:
    splits = scaling.made_splits(rows=50, words=7, labels=100)
    assert (len(splits.train), len(splits.labels), len(set(splits.labels))) == (50, 100, 100)
    assert {len(row.context.split()) for row in splits.train} == {7}
    assert splits == scaling.made_splits(rows=50, words=7, labels=100)
    assert len(set(scaling.label_set(1000))) == 1000


def test_scaling_writes_its_picture(tmp_path: Path) -> None:
    lines = [{"size": n, "step_s": float(n), "choice_share": 0.1} for n in (2, 10)]
    scaling.draw({"labels": lines}, tmp_path / "plots" / "x.svg")
    drawn = (tmp_path / "plots" / "x.svg").read_text(encoding="utf-8")
    assert "labels" in drawn
    assert "step: 1.00" in drawn
    assert len(drawn) < 100_000


def test_scaling_prints_and_writes_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"size": n, "step_s": float(n)} for n in (2, 10)]
    monkeypatch.setitem(scaling.MEASURES, "labels", lambda sizes, folder: lines)
    out, picture = tmp_path / "x.json", tmp_path / "x.svg"
    scaling.main(["--only", "labels", "--json", str(out), "--plot", str(picture)])
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["lines"] == {"labels": lines}
    assert found["exponents"]["labels"]["step_s"] == pytest.approx(1.0)
    assert "| 10 | 10 |" in capsys.readouterr().out


def test_study_runs_both_on_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = tuple(record(trial, built=trial == 0) for trial in range(3))
    ran = command.Ran(0.0, 9.0, StudyFolder(tmp_path), records, (3.0, 6.0, 8.0))
    trial = {"stage1_s": 1.0, "stage2_s": 1.0, "stage1_trainings": 1, "label_tokens": 2.0}
    naive = [{**trial, "ended": at} for at in (8.0, 16.0, 24.0)]
    task = study.Task(tmp_path, tmp_path, tmp_path, {"max_steps": 9}, "a task")
    asked: list[object] = []

    def make_task(size: str, stage_s: float, folder: Path) -> study.Task:
        asked.append((size, stage_s))
        return task

    monkeypatch.setattr(study, "make_task", make_task)
    monkeypatch.setattr(study, "ours", lambda of, folder, *rest: asked.append((of, *rest)) or ran)
    monkeypatch.setattr(
        study, "plain", lambda of, *_: {"began": 0.0, "ended": 25.0, "trials": naive}
    )
    out = tmp_path / "x.json"
    study.main(["--trials", "3", "--at-once", "1", "--stage-seconds", "9", "--json", str(out)])
    assert asked == [("bench-tiny", 9.0), (task, 3, 1)]
    assert json.loads(out.read_text(encoding="utf-8"))["ratio"] == 3.0
    assert "trainings of stage 1: 3 -> 1" in capsys.readouterr().out


def test_overhead_prints_and_writes_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = tuple(replace_wall(record(trial, built=trial == 0), 20.0) for trial in range(2))
    folder = StudyFolder(tmp_path / "overhead")
    shown = folder.root / "tensorboard"

    def tune(*args: object, look: watch.Watch, **rest: object) -> command.Ran:
        look.created = {1: 1002.0}
        opened = {
            shown / "overhead-0000" / "stage1": 1010.0,
            shown / "overhead-0000" / "stage2": 1017.0,
            shown / "overhead-0001" / "stage2": 1037.0,
        }
        for place, at in opened.items():
            data = event(wall_time=at, file_version="x") + event(wall_time=at + 0.5, step=1)
            look.events[place / "events.out.tfevents.1"] = data
        return command.Ran(1000.0, 1050.0, folder, records, (1025.0, 1046.0))

    monkeypatch.setattr(command, "tune", tune)
    out = tmp_path / "x.json"
    overhead.main(["--trials", "2", "--json", str(out)])
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["to_first_step"] == 10.5
    assert found["to_cluster_start"] == 2.0
    # Trial 1: driver 1, until training began 11, from its last entry to its end 8.5.
    assert found["warm_overhead_s"] == 20.5
    assert found["share"]["60"] == pytest.approx(20.5 / 80.5)
    assert "trial 1 (warm): 20.5 s not training" in capsys.readouterr().out


def replace_wall(record: TrialRecord, seconds: float) -> TrialRecord:
    return record.model_copy(update={"wall_s": seconds})


def test_a_command_that_fails_says_so(tmp_path: Path) -> None:
    code = "import sys; print('the reason'); sys.exit(3)"
    with pytest.raises(RuntimeError, match=r"ended with 3:\nthe reason"):
        command.run(["python3", "-c", code])


def test_the_bag_of_words_has_a_row_of_numbers_for_each_control(splits: Splits) -> None:
    shown = list(bag_of_words.lines(splits))
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in shown]
    bag = "bag of words, question"
    names = ["majority label", "coin", bag, f"{bag} and context"]
    assert [row[2].startswith(name) for row, name in zip(cells, names, strict=True)] == [True] * 4
    assert {row[1] for row in cells} == {" / ".join(str(len(r)) for _, r in splits.items())}
    assert {len(row) for row in cells} == {len(bag_of_words.HEADINGS)}
    assert [bool(row[5]) for row in cells] == [False, False, True, True]
