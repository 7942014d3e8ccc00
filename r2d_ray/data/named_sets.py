"""What is known of the named sets: licence, public copy, sample, and how to get them."""

from __future__ import annotations

from dataclasses import dataclass

NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class NamedSet:
    """What is known of a named set: licence, hub copy (name, configuration), how to get it."""

    licence: str
    how_to_get: str
    hub: tuple[str, str | None] | None = None
    has_sample: bool = False


NAMED_SETS = {
    "bioasq": NamedSet(
        "CC BY 2.5",
        "register at participants-area.bioasq.org and download the golden files of Task B",
        has_sample=True,
    ),
    "pubmedqa": NamedSet(
        "MIT",
        "download ori_pqal.json and test_ground_truth.json from github.com/pubmedqa/pubmedqa",
        ("qiaojin/PubMedQA", "pqa_labeled"),
        has_sample=True,
    ),
    "triage": NamedSet(
        NOT_STATED,
        "no public copy of such notes is known: write your own as a table with "
        "question, context, label, rationale.SOURCE",
        has_sample=True,
    ),
    "medmcqa": NamedSet(
        "MIT",
        "download train.json and dev.json from github.com/medmcqa/medmcqa",
        ("openlifescienceai/medmcqa", None),
    ),
    "medreason": NamedSet(
        NOT_STATED,
        "get MedReason from github.com/UCSC-VLAA/MedReason and write it as a table with "
        "question, choices, label, rationale",
    ),
    "ddxplus": NamedSet(
        "CC BY 4.0",
        "get DDXPlus from github.com/mila-iqia/ddxplus and write it as a table with "
        "question, context, label, rationale",
    ),
}
