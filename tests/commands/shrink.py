"""A command's words as they are run: by module, with this machine's values, at the small size."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import budget
from budget import Rule

ROOT = Path(__file__).parents[2]


def by_module(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words with a console name `r2d-x` as the `python -m` that it stands for.

    Raises:
        ValueError: for a console name that the package does not install.
    """
    first, *rest = words
    if not first.startswith("r2d-"):
        return (budget.SAME_WORD.get(first, first), *rest)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = project.get("scripts", {})
    if first not in names:
        raise ValueError(f"{first} is no console name of pyproject.toml")
    return ("python", "-m", names[first].partition(":")[0], *rest)


def rule_of(words: Sequence[str]) -> Rule:
    """Return the rule of a command, the one of most words.

    Raises:
        ValueError: saying what to add where there is none.
    """
    line = " ".join(words)
    fits = [
        rule
        for rule in budget.RULES
        if f"{line} ".startswith(f"{rule.words} ")
        or (rule.words.endswith(".") and line.startswith(rule.words))
    ]
    if not fits:
        raise ValueError(
            f"`{line}` is in no rule: add one to tests/commands/budget.py, or call the block `text`"
        )
    return max(fits, key=lambda rule: len(rule.words))


def for_this_machine(words: Sequence[str], rule: Rule) -> list[str]:
    """Return the words with `...` filled in and a machine's values changed into this one's.

    Raises:
        ValueError: for `...` where the table has nothing for it.
    """
    filled: list[str] = []
    for word in words:
        if word in ("...", "…"):
            if rule.quick != "plan":
                raise ValueError(f"`{word}`: only commands that take a data set may have it")
            filled += budget.DOTS
        elif "..." in word or "…" in word:
            raise ValueError(f"`{word}`: write a name that the command could be given")
        else:
            filled.append(word)
    if rule.quick != "plan":
        return filled
    model = flag_values(filled, "--model")
    from_hub = bool(model) and not model[0].startswith(("scratch-", "studies/", "./", "{"))
    table = dict(budget.HERE)
    if from_hub:
        table |= {"--model": (budget.NO_HUB_MODEL,), "--model-revision": ()}
    if any(value.startswith("hub:") for value in flag_values(filled, "--dataset")):
        table |= {"--dataset": (budget.NO_HUB_DATA,)}
    return replaced(filled, table)


def small(words: Sequence[str], rule: Rule) -> list[str]:
    """Return the words of a run of seconds."""
    if rule.quick != "plan":
        return [*words, *rule.more]
    grids = [f"{budget.SMALL_GRIDS}{Path(x).stem}.yaml" for x in flag_values(words, "--grid")]
    shown = replaced(words, {**budget.SMALL, **({"--grid": grids} if grids else {})})
    for place, word in enumerate(shown):
        name, _, _ = word.partition("=")
        if shown[place - 1] == "--set" and name in budget.SMALL_SETTINGS:
            shown[place] = f"{name}={budget.SMALL_SETTINGS[name]}"
    return [*shown, *rule.more]


def replaced(words: Sequence[str], table: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the words with the values of the table's flags replaced; no values: no flag."""
    done: list[str] = []
    skipping = False
    for word in words:
        flag, equals, _ = word.partition("=")
        if word.startswith("--") and flag.replace("_", "-") in table:
            values = table[flag.replace("_", "-")]
            done += [flag, *values] if values else []
            skipping = not equals
        elif not skipping or word.startswith("--"):
            skipping = False
            done.append(word)
    return done


def flag_values(words: Sequence[str], name: str) -> list[str]:
    """Return the words that follow a flag, up to the next one."""
    values: list[str] = []
    reading = False
    for word in words:
        flag, equals, value = word.partition("=")
        if word.startswith("--"):
            reading = flag.replace("_", "-") == name
            values += [value] if reading and equals else []
        elif reading:
            values.append(word)
    return values
