"""Pictures of a search: Optuna's own, on a study rebuilt in memory, and the pruner's rung."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState
from scipy.stats import spearmanr

from analysis.pictures import optuna_figures as plots_optuna
from analysis.pictures.grid import search_grid
from analysis.pictures.lines import draw_panels
from analysis.pictures.looks import BLUE, GREY, SKY, Style
from analysis.pictures.panels import Line, Panel
from analysis.pictures.parallel import parallel
from analysis.pictures.pareto import pareto
from analysis.pictures.style import Picture, listed, number
from analysis.studies import Study
from r2d_ray.records import TrialRecord
from r2d_ray.search.space import SearchSpace, distributions
from r2d_ray.storage import counted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
FOR_IMPORTANCE = 10  # finished trials below which shares of fields are chance
FOR_RANKS = 3  # trials of which a rank correlation can be other than 1 or -1


def search_pictures(study: Study) -> list[Picture | str]:
    """Return the pictures of a search, or why one is left out."""
    done = study.done()
    if not done:
        return [f"pictures of the search: none of {counted(len(study.records), 'trial')} finished"]
    space = SearchSpace.model_validate(study.info.space)
    rebuilt = rebuild(study, space)
    drawn = [
        _history(rebuilt, space),
        pareto(study, space),
        _importance(rebuilt, space),
        _parallel(rebuilt, space),
        _slices(rebuilt, space),
        _curves(rebuilt, space),
        _rung(study, space),
    ]
    return [*drawn, *search_grid(study)]


def rebuild(study: Study, space: SearchSpace) -> optuna.Study:
    """Return the search as a study in memory; a trial that has no record yet is WAITING.

    Finished trials have the score of the selected step, pruned and finished ones the scores of
    their evaluations as intermediate values.
    """
    domains = distributions(space)
    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a new study is news only in a search
    rebuilt = optuna.create_study(
        direction=space.objective.direction, storage=optuna.storages.InMemoryStorage()
    )
    optuna.logging.set_verbosity(loud)
    known = {record.trial: record for record in study.records}
    waiting = optuna.create_trial(state=TrialState.WAITING)
    for place in range(max(known) + 1):  # Optuna numbers trials as they come
        found = known.get(place)
        rebuilt.add_trial(waiting if found is None else _trial(found, space.metric, domains))
    return rebuilt


def _trial(record: TrialRecord, metric: str, domains: dict[str, Any]) -> FrozenTrial:
    return optuna.create_trial(
        state=STATES[record.status],
        value=record.metrics[metric] if record.status == "done" else None,
        params={name: record.config[name] for name in domains},
        distributions=domains,
        intermediate_values={e.step: e.scores[metric] for e in record.curve if metric in e.scores},
    )


def _finished(rebuilt: optuna.Study) -> list[FrozenTrial]:
    return rebuilt.get_trials(states=(TrialState.COMPLETE,))


def _point(trial: FrozenTrial) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in trial.params.items())


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _states(rebuilt: optuna.Study) -> str:
    words = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    counts = {
        word: sum(trial.state == TrialState[state] for trial in rebuilt.trials)
        for word, state in words.items()
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _history(rebuilt: optuna.Study, space: SearchSpace) -> Picture:
    best = rebuilt.best_trial
    values = listed([f"trial {t.number}: {number(t.value)}" for t in _finished(rebuilt)])
    description = (
        f"Validation {space.metric} of each finished trial and the best so far "
        f"({_states(rebuilt)}). Best: trial {best.number} with {number(best.value)} at "
        f"{_point(best)}. All: {values}."
    )
    figures = plots_optuna.history(rebuilt, space.metric)
    return Picture("history", "History of the search", description, *figures)


def _importance(rebuilt: optuna.Study, space: SearchSpace) -> Picture | str:
    finished = _finished(rebuilt)
    points = {_point(trial) for trial in finished}
    if len(points) < 2 or len({trial.value for trial in finished}) < 2:
        return (
            f"importance: {counted(len(points), 'setting')} and "
            f"{counted(len({t.value for t in finished}), 'score')} among finished trials "
            "(needed: 2 of each that differ)"
        )
    if len(finished) < FOR_IMPORTANCE:
        return (
            f"importance: {counted(len(finished), 'finished trial')} "
            f"(needed: {FOR_IMPORTANCE}; of fewer, shares are chance)"
        )
    shares = optuna.importance.get_param_importances(rebuilt)
    words = listed([f"{name} {number(share, 2)}" for name, share in shares.items()])
    description = (
        f"Share of each field in the differences of validation {space.metric} (PED-ANOVA over "
        f"{counted(len(finished), 'finished trial')}): {words}."
    )
    figures = plots_optuna.importance(rebuilt, space.metric)
    return Picture("importance", "Importance of the fields", description, *figures)


def _parallel(rebuilt: optuna.Study, space: SearchSpace) -> Picture:
    ranked = sorted(
        _finished(rebuilt),
        key=lambda t: t.value or 0.0,
        reverse=space.objective.direction == "maximize",
    )
    words = listed([f"{number(t.value)} at {_point(t)}" for t in ranked])
    description = (
        f"Each finished trial as a line through its {space.metric} and its fields; the better, "
        f"the darker. Best first: {words}."
    )
    figures = parallel(rebuilt, space.metric)
    return Picture("parallel", "Fields of all finished trials", description, *figures)


def _slices(rebuilt: optuna.Study, space: SearchSpace) -> Picture:
    best = rebuilt.best_trial
    finished = _finished(rebuilt)
    ranges = []
    for name in best.params:
        values = [trial.params[name] for trial in finished]
        numeric = all(isinstance(value, int | float) for value in values)
        seen = (min(values), max(values)) if numeric else dict.fromkeys(values)
        tried = (" to " if numeric else ", ").join(map(_value, seen))
        ranges.append(f"{name} tried at {tried}, best at {_value(best.params[name])}")
    description = (
        f"Validation {space.metric} of {counted(len(finished), 'finished trial')} over each "
        f"field; later trials are darker. {listed(ranges)}."
    )
    figures = plots_optuna.slices(rebuilt, space.metric)
    return Picture("slices", "Score over each field", description, *figures)


def _curves(rebuilt: optuna.Study, space: SearchSpace) -> Picture | str:
    shown = [t for t in rebuilt.trials if t.intermediate_values]
    shown = [t for t in shown if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if not shown:
        return "training curves of the search: no trial was evaluated while training"
    best = rebuilt.best_trial.number
    looks = {"pruned": Style(GREY, 1, 1.1), "finished": Style(SKY), "best": Style(BLUE, 0, 2.2)}
    lines, ends = [], []
    for trial in shown:
        steps, values = zip(*sorted(trial.intermediate_values.items()), strict=True)
        kind = "pruned" if trial.state == TrialState.PRUNED else "finished"
        ends.append(f"trial {trial.number} ({kind}) {number(values[0])} to {number(values[-1])}")
        kind = "best" if trial.number == best else kind
        label = f"best, trial {best}" if kind == "best" else kind
        mode = "lines" if len(steps) > 1 else "markers"
        notes = [f"trial {trial.number}"] * len(steps)
        lines.append((kind, Line(label, steps, values, looks[kind], mode=mode, notes=notes)))
    order = list(looks)
    lines.sort(key=lambda pair: order.index(pair[0]))  # the best lies on top
    shown_lines = tuple(line for _, line in lines)
    panel = Panel("", "optimiser step of stage 2", f"validation {space.metric}", shown_lines)
    description = f"Validation {space.metric} by step, first to last: {listed(ends)}."
    title = "Training curves of the search"
    return Picture("search-curves", title, description, *draw_panels([panel]))


def _rung(study: Study, space: SearchSpace) -> Picture | str:
    done = [record for record in study.done() if record.rung]
    if not done:
        return "rung against final score: no finished trial has a score at the pruner's rung"
    rung, final = [r.rung["value"] for r in done], [r.metrics[space.metric] for r in done]
    pruned = [r for r in study.records if r.status == "pruned" and r.rung]
    ends = [*rung, *final, *(r.rung["value"] for r in pruned)]
    room = 0.06 * (max(ends) - min(ends)) or 0.05
    limits = (min(ends) - room, max(ends) + room)
    lines = [_dots("finished", rung, final, Style(BLUE), done)]
    if pruned:
        # They have no final score: they stand at the foot.
        foot = [limits[0] + room / 3] * len(pruned)
        places = [r.rung["value"] for r in pruned]
        lines.append(_dots("pruned", places, foot, Style(GREY, mark="X"), pruned))
    step = f"{done[0].rung['step']:.0f}"
    panel = Panel(
        "", f"best {space.metric} up to the rung, step {step}", f"final {space.metric}",
        tuple(lines), limits, limits, equal=True,
    )  # fmt: skip
    pairs = [
        f"trial {r.trial}: {number(x)}, {number(y)}"
        for r, x, y in zip(done, rung, final, strict=True)
    ]
    description = (
        f"Validation {space.metric} up to the pruner's rung (step {step}) and at the end. "
        f"{_correlation(rung, final)} Rung, end: {listed(pairs)}."
    )
    if pruned:
        ended = listed([f"trial {r.trial}: {number(r.rung['value'])}" for r in pruned])
        description += f" Pruned after the rung, without an end, at the foot: {ended}."
    title = "The pruner's rung and the final score"
    return Picture("rung", title, description, *draw_panels([panel]))


def _dots(
    label: str, x: list[float], y: list[float], style: Style, records: list[TrialRecord]
) -> Line:
    notes = [f"trial {record.trial}" for record in records]
    return Line(label, x, y, style, mode="markers", notes=notes)


def _correlation(rung: list[float], final: list[float]) -> str:
    trials = counted(len(rung), "finished trial")
    if len(rung) < FOR_RANKS or len(set(rung)) < 2 or len(set(final)) < 2:
        return f"No rank correlation: {trials}, or all scores equal."
    rho = float(spearmanr(rung, final).statistic)
    return (
        f"Spearman's rank correlation is {number(rho, 2)} over {trials} (pruned ones "
        "have no final score)."
    )
