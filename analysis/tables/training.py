"""Tables of what went in: data, and the trials of searches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.stats.intervals import mean_sd
from analysis.studies import Study
from analysis.tables.score_rows import Row, nothing
from analysis.tables.table import Column, Number, Table
from r2d_ray.errors import UserError
from r2d_ray.records import TrialRecord

LENGTHS = ("median", "p90", "max")


def data_table(studies: Sequence[Study]) -> Table:
    """Return the data cards: a line per data set and split."""
    cards = {study.info.data_hash: study for study in studies}
    rows: list[Row] = []
    notes: list[str] = []
    for content, study in cards.items():
        card = study.info.data_card
        try:
            rows += [_split_row(card, split) for split in card["rows"]]
            notes += _card_notes(content, card)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(f"{study.folder / 'study.json'}: data_card: {error!r}") from None
    columns = (
        Column("dataset", "Data"),
        *(Column(key, key.title()) for key in ("split", "rows", "groups")),
        *(Column(f"words_{key}", f"Words, {key}") for key in LENGTHS),
        Column("labels", "Labels"),
        Column("rationales", "Rationales"),
    )
    return Table(
        "data", "Data: rows, groups that stay together, labels", columns, tuple(rows), tuple(notes)
    )


def _split_row(card: Mapping[str, Any], split: str) -> Row:
    words = card["words"].get(split, {})
    held = {source: count.get(split, 0) for source, count in card["rationale_sources"].items()}
    return {
        "dataset": card["name"],
        "split": split,
        "rows": card["rows"][split],
        "groups": card["groups"].get(split),
        **{f"words_{key}": Number(words.get(key), digits=0) for key in LENGTHS},
        "labels": _parts(card["label_counts"].get(split, {})) or None,
        "rationales": _parts(held) or None,
    }


def _card_notes(content: str, card: Mapping[str, Any]) -> list[str]:
    origin = card["provenance"]
    name = card["name"]
    notes = [
        f"{name}: {origin['kind']} {place_words(origin['address'])}, licence {origin['licence']}, "
        f"content {content}"
    ]
    notes += [f"{name}: {note}" for note in origin["notes"]]
    for source, words in card["rationale_words"].items():
        lengths = ", ".join(f"{key} {words[key]:.0f}" for key in LENGTHS)
        notes.append(f"{name}: rationale {source}: {lengths} words")
    notes += [f"{name}: dropped {count}: {why}" for why, count in card["dropped"].items()]
    measured = card.get("tokens", {})
    shares = [f"{split} {m['share_cut']:.1%}" for split, m in measured.items() if m["share_cut"]]
    if shares:
        notes.append(f"{name}: rows cut to max_input_length: {', '.join(shares)}")
    return notes + [f"{name}: {text}" for text in card.get("warnings", ())]


def place_words(address: str) -> str:
    """Return an address as pages show it: a path of somebody's machine by its last part."""
    return Path(address).name if Path(address).is_absolute() else address


def _parts(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{name} {count}" for name, count in counts.items())


def searches_table(studies: Sequence[Study]) -> Table:
    """Return the searches: trials by state, best and first trial on validation and on test."""
    name = "searches"
    title = "Searches: the best trial and trial 0 (the defaults), mean ± sd where seeds are several"
    rows: list[Row] = []
    notes: list[str] = []
    for study in studies:
        if study.is_comparison:
            continue
        metric = study.info.space["metric"]
        states = Counter(record.status for record in study.records)
        best = best_trial(study)
        row: Row = search_cells(study) | {
            state: states[state] for state in ("done", "pruned", "failed")
        }
        first = next((r for r in study.done() if r.trial == 0), None)
        for key, record in (("best", best), ("first", first)):
            if record is not None:
                row[f"{key}_validation"] = _score(record, "metrics", metric)
                row[f"{key}_test"] = _score(record, "test_metrics", "macro_f1")
        row |= {"metric": metric, "best": best.trial if best else None}
        row["seeds"] = int(study.info.study.get("seeds_per_config", 1))
        rows.append(row)
        notes += [f"{study.info.name}: {note}" for note in study.notes]
    if not rows:
        return nothing(name, title, "no search among these studies")
    heads = {
        **SEARCH,
        "done": "Done",
        "pruned": "Pruned",
        "failed": "Failed",
        "seeds": "Seeds a trial",
        "metric": "Searched metric",
        "best": "Best trial",
        "best_validation": "Best, validation, %",
        "first_validation": "Trial 0, validation, %",
        "best_test": "Best, test macro-F1, %",
        "first_test": "Trial 0, test macro-F1, %",
    }
    columns = tuple(Column(key, heading) for key, heading in heads.items())
    return Table(name, title, columns, tuple(rows), tuple(notes))


SEARCH = {"study": "Study", "dataset": "Data", "model": "Model", "method": "Method"}


def search_cells(study: Study) -> Row:
    """Return the cells that name a study."""
    info = study.info
    model = str(info.config["model"])
    return {"study": info.name, "dataset": info.dataset, "model": model, "method": info.method}


def _score(record: TrialRecord, place: str, metric: str) -> Number | None:
    """Return a trial's score, with its spread over the seeds that have it."""
    value = getattr(record, place).get(metric)
    seeds = [
        found for run in record.seeds if (found := getattr(run, place).get(metric)) is not None
    ]
    sd = mean_sd(seeds)[1] if seeds else None
    return None if value is None else Number(value, sd, factor=100.0, digits=2)


def best_trial(study: Study) -> TrialRecord | None:
    """Return the finished trial with the best searched metric, the first on ties."""
    return study.info.objective.best_of(study.records)
