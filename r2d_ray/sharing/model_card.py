"""README.md of an exported model: what it is, its test scores beside controls, how to load it.

It holds numbers, names and labels only: no text of a row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from r2d_ray.data.named_sets import NOT_STATED
from r2d_ray.method.label_kinds import CHOICES, FIXED, KINDS
from r2d_ray.method.prompts import question_text
from r2d_ray.records import StudyInfo, TrialRecord
from r2d_ray.sharing.metadata import SCORES, base_model, metadata
from r2d_ray.storage import printable, write_atomically
from r2d_ray.study.seeds import is_number

CARD = "README.md"
QUESTION, CONTEXT, OPTIONS = "Does it help?", "It did.", ("yes", "no")  # of the code in the card
CONTROLS = ("best without context", "majority label", "coin", "bag of words")
"""How the rows of result.json begin that stand below the model's own."""


def model_card(
    info: StudyInfo,
    record: TrialRecord,
    result: Mapping[str, Any] | None = None,
    licence: str | None = None,
) -> str:
    """Return the model card as Markdown, with the hub's metadata in front.

    Args:
        info: The study.
        record: The run whose model it is.
        result: What result.json says; None before the last look at the test split.
        licence: Of the weights, in the hub's spelling.
    """
    table = test_scores(record, (result or {}).get("test", {}))
    parts = [
        f"---\n{metadata(info, record, table, licence)}\n---",
        f"# {info.name}, trial {record.trial}",
        about(info, record),
        f"## Test scores\n\n{score_section(info, record, table, result or {})}",
        f"## Data\n\n{data_section(info)}",
        f"## Use\n\n{use_section(info, record)}",
        f"## Limits\n\n{limit_section(info)}",
        f"## Made with\n\n{made_section(info, record, licence)}",
    ]
    return "\n\n".join(parts) + "\n"


def write_card(
    folder: Path, info: StudyInfo, record: TrialRecord, result: Mapping[str, Any]
) -> None:
    """Write the card of an exported model anew, with what was scored since."""
    write_atomically(folder / CARD, model_card(info, record, result))


def test_scores(record: TrialRecord, table: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the rows of result.json that the card shows: the model's own first, then controls."""
    if not table:
        return {}
    first = next(iter(table))
    own = f"{first}, seed {record.seed}"
    shown = {"this model": table.get(own, table[first])}
    return shown | {name: row for name, row in table.items() if name.startswith(CONTROLS)}


def about(info: StudyInfo, record: TrialRecord) -> str:
    """Return what the model is, and loudly that its weights were random where they were."""
    name = Path(str(record.config["model"])).name
    text = (
        f"A T5 ({base_model(record.config) or name}) that predicts a label and writes the "
        f"rationale for it, trained by r2d_ray with the method `{record.method}` on "
        f"`{info.dataset}`."
    )
    return f"{text}\n\n**{random_words(info)}.**" if info.random_weights else text


def random_words(info: StudyInfo) -> str:
    """Return what is said of a model that was not pretrained."""
    rows = info.data_card.get("rows", {}).get("train")
    only = f"{rows:,} training rows" if rows else "its training rows"
    return f"random weights: {info.config['model']} was not pretrained; it learned only from {only}"


def score_section(
    info: StudyInfo, record: TrialRecord, table: Mapping[str, Any], result: Mapping[str, Any]
) -> str:
    """Return the table of test scores, and how the model was chosen."""
    metric = info.space["metric"]
    value = record.metrics.get(metric)
    chosen = f"Step {record.selected_step} was selected"
    if value is not None:
        chosen += f" for its validation `{metric}` of {value:.4f}"
    chosen += "; the test split had no part in it."
    if not table:
        return f"Not scored on test rows yet.\n\n{chosen}"
    columns = [key for key in SCORES if any(is_number(row.get(key)) for row in table.values())]
    lines = [
        " | ".join(["| model", *(SCORES[key][0] for key in columns)]) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for name, row in table.items():
        cells = [f"{row[key]:.3f}" if is_number(row.get(key)) else "" for key in columns]
        lines.append("| " + " | ".join([_cell(name), *cells]) + " |")
    says = result.get("bag_of_words", {}).get("says")
    return "\n\n".join(["\n".join(lines), *([says] if says else []), chosen])


def data_section(info: StudyInfo) -> str:
    """Return where the rows come from, how many they are, and the labels."""
    card, origin = info.data_card, info.provenance
    kind, address = origin.get("kind", "unknown"), str(origin.get("address", ""))
    if kind in ("file", "folder"):  # of a path on somebody's machine its name alone
        address = Path(address).name
    label = KINDS.get(card.get("label_kind", ""), FIXED).described(card["labels"])
    rows = ", ".join(f"{name} {count:,}" for name, count in card.get("rows", {}).items())
    lines = [
        f"- Source: `{info.dataset}` ({kind} {_cell(address)}), content hash `{info.data_hash}`",
        f"- Licence of the data: {origin.get('licence') or NOT_STATED}",
        f"- Rows: {rows or NOT_STATED}",
        f"- Label: {label}",
    ]
    return "\n".join(lines)


def use_section(info: StudyInfo, record: TrialRecord) -> str:
    """Return the prompts, and code that loads the model with and without r2d_ray."""
    contexts = info.data_card.get("contexts")
    bare = contexts is not None and not any(contexts.values())
    options = OPTIONS if info.data_card.get("label_kind") == CHOICES.word else None
    row: dict[str, Any] = {"question": QUESTION} | ({} if bare else {"context": CONTEXT})
    row |= {"choices": list(options)} if options else {}
    columns = {name: name for name in row}
    body = "QUESTION" if bare else "QUESTION CONTEXT"
    said = " No row of its data has a context." if bare else ""
    text = f"{question_text(QUESTION, options)}{'' if bare else f' {CONTEXT}'}"
    return f"""Prompts: `predict: {body}` gives the label;
`given label: LABEL, explain: {body}` gives the rationale.{said}

With r2d_ray, which also keeps to the label set and calibrates probabilities:

```python
from r2d_ray import predict_rows

MODEL = "."  # this folder
ROWS = [{json.dumps(row)}]
print(predict_rows(MODEL, ROWS, columns={json.dumps(columns)}))
```

With transformers alone:

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

MODEL = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForSeq2SeqLM.from_pretrained(MODEL)
inputs = tokenizer("predict: {text}", return_tensors="pt")
label = model.generate(**inputs, max_new_tokens={record.config.get("max_label_length", 50)})
print(tokenizer.decode(label[0], skip_special_tokens=True))
```"""


def limit_section(info: StudyInfo) -> str:
    """Return what the model is not good for."""
    lines = ["Not a medical device: the model was selected by scores on a research data set."]
    if info.random_weights:
        lines.append(f"{random_words(info)[0].upper()}{random_words(info)[1:]}.")
    if info.provenance.get("kind") == "sample":
        lines.append(
            "The data is a sample embedded in r2d_ray, whose rows were written from templates: "
            "its scores say nothing of real questions."
        )
    lines.append("A rationale reads well whether or not the label is right.")
    return _lines(f"- {line}" for line in lines)


def made_section(info: StudyInfo, record: TrialRecord, licence: str | None) -> str:
    """Return licences, seed, code and versions."""
    lines = [
        f"Licence of the weights: {licence or NOT_STATED}",
        "Licence of r2d_ray: Apache-2.0",
        f"Method: {record.method}; profile: {info.profile}; seed: {record.seed}",
        *([f"Commit of the code: `{info.git_commit}`"] if info.git_commit else []),
        *(f"{name} {version}" for name, version in info.versions.items()),
    ]
    return _lines(f"- {line}" for line in lines)


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Return a user's text as a part of a table: nothing in it ends a cell or a line."""
    return printable(text).replace("|", "\\|").replace("`", "'")
