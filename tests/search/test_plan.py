"""A plan hashes its rows once, and is refused where a stage would see no rationale."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY, tiny_config, toy_splits

from r2d_ray.data import examples
from r2d_ray.data.examples import Splits, content_hash
from r2d_ray.data.prepare import open_prepared, prepare
from r2d_ray.errors import UserError
from r2d_ray.search.checks import check_data
from r2d_ray.search.plan import make_plan
from r2d_ray.study.settings import build_settings


@pytest.fixture
def without_llm() -> Splits:
    """Splits whose validation rows have no rationale of the source `llm`."""
    splits = toy_splits()
    validation = tuple(
        replace(row, rationales={"human": row.rationales["human"]}) for row in splits.validation
    )
    return replace(splits, validation=validation)


NEEDED: dict[str, dict[str, object]] = {
    "both stages": {"rationale_source": "llm"},
    "stage 1": {"stage1_rationale_source": "llm"},
    "stage 1 alone": {"stage1_rationale_source": "llm", "label_loss_weight": 1.0},
    "stage 2": {"rationale_source": "llm", "stage1_rationale_source": "human"},
    "stage 2 alone": {"rationale_source": "llm", "stage1_max_steps": 0},
}
NOT_NEEDED: dict[str, dict[str, object]] = {
    "another source": {"rationale_source": "human"},
    "no stage 1": {"stage1_rationale_source": "llm", "stage1_max_steps": 0},
    "no rationales": {
        "rationale_source": "llm",
        "stage1_max_steps": 0,
        "label_loss_weight": 1.0,
    },
}


@pytest.mark.parametrize("values", NEEDED.values(), ids=NEEDED)
def test_a_source_that_is_trained_must_be_in_validation(
    without_llm: Splits, values: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=r"no validation row has a rationale of source 'llm'"):
        check_data(without_llm, tiny_config(**values))
    check_data(toy_splits(), tiny_config(**values))


@pytest.mark.parametrize("values", NOT_NEEDED.values(), ids=NOT_NEEDED)
def test_a_source_that_is_not_trained_need_not(
    without_llm: Splits, values: dict[str, object]
) -> None:
    check_data(without_llm, tiny_config(**values))


def test_the_rows_are_hashed_once_from_plan_to_prepared_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Splits] = []

    def counted(splits: Splits) -> str:
        hashed.append(splits)
        return content_hash(splits)

    monkeypatch.setattr(examples, "content_hash", counted)
    asked = {"dataset": "bioasq", "profile": "embedded", "sample_rows": (60, 20, 20)}
    plan = make_plan(build_settings({**asked, "num_samples": 1, "overrides": TINY}))
    measured = open_prepared(prepare(plan.splits, plan.config, tmp_path)).info
    assert len(hashed) == 1
    info = plan.info
    assert info.data_hash == info.data_card["hash"] == measured["data_hash"]
    assert info.data_hash == content_hash(plan.splits)
