"""A run is refused before it starts where a stage would be evaluated on no rationale."""

from dataclasses import replace

import pytest
from conftest import tiny_config, toy_splits

from r2d_ray.data.examples import Splits
from r2d_ray.errors import UserError
from r2d_ray.search.plan import check_data


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
