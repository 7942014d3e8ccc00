"""A training row as the model sees it: every prompt with its target, decoded from their ids."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from r2d_ray.config import TrainConfig
from r2d_ray.data.encode import row_labels, set_tokens, tabulate
from r2d_ray.data.examples import Example, Splits, pick_source
from r2d_ray.data.lengths import plan_tokenizer
from r2d_ray.method.prompts import EXPLAIN_PREFIX, PREDICT_PREFIX
from r2d_ray.method.tokens import encode
from r2d_ray.storage import counted


def shown_row(splits: Splits, config: TrainConfig) -> list[str]:
    """Return the prompts of the first training row that has a rationale, a line each and targets.

    The prompts are those of the stages that the config trains; the last shows the gold label.
    """
    tokenizer = plan_tokenizer(splits, config)
    sources = {
        "rationale": pick_source(splits, config.rationale_source),
        "stage1_rationale": pick_source(splits, config.stage1_source),
    }
    wanted = sources["rationale"]
    explained = (row for row in splits.train if row.rationales.get(wanted or ""))
    row = next(explained, splits.train[0])
    every = [one for _, rows in splits.items() for one in rows]
    tokens = set_tokens(tokenizer, splits.labels, every, config)
    [table] = tabulate([row], tokens, tokenizer, config, sources)
    [label] = row_labels([row], tokenizer, tokens, config.max_label_length)
    known = label.own if tokens.kind.by_row else tokens
    explain = encode(tokenizer, EXPLAIN_PREFIX)
    given = explain if config.rationale_prompt == "plain" else known.explain_prefixes[label.place]
    kinds: list[tuple[str, Sequence[int], Sequence[int]]] = [
        ("stage 2, label", encode(tokenizer, PREDICT_PREFIX), known.targets[label.place])
    ]
    if config.stage1_max_steps:
        kinds.insert(0, ("stage 1, rationale", explain, table["stage1_rationale_ids"]))
    if config.trains_rationales:
        kinds.append(("stage 2, rationale", given, table["rationale_ids"]))
    lines = [f"training row {row.id}: {_cut(row, table)}"]
    for kind, prefix, target in kinds:
        prompt = [*prefix, *table["body_ids"], tokenizer.eos_token_id]
        lines.append(f"  {kind}, {counted(len(prompt), 'token')}: {_text(tokenizer, prompt)}")
        lines.append(
            f"    target, {counted(len(target), 'token')}: {_text(tokenizer, target) or 'none'}"
        )
    return lines


def _cut(row: Example, table: dict[str, int]) -> str:
    question = table["question_cut_tokens"]
    context = table["cut_tokens"] - question
    if not question and not context:
        return "nothing is cut"
    return f"cut: {counted(context, 'token')} of the context, {question} of the question"


def _text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False))
