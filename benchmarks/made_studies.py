"""Large studies made from a seed: a search and a comparison, as files, without training anything.

Rows are those of the embedded sample; labels, probabilities and rationales are drawn. What is
drawn says nothing about any method: it is load, for measuring how long a report takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2d_ray.config import PROFILES, build_config
from r2d_ray.data.card import data_card
from r2d_ray.data.examples import Example, Splits
from r2d_ray.data.location import DataRequest
from r2d_ray.data.sources import load_splits
from r2d_ray.evaluation.label_metrics import label_scores
from r2d_ray.evaluation.plausibility import plausibility_scores, with_overlap
from r2d_ray.method.variants import METHODS
from r2d_ray.records import (
    Evaluation,
    Prediction,
    StudyInfo,
    TrialRecord,
    prediction_file,
    write_jsonl,
)
from r2d_ray.search.space import distributions, load_search_space
from r2d_ray.storage import write_json
from r2d_ray.study.identity import versions

METHODS_COMPARED = 12
STEPS = 300
LOGGED = 30  # entries of a training series


def made_splits(test_rows: int) -> Splits:
    """Return the embedded sample with so many test rows."""
    return load_splits(DataRequest("triage", sample_rows=(700, 150, test_rows)))


def write_search(root: Path, splits: Splits, trials: int, evaluations: int, seed: int) -> Path:
    """Write a search of so many trials with so many evaluations each; return its folder."""
    rng = np.random.default_rng(seed)
    space = load_search_space("embedded")
    domains = distributions(space)
    base = config_values("r2d", 42)
    records = []
    for number in range(trials):
        chosen = {
            name: domain.choices[rng.integers(len(domain.choices))]
            if hasattr(domain, "choices")
            else float(rng.uniform(domain.low, domain.high))
            for name, domain in domains.items()
        }
        pruned = number % 3 == 2
        records.append(
            trial_record("search", splits, number, {**base, **chosen}, rng, evaluations, pruned)
        )
    space_values = space.model_dump(mode="json")
    return write_study(root / "search", "r2d", splits, base, space_values, records)


def write_comparison(root: Path, splits: Splits, seeds: int, seed: int) -> Path:
    """Write a comparison of 12 methods over so many seeds; return its folder."""
    rng = np.random.default_rng(seed)
    folder = root / "comparison"
    (folder / "predictions").mkdir(parents=True)
    records = []
    for method in list(METHODS)[:METHODS_COMPARED]:
        for run in range(1, seeds + 1):
            arm = f"{method}-{run}"
            rows = predictions(splits.test, splits.labels, rng, writes=method not in LABELS_ONLY)
            write_jsonl(prediction_file(folder / "predictions", arm, "test"), rows)
            record = trial_record(
                "comparison", splits, len(records), config_values(method, run), rng, 6, False
            )
            records.append(
                record.model_copy(
                    update={
                        "arm": arm,
                        "method": method,
                        "seed": run,
                        "test_metrics": test_scores(rows, splits.labels),
                    }
                )
            )
    arms = [record.arm for record in records]
    space = {"metric": "macro_f1", "mode": "max", "arms": arms, "tuned": {}}
    return write_study(folder, "compare", splits, config_values("r2d", 42), space, records)


LABELS_ONLY = ("sft", "stage1_sft")


def config_values(method: str, seed: int) -> dict[str, Any]:
    """Return a method's config under the embedded profile."""
    values = {**PROFILES["embedded"], **METHODS[method].values, "seed": seed}
    return build_config(values).model_dump(mode="json")


def predictions(
    rows: Sequence[Example], labels: Sequence[str], rng: np.random.Generator, writes: bool
) -> list[Prediction]:
    """Return drawn predictions: about two in three right, rationales taken from other rows."""
    found = []
    sure = rng.dirichlet(np.ones(len(labels)), len(rows))
    right = rng.random(len(rows)) < 0.65
    other = rng.integers(len(rows), size=len(rows))
    for place, row in enumerate(rows):
        shares = sorted(sure[place].tolist(), reverse=True)
        label = row.label if right[place] else labels[int(rng.integers(len(labels)))]
        rest = [name for name in labels if name != label]
        text = rows[other[place]].rationales["llm"] if writes else None
        found.append(
            Prediction(
                id=row.id,
                group=row.group,
                gold_label=row.label,
                label=label,
                probabilities=dict(zip([label, *rest], shares, strict=True)),
                rationale=text,
                reference=row.rationales["llm"] if writes else None,
                generated_label=label,
            )
        )
    return with_overlap(found, {}) if writes else found


def test_scores(rows: Sequence[Prediction], labels: Sequence[str]) -> dict[str, Any]:
    """Return the scores that the rows have."""
    gold = [row.gold_label or "" for row in rows]
    scores: dict[str, Any] = dict(label_scores(gold, [row.label for row in rows], labels))
    return {**scores, **plausibility_scores(rows)}


def trial_record(
    study: str,
    splits: Splits,
    number: int,
    config: dict[str, Any],
    rng: np.random.Generator,
    evaluations: int,
    pruned: bool,
) -> TrialRecord:
    """Return a drawn trial: a rising curve and the series of its schedule."""
    last = 0.4 + 0.4 * rng.random()
    steps = np.linspace(STEPS / evaluations, STEPS, evaluations).astype(int)
    curve = tuple(
        Evaluation(step=int(at), scores={"macro_f1": last * at / STEPS, "accuracy": last})
        for at in (steps[: evaluations // 2] if pruned else steps)
    )
    logged = np.linspace(STEPS / LOGGED, STEPS, LOGGED)
    series: dict[str, list[float | None]] = {
        "step": logged.tolist(),
        "loss": (3.0 - 2.0 * logged / STEPS + 0.1 * rng.random(LOGGED)).tolist(),
        "changed_share": (0.3 * logged / STEPS).tolist(),
        "sampled_share": (0.6 * logged / STEPS).tolist(),
    }
    return TrialRecord(
        study=study,
        trial=number,
        method="r2d",
        dataset=splits.name,
        config=config,
        seed=config["seed"],
        status="pruned" if pruned else "done",
        curve=curve,
        series=series,
        rung={"step": 195.0, "value": curve[-1].scores["macro_f1"]},
        selected_step=curve[-1].step,
        steps_done=curve[-1].step,
        metrics=curve[-1].scores,
        counts={"sampled_share": 0.3, "changed_share": 0.15, "sampling_tested": 1.0},
        wall_s=60.0,
        step_s=0.2,
    )


def write_study(
    folder: Path,
    method: str,
    splits: Splits,
    config: dict[str, Any],
    space: dict[str, Any],
    records: Sequence[TrialRecord],
) -> Path:
    """Write study.json, records.jsonl and result.json; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    card = data_card(splits)
    info = StudyInfo(
        name=folder.name,
        method=method,
        dataset=splits.name,
        profile="embedded",
        config=config,
        space=space,
        study={"num_samples": len(records)},
        data_card=card,
        data_hash=splits.hash,
        provenance=card["provenance"],
        versions=versions(),
    )
    write_json(folder / "study.json", info.model_dump(mode="json"))
    write_jsonl(folder / "records.jsonl", records)
    write_json(folder / "result.json", {"trials": {"done": len(records)}})
    return folder
