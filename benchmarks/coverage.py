"""How often 95 % intervals hold the truth, by simulation: `python -m benchmarks.coverage`.

Test rows and trainings are drawn anew from a population whose scores are known, so a good
interval holds them 95 times of 100. Contrasts show what goes wrong otherwise: rows of a group taken
as independent, the spread of trainings taken for all the spread there is, a few widely spread
seeds.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.stats import row_sums as scores
from analysis.stats.bootstrap import Interval
from analysis.stats.intervals import (
    bca_interval,
    hierarchical_interval,
    paired_bootstrap,
    t_interval,
)
from analysis.stats.row_sums import Statistics

Floats = NDArray[np.float64]
SHARES = np.array([0.55, 0.34, 0.11])  # of three gold labels
ACCURACY = 0.75
LUCK_KEPT = 0.6  # share of rows that go right or wrong alike in every training
FLOOR = 0.92  # of an interval that is said to be sound, simulation noise aside


@dataclass(frozen=True, slots=True)
class World:
    """A study to draw: `groups` of `per_group` test rows, `seeds` trainings of `arms` methods.

    In a share `alike` of the groups all rows are right or wrong together. The accuracy of
    trainings has the standard deviation `spread`; methods do not differ.
    """

    groups: int
    per_group: int = 1
    alike: float = 0.0
    seeds: int = 1
    arms: int = 1
    spread: float = 0.02

    @property
    def reach(self) -> float:
        """How far to both sides of 0.75 trainings are spread, evenly; a single one is not."""
        return self.spread * math.sqrt(3) if self.seeds > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Study:
    """A drawn study: runs of each metric by arm and seed, and what trainings score on its rows."""

    accuracy: list[list[Statistics]]
    macro_f1: list[list[Statistics]]
    accuracy_here: float


@dataclass(frozen=True, slots=True)
class Found:
    """An interval with the truth that it should hold, and the p-value of a difference."""

    interval: Interval
    truth: float
    p: float = 1.0


def draw_study(world: World, generator: np.random.Generator) -> Study:
    """Return a study: a row is right where its luck lies below its training's accuracy."""
    rows = world.groups * world.per_group
    group = np.repeat(np.arange(world.groups), world.per_group)
    gold = generator.choice(len(SHARES), size=rows, p=SHARES)
    together = (generator.random(world.groups) < world.alike)[group]
    kept = (generator.random(world.groups) < LUCK_KEPT)[group]

    def luck() -> Floats:
        own, common = generator.random(rows), generator.random(world.groups)[group]
        return np.where(together, common, own)

    lasting = luck()
    accuracy: list[list[Statistics]] = [[] for _ in range(world.arms)]
    f1: list[list[Statistics]] = [[] for _ in range(world.arms)]
    names, ids = tuple(map(str, group)), tuple(map(str, range(rows)))
    for arm in range(world.arms):
        for _ in range(world.seeds):
            skill = ACCURACY + generator.uniform(-1, 1) * world.reach
            right = np.where(kept, lasting, luck()) < skill
            wrong = (gold + generator.integers(1, len(SHARES), size=rows)) % len(SHARES)
            said = np.where(right, gold, wrong)
            one, other = np.eye(len(SHARES))[gold], np.eye(len(SHARES))[said]
            ones = np.stack([right, np.ones(rows)], axis=1)
            accuracy[arm].append(Statistics("accuracy", ones, names, ids, scores.mean))
            counts = np.hstack([one * other, one + other])
            f1[arm].append(Statistics("macro_f1", counts, names, ids, scores.macro_f1))
    here = np.mean(lasting[:, None] < skills_of(world), axis=1)
    return Study(accuracy, f1, float(np.where(kept, here, ACCURACY).mean()))


def skills_of(world: World) -> Floats:
    """Return the accuracies of many trainings, evenly spread as the population's are."""
    return ACCURACY + np.linspace(-1, 1, 201) * world.reach


def true_macro_f1(world: World) -> float:
    """Return the mean over trainings of macro-F1 on endless rows."""
    skills = skills_of(world)
    hits = skills[:, None] * SHARES
    # A wrong output is each of the two other labels equally often.
    said = hits + (1 - skills[:, None]) / 2 * (1 - SHARES)
    return float(scores.macro_f1(np.hstack([hits, SHARES + said])).mean())


Measure = Callable[[World, Study, int, int], Found]
"""From a study, draws and a seed to an interval."""


def of_accuracy(world: World, study: Study, draws: int, seed: int) -> Found:
    """BCa or hierarchical, accuracy."""
    runs = study.accuracy[0]
    return Found(hierarchical_interval(runs, draws=draws, seed=seed), ACCURACY)


def of_macro_f1(world: World, study: Study, draws: int, seed: int) -> Found:
    """BCa or hierarchical, macro-F1."""
    interval = hierarchical_interval(study.macro_f1[0], draws=draws, seed=seed)
    return Found(interval, true_macro_f1(world))


def ignoring_groups(world: World, study: Study, draws: int, seed: int) -> Found:
    """BCa over rows, accuracy."""
    run = study.accuracy[0][0]
    alone = Statistics(run.metric, run.values, run.ids, run.ids, run.score)
    return Found(bca_interval(alone, draws=draws, seed=seed), ACCURACY)


def over_seeds(world: World, study: Study, draws: int, seed: int) -> Found:
    """Return t over seeds for the score on new rows."""
    interval = t_interval([run.value for run in study.accuracy[0]])
    assert interval is not None
    return Found(interval, ACCURACY)


def over_seeds_here(world: World, study: Study, draws: int, seed: int) -> Found:
    """Return t over seeds for the score on the same rows."""
    return Found(over_seeds(world, study, draws, seed).interval, study.accuracy_here)


def of_difference(world: World, study: Study, draws: int, seed: int) -> Found:
    """Return the paired difference in macro-F1 of two methods that do not differ."""
    first, second = study.macro_f1
    found = paired_bootstrap(first, second, draws=draws, seed=seed)
    interval = Interval(found.estimate, found.low, found.high, 0.95, found.method)
    return Found(interval, 0.0, found.p)


Case = tuple[str, World, Measure, bool]
"""What is measured, in which world, how, and whether it should hold the truth."""


def cases() -> Iterator[Case]:
    """Yield the lines of the table."""
    small, large, grouped = World(140), World(500), World(100, per_group=5, alike=0.5)
    for name, measure in (("accuracy", of_accuracy), ("macro-F1", of_macro_f1)):
        for world in (small, large, grouped):
            yield f"BCa, {name}", world, measure, True
    yield "BCa, accuracy, groups ignored", grouped, ignoring_groups, False
    for name, measure in (("accuracy", of_accuracy), ("macro-F1", of_macro_f1)):
        for seeds in (3, 5, 10):
            yield f"hierarchical, {name}", World(500, seeds=seeds), measure, True
    for seeds in (3, 10):
        world = World(500, seeds=seeds, spread=0.05)
        yield "the same, trainings spread more", world, of_accuracy, seeds > 3
    for seeds in (3, 5, 10):
        yield "t over seeds, these test rows", World(500, seeds=seeds), over_seeds_here, True
    for seeds in (3, 5, 10):
        yield "t over seeds, new test rows", World(500, seeds=seeds), over_seeds, False
    for seeds in (1, 3, 5, 10):
        world = World(500, seeds=seeds, arms=2)
        yield "paired difference, macro-F1", world, of_difference, True


def simulate(world: World, measure: Measure, trials: int, draws: int, seed: int = 0) -> list[Found]:
    """Return the intervals of this many studies, each with its own seeded draws."""
    generator = np.random.default_rng(seed)
    return [measure(world, draw_study(world, generator), draws, i) for i in range(trials)]


def coverage(found: list[Found]) -> float:
    """Return the share of intervals that hold their truth."""
    return float(np.mean([f.interval.low <= f.truth <= f.interval.high for f in found]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=400, help="studies drawn per line")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws per interval")
    asked = parser.parse_args()
    began = time.perf_counter()
    print(f"Found coverage of nominal 95 % intervals: {asked.trials} studies x {asked.draws} draws")
    print(
        f"{'interval':32} {'test rows':>10} {'seeds':>5} {'found':>7} {'+-':>5} {'width':>6}  p<.05"
    )
    for name, world, measure, sound in cases():
        found = simulate(world, measure, asked.trials, asked.draws)
        share = coverage(found)
        error = 1.96 * math.sqrt(share * (1 - share) / asked.trials)
        width = np.mean([f.interval.high - f.interval.low for f in found])
        rows = f"{world.groups} x {world.per_group}" if world.per_group > 1 else f"{world.groups}"
        false = f"{np.mean([f.p < 0.05 for f in found]):6.1%}" if world.arms > 1 else ""
        line = (
            f"{name:32} {rows:>10} {world.seeds:5} {share:7.1%} {error:5.1%} {width:6.1%} {false}"
        )
        note = "" if sound and share >= FLOOR else "  too low" if sound else "  (contrast)"
        print(line.rstrip() + note)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
