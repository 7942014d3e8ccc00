"""Writes examples/notes.csv: sixty made-up notes from templates, the same at every run.

Nobody's record is in it. A note says how long a complaint has lasted and one sign; the sign alone
decides whether the caller is seen today, and the rationale names it.
"""

from __future__ import annotations

import csv
from pathlib import Path

QUESTION = "Should this caller be seen today?"
COMPLAINTS = (
    ("cough", ("the caller pants when walking to the door", "the caller breathes easily")),
    ("headache", ("the neck is stiff", "the neck moves freely")),
    ("stomach ache", ("the belly is hard to the touch", "the belly is soft")),
    ("sore throat", ("the caller cannot swallow water", "the caller drinks without trouble")),
    ("back pain", ("one leg has gone numb", "both legs feel as ever")),
    ("rash", ("the spots do not fade under a glass", "the spots fade under a glass")),
)
SINCE = ("since last night", "for two days", "for three days", "for four days", "for a week")
COLUMNS = ("question", "context", "label", "rationale", "group")


def rows() -> list[dict[str, str]]:
    """Return the notes: six complaints, five durations, a sign that is there and one that is not.

    Notes with the same complaint and duration differ in the sign only: they are one group, which
    never falls apart over training and test rows.
    """
    found = []
    for complaint, signs in COMPLAINTS:
        for since in SINCE:
            for sign, label in zip(signs, ("today", "later"), strict=True):
                why = "That cannot wait." if label == "today" else "That can wait."
                context = f"Caller has had a {complaint} {since}. Asked further: {sign}."
                values = (
                    QUESTION,
                    context,
                    label,
                    f"{sign.capitalize()}. {why}",
                    f"{complaint} {since}",
                )
                found.append(dict(zip(COLUMNS, values, strict=True)))
    return found


def write(path: Path) -> None:
    """Write the table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows())


if __name__ == "__main__":
    write(Path(__file__).with_name("notes.csv"))
