"""What a row learns to write under a wrong label, by hand, and how much the others weigh then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_config, toy_splits
from toy_steps import ALL_SAMPLED, batch_of, config_of, gradients, loss_of, model_of

from r2d_ray.data.prepare import Prepared, open_prepared, prepare
from r2d_ray.errors import UserError
from r2d_ray.method.batch import NO_PLACE, Batch
from r2d_ray.method.losses import rationale_targets
from r2d_ray.method.running import RunningMeans
from r2d_ray.method.sampling import OTHER_TEXT
from r2d_ray.search.checks import check_data

N = -100  # no target


def four_rows() -> Batch:
    """Return rows that show: gold; 1, of which a text is known; 2, of which none is; no label.

    The last row but one has a text of label 1 only, and a fifth has no rationale at all.
    """
    return {  # type: ignore[typeddict-item]
        "rationale_ids": torch.tensor([[5, 1], [6, 1], [7, 1], [8, 1], [N, N]]),
        "relabelled": {
            "places": torch.tensor([[1, NO_PLACE], [0, 1], [1, NO_PLACE], [1, 2], [1, 2]]),
            "targets": torch.tensor(
                [
                    [[9, 9, 1], [N, N, N]],
                    [[2, 2, 1], [3, 3, 1]],
                    [[9, 9, 1], [N, N, N]],
                    [[9, 9, 1], [9, 9, 1]],
                    [[9, 9, 1], [9, 9, 1]],
                ]
            ),
        },
    }


SHOWN = torch.tensor([0, 1, 2, OTHER_TEXT, 1])
WRONG = torch.tensor([False, True, True, True, True])
NOTHING = [N, N, N]


@pytest.mark.parametrize(
    ("target", "want"),
    [
        ("keep", [[5, 1], [6, 1], [7, 1], [8, 1], [N, N]]),
        ("drop", [[5, 1], [N, N], [N, N], [N, N], [N, N]]),
        ("drop_reweighted", [[5, 1], [N, N], [N, N], [N, N], [N, N]]),
        ("relabel", [[5, 1, N], [3, 3, 1], NOTHING, NOTHING, NOTHING]),
        ("relabel_or_keep", [[5, 1, N], [3, 3, 1], [7, 1, N], [8, 1, N], NOTHING]),
    ],
)
def test_the_targets_by_hand(target: str, want: list[list[int]]) -> None:
    found = rationale_targets(four_rows(), SHOWN, WRONG, tiny_config(wrong_label_target=target))
    assert found.tolist() == want


def test_the_share_that_is_learnt_by_hand() -> None:
    config, means = tiny_config(train_error_memory=0.5), RunningMeans()
    assert means.kept_share() == 1.0
    means.update(0, 8, 0.0, config, (30.0, 40.0))
    assert means.kept_share() == 0.75
    means.update(0, 8, 0.0, config, (0.0, 0.0))  # a step without a rationale says nothing
    assert means.kept_share() == 0.75
    means.update(0, 8, 0.0, config, (0.0, 40.0))
    assert means.kept_share() == pytest.approx(30 / 4 / (40 / 4 + 40))
    for _ in range(20):
        means.update(0, 8, 0.0, config, (0.0, 40.0))
    assert means.kept_share() == 0.1  # a weight of 10, not of thousands


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The toy set; every second training row has a rationale of the other label too."""
    splits = toy_splits()
    other = dict(zip(splits.labels, reversed(splits.labels), strict=True))
    source = splits.rationale_sources()[0]
    train = tuple(
        replace(row, relabelled={source: {other[row.label]: "The opposite holds here."}})
        if i % 2
        else row
        for i, row in enumerate(splits.train)
    )
    config = tiny_config(max_rationale_length=24)
    folder = tmp_path_factory.mktemp("relabelled")
    return open_prepared(prepare(replace(splits, train=train), config, folder))


def run(prepared: Prepared, target: str, **more: Any) -> tuple[float, dict[str, float]]:
    config = config_of(**ALL_SAMPLED, wrong_label_target=target)
    loss, sums = loss_of(config, prepared, 3, model_of(config, prepared), **more)
    return loss.item(), {name: float(value) for name, value in sums.items()}


def test_reweighted_rationales_weigh_by_the_inverse_of_the_share_that_is_learnt(
    prepared: Prepared,
) -> None:
    dropped = run(prepared, "drop")[1]
    halves = run(prepared, "drop_reweighted", kept_ids=1.0, all_ids=2.0)[1]
    assert 0 < halves["kept_ids"] < halves["all_ids"]
    assert halves["rationale_loss"] == pytest.approx(2 * dropped["rationale_loss"])
    assert halves["label_loss"] == dropped["label_loss"]


def test_a_row_learns_the_rationale_of_the_label_that_it_shows(prepared: Prepared) -> None:
    """The same loss comes of a table in which that text is gold's."""
    config = config_of(**ALL_SAMPLED, wrong_label_target="relabel_or_keep")
    batch = batch_of(config, prepared, 3)
    places, shown = batch["relabelled"]["places"], 1 - batch["label_index"]
    known = (places == shown[:, None]).any(dim=1)
    assert 0 < known.sum() < len(known)
    found = rationale_targets(batch, shown, torch.ones_like(known), config)
    said = prepared.tokenizer.decode(found[known][0][found[known][0] != N][:-1])
    assert said == "The opposite holds here."
    for row in (~known).nonzero().flatten().tolist():
        gold = batch["rationale_ids"][row]
        assert found[row][found[row] != N].tolist() == gold[gold != N].tolist()


@pytest.mark.parametrize("target", ["relabel", "relabel_or_keep", "drop_reweighted"])
def test_at_gold_labels_every_target_is_r2d_s(prepared: Prepared, target: str) -> None:
    values = {"sampling_decay": "none"}
    both = []
    for wanted in ("keep", target):
        config = config_of(**values, wrong_label_target=wanted)
        model = model_of(config, prepared)
        both.append(gradients(loss_of(config, prepared, 3, model)[0], model))
    for one, other in zip(*both, strict=True):  # wider targets add up in another order
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_rows_without_such_rationales_are_refused() -> None:
    config = tiny_config(wrong_label_target="relabel")
    with pytest.raises(UserError) as refused:
        check_data(toy_splits(), config)
    assert str(refused.value) == (
        "toy: wrong_label_target = 'relabel' needs rationales for other labels than gold, and no "
        "training row has any of source 'human' (allowed: --dataset triage, or another target: "
        "keep, drop, drop_reweighted)"
    )


def test_the_tables_of_other_rows_are_what_they_were(tmp_path: Path) -> None:
    """The hash of rows without such rationales does not know of them: old folders are found."""
    splits = toy_splits()
    more = replace(splits.train[0], relabelled={"human": {"no": "It does not."}})
    changed = replace(splits, train=(more, *splits.train[1:]))
    assert changed.hash != splits.hash
    empty = replace(splits, train=tuple(replace(row, relabelled={}) for row in splits.train))
    assert empty.hash == splits.hash
