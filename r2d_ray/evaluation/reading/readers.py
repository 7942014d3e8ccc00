"""Readers at work: the judged model reads its own rationales, an independent model reads all arms'.

The independent reader is a scratch or pretrained T5 trained on masked gold rationale -> label and
never on a judged model's output; what it measures is alignment.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset

from r2d_ray.config import TrainConfig
from r2d_ray.data.encode import text_table
from r2d_ray.data.examples import Example
from r2d_ray.evaluation.evaluator import Evaluator
from r2d_ray.evaluation.reading.alignment import (
    control_scores,
    exact_reader,
    masked,
    merge_statistics,
    own_reading_scores,
    swapped_labels,
)
from r2d_ray.evaluation.reading.verdicts import read_rows, verdict_scores, verdict_statistics
from r2d_ray.records import Prediction, read_jsonl, write_jsonl


def read_texts(
    evaluator: Evaluator, texts: Sequence[str], sets: Sequence[Sequence[str]]
) -> list[str]:
    """Return the label that a model predicts from each text alone (`predict: text`).

    A model of rows with options sees each row's own beside the text (`sets`).
    """
    listed = evaluator.table.tokens.kind.listed
    rows = [
        Example(str(i), "", "", text, "", choices=tuple(options) if listed else None)
        for i, (text, options) in enumerate(zip(texts, sets, strict=True))
    ]
    labels = evaluator.table.tokens.labels
    table = text_table(rows, evaluator.tokenizer, labels, evaluator.config)
    return [output.label for output in evaluator.labels(table)]


def own_reading(
    evaluator: Evaluator, found: Sequence[Prediction]
) -> tuple[list[Prediction], dict[str, float | None]]:
    """Return the predictions with the judged model's verdicts on its own rationales, and scores.

    These are Reason2Decide-C's measures, and `verdict_scores` after `own_` of the same reading.
    """
    labels = evaluator.table.tokens.labels
    read = read_rows(found, partial(read_texts, evaluator), labels)
    sets = [row.options for row in found]
    read_gold = read_texts(evaluator, [row.reference or "" for row in found], sets)
    scores = own_reading_scores(found, [row.own for row in read], read_gold)
    more = verdict_scores(found, read, "own")
    scores |= {key: value for key, value in more.items() if key.removeprefix("own_") not in scores}
    return merge_statistics(found, verdict_statistics(found, read, labels, "own")), scores


def with_given_gold(
    evaluator: Evaluator, rows: Dataset, found: Sequence[Prediction]
) -> list[Prediction]:
    """Return the predictions with the rationale given the gold label.

    It is the same text where the prediction is gold or the prompt shows no label; only the others
    are generated.
    """
    shown = evaluator.config.rationale_prompt == "given_label"
    wrong = [i for i, row in enumerate(found) if shown and row.label != row.gold_label]
    texts = {i: row.rationale for i, row in enumerate(found)}
    if wrong:
        gold = [found[i].gold_label or "" for i in wrong]
        texts |= zip(wrong, evaluator.rationales(rows.select(wrong), gold), strict=True)
    return [row.model_copy(update={"given_gold": texts[i]}) for i, row in enumerate(found)]


def with_swapped(
    evaluator: Evaluator, rows: Dataset, found: Sequence[Prediction]
) -> list[Prediction]:
    """Return the predictions with a rationale written for another label than the predicted one.

    That is another option of a row that brings its own; open labels have no other one.
    """
    if not evaluator.table.tokens.kind.closed:
        return list(found)
    labels = evaluator.table.tokens.labels
    given = [swapped_labels(row.label or "", row.options or labels) for row in found]
    texts = evaluator.rationales(rows, given)
    return [
        row.model_copy(update={"swapped": {label: text}})
        for row, label, text in zip(found, given, texts, strict=True)
    ]


def load_evaluator(model_dir: Path, prepared_dir: Path, config: TrainConfig) -> Evaluator:
    """Return an evaluator of stored weights over a prepared folder's tokenizer and labels."""
    import torch
    from transformers.utils import logging as transformers_logging

    from r2d_ray.data.prepare import open_prepared
    from r2d_ray.method.labels import prompt_table
    from r2d_ray.model.t5 import load_model

    transformers_logging.disable_progress_bar()
    prepared = open_prepared(prepared_dir)
    device = torch.device("cuda" if config.gpus_per_worker > 0 else "cpu")
    model = load_model(config, prepared.tokenizer, model_dir)
    torch.nn.Module.to(model, device)
    table = prompt_table(prepared.tokenizer, prepared.label_tokens, device)
    return Evaluator(model, prepared.tokenizer, table, config)


def read_arms(
    model_dir: Path, prepared_dir: Path, values: dict[str, Any], dataset: str, files: Sequence[Path]
) -> list[dict[str, Any]]:
    """Read every arm's rationales with the independent reader and, where there is one, exactly.

    Args:
        model_dir: The reader's weights.
        prepared_dir: The reader's prepared data.
        values: The reader's config.
        dataset: Names the set that may have an exact reader.
        files: Prediction files; the verdicts are added to their statistics.

    Returns:
        Scores by file; empty where an arm wrote no rationales. Beside an arm's scores stand those
        of the readers themselves (`control_scores`) and `reader_train_rows`, the rationales that
        the reader was trained on.
    """
    from r2d_ray.data.prepare import open_prepared

    evaluator = load_evaluator(model_dir, prepared_dir, TrainConfig.model_validate(values))
    train_rows = len(open_prepared(prepared_dir).tables["train"])
    labels = evaluator.table.tokens.labels
    readers = {"reader": masked(partial(read_texts, evaluator))}
    exact = exact_reader(dataset)
    if exact is not None:
        readers["parser"] = exact
    found_scores: list[dict[str, Any]] = []
    for file in files:
        found = list(read_jsonl(file, Prediction))
        scores: dict[str, Any] = {}
        if any(row.rationale is not None for row in found):
            for name, reader in readers.items():
                read = read_rows(found, reader, labels)
                scores |= verdict_scores(found, read, name)
                found = merge_statistics(found, verdict_statistics(found, read, labels, name))
                scores |= control_scores(found, reader, labels, name)
            scores["reader_train_rows"] = train_rows
            write_jsonl(file, found)
        found_scores.append(scores)
    return found_scores
