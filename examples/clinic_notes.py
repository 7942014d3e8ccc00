"""Writes synthetic triage notes as a clinic would export them; nobody's record is in them.

python examples/clinic_notes.py notes.csv --rows 600 --seed 1

A caller has a complaint and one finding; the finding decides how urgent the call is, and the vital
signs lean the same way. Worse findings are named as absent, three sites write in styles of their
own, and one label in twenty is off by one step. Made up from templates; no medical advice.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

COLUMNS = ("id", "patient", "note", "triage", "reason", "site", "split")
SHARES = {"emergency": 0.10, "urgent": 0.22, "routine": 0.33, "self-care": 0.35}
ACTIONS = {
    "emergency": ("An ambulance is needed now.", "This cannot wait: sent to the emergency room."),
    "urgent": ("To be seen the same day.", "A doctor should look at this today."),
    "routine": ("An appointment this week is enough.", "Booked for the next free appointment."),
    "self-care": ("Advice for care at home was given.", "No visit is needed unless it gets worse."),
}
LABEL_NOISE = 0.05
SPLITS = {"train": 0.70, "validation": 0.15, "test": 0.15}
SITES = {"north": 0.45, "south": 0.35, "harbour": 0.20}
LEAST_ROWS = 100

# complaint: for emergency, urgent, routine and self-care two findings with what they may mean.
COMPLAINTS = {
    "chest pain": (
        ("crushing pain into the left arm", "may be a heart attack"),
        ("cold sweat with tightness of the chest", "points to the heart"),
        ("sharp pain with each deep breath", "may come from the lung"),
        ("pain that returns on climbing stairs", "may be new angina"),
        ("burning after meals", "is likely to be reflux"),
        ("soreness of the ribs for weeks", "should be examined, without hurry"),
        ("muscle ache after lifting boxes", "fits a strain"),
        ("a brief stitch that has gone", "is harmless"),
    ),
    "headache": (
        ("a thunderclap onset within seconds", "may be a bleed in the brain"),
        ("weakness of one arm with slurred words", "may be a stroke"),
        ("stiff neck with fever", "could be meningitis that is beginning"),
        ("blurred sight in one eye", "may be a raised pressure"),
        ("weekly attacks with nausea", "fit migraine and deserve a plan"),
        ("daily tablets without relief", "may be the cause themselves"),
        ("a tight band after screen work", "fits tension"),
        ("a hangover since this morning", "passes by itself"),
    ),
    "cough": (
        ("blue lips and single-word answers", "mean too little oxygen"),
        ("a mouthful of fresh blood", "may be a bleed in the lung"),
        ("rusty sputum with shaking chills", "may be pneumonia"),
        ("wheeze in spite of the inhaler", "is asthma out of control"),
        ("night sweats for a month", "call for an x-ray and tests"),
        ("a tickle since the new blood pressure pill", "may be a side effect"),
        ("a runny nose with clear mucus", "fits a cold"),
        ("hoarseness after a choir weekend", "needs rest of the voice"),
    ),
    "stomach pain": (
        ("a belly as hard as a board", "may be a perforation"),
        ("black stool with fainting", "may be a bleed of the gut"),
        ("pain that moved to the lower right side", "may be appendicitis"),
        ("yellow eyes with dark urine", "may be a blocked bile duct"),
        ("bloating after milk", "may be an intolerance"),
        ("a change of bowel habit for six weeks", "should be looked into"),
        ("loose stool after a buffet", "fits a mild upset"),
        ("cramps as with every period", "are known and controlled"),
    ),
    "fever": (
        ("a rash that does not fade under a glass", "may be a blood infection"),
        ("confusion with cold mottled skin", "may be sepsis"),
        ("chemotherapy last week", "leaves few defences"),
        ("burning urine with flank pain", "may be a kidney infection"),
        ("return from the tropics last month", "should be tested"),
        ("evening temperatures for three weeks", "need blood tests"),
        ("a sore throat that is easing", "fits a virus"),
        ("a vaccination yesterday", "explains it"),
    ),
    "back pain": (
        ("numbness between the legs", "may be pressure on the spinal nerves"),
        ("tearing pain with a fall in pressure", "may be a torn vessel"),
        ("a foot that drags", "is a nerve under pressure"),
        ("pain after a fall from a ladder", "may be a fracture"),
        ("stiffness each morning for months", "may be inflammatory"),
        ("tingling to the calf at times", "should be examined"),
        ("an ache after gardening", "fits a strain"),
        ("tightness after a long drive", "eases with movement"),
    ),
    "skin rash": (
        ("swelling of the tongue", "is a severe allergic reaction"),
        ("peeling skin with blisters in the mouth", "may be a drug reaction"),
        ("redness that spreads by the hour", "may be an infection under the skin"),
        ("blisters close to the eye", "may be shingles that threatens sight"),
        ("scaly patches on both elbows", "may be psoriasis"),
        ("a mole with a new border", "should be seen by a specialist"),
        ("itchy spots after new detergent", "fit contact with an irritant"),
        ("insect bites on the ankles", "are not infected"),
    ),
    "ankle injury": (
        ("bone that shows through the skin", "is an open fracture"),
        ("a cold white foot without pulse", "means the blood supply is cut"),
        ("failure to take four steps", "may be a fracture"),
        ("a calf that is hot and swollen", "may be a clot"),
        ("giving way on stairs for months", "may be a loose ligament"),
        ("swelling each evening", "should be looked at"),
        ("a slight limp that is better today", "fits a mild sprain"),
        ("a bruise without swelling", "heals by itself"),
    ),
}
SINCE = (
    ("for twenty minutes", "for an hour", "since this morning"),
    ("since this morning", "since yesterday", "for two days"),
    ("for four days", "for two weeks", "for a month"),
    ("since yesterday", "for three days", "for a week"),
)
HISTORIES = (
    ("No earlier illnesses.", "nil"),
    ("Known asthma, uses an inhaler.", "asthma, inhaler"),
    ("Type 2 diabetes, takes metformin.", "T2DM, metformin"),
    ("High blood pressure, takes ramipril.", "HTN, ramipril"),
    ("Hip replaced four years ago.", "hip repl 4 y"),
    ("Smokes ten cigarettes a day.", "smoker 10/d"),
)
CLOSINGS = (
    "Lives alone and can be reached by phone.",
    "A partner is with the caller.",
    "The caller is worried and asks what to do.",
    "Called once before, last month, about something else.",
    "Ibuprofen was taken, with little effect.",
    "",
)
VITALS = ((118, 91, 27, 38.3), (98, 95, 21, 38.0), (83, 97, 17, 37.0), (77, 98, 15, 36.8))
"""Mean pulse, oxygen saturation, breaths a minute and temperature by urgency; they overlap."""


def vital_signs(level: int, draw: random.Random) -> tuple[int, int, int, float]:
    """Return pulse, saturation, breaths and temperature of a call of this urgency."""
    pulse, oxygen, breaths, heat = VITALS[level]
    return (
        round(draw.gauss(pulse, 11)),
        min(100, round(draw.gauss(oxygen, 1.5))),
        max(10, round(draw.gauss(breaths, 2.5))),
        round(draw.gauss(heat, 0.6), 1),
    )


def note_of(site: str, level: int, person: tuple[int, str], draw: random.Random) -> tuple[str, str]:
    """Return a note in the site's style, and the sentence that gives the reason."""
    complaint = draw.choice(list(COMPLAINTS))
    pairs = COMPLAINTS[complaint]
    finding, meaning = pairs[2 * level + draw.randrange(2)]
    worse = [pair[0] for pair in pairs[: 2 * level]]
    absent = draw.sample(worse, min(len(worse), draw.choice((0, 1, 1, 2))))
    since = draw.choice(SINCE[level if draw.random() < 0.8 else draw.randrange(4)])
    history, short_history = draw.choice(HISTORIES)
    pulse, oxygen, breaths, heat = vital_signs(level, draw)
    age, sex = person
    if site == "south":  # telegraphic
        negative = f" Neg: {', '.join(absent)}." if absent else ""
        note = (
            f"{age}{sex[0].upper()} c/o {complaint} {since}. Pos: {finding}.{negative} "
            f"HR {pulse}, SpO2 {oxygen}%, RR {breaths}, T {heat}. PMH: {short_history}. "
            f"{draw.choice(('Call back if worse.', 'Advised as per protocol, caller agrees.'))}"
        )
    elif site == "harbour":  # in parts; vital signs are often not taken
        denied = f" Asked for {' and '.join(absent)}: denied." if absent else ""
        taken = draw.random() < 0.5
        signs = f"pulse {pulse}, temperature {heat}" if taken else "not taken by phone"
        note = (
            f"Complaint: {complaint} {since}. Caller: {sex}, {age} years. {history} "
            f"Found: {finding}.{denied} Measured: {signs}. Plan: see disposition."
        )
    else:  # whole sentences
        denied = f" The caller denies {' and '.join(absent)}." if absent else ""
        note = (
            f"A {sex} patient of {age} calls about {complaint}, present {since}. Asked further, "
            f"the caller describes {finding}.{denied} Pulse {pulse}, oxygen {oxygen} percent, "
            f"{breaths} breaths a minute, temperature {heat}. {history} {draw.choice(CLOSINGS)}"
        )
    return " ".join(note.split()), f"{finding[0].upper()}{finding[1:]} {meaning}."


def spread(shares: dict[str, float], count: int) -> list[str]:
    """Return `count` names in these shares, rounded; the last name takes what is left."""
    names = [name for name, share in shares.items() for _ in range(round(share * count))]
    return (names + [list(shares)[-1]] * count)[:count]


def rows(count: int, seed: int) -> list[dict[str, str]]:
    """Return the notes of one to four calls a patient; a patient's notes are in one split."""
    draw = random.Random(seed)
    levels = [list(SHARES).index(name) for name in spread(SHARES, count)]
    draw.shuffle(levels)
    noisy = set(draw.sample(range(count), round(LABEL_NOISE * count)))
    owners: list[int] = []
    while len(owners) < count:
        owners += [len(set(owners))] * min(draw.choice((1, 1, 2, 3, 4)), count - len(owners))
    patients = max(owners) + 1
    persons = [(draw.randint(18, 91), draw.choice(("female", "male"))) for _ in range(patients)]
    sites, splits = spread(SITES, patients), spread(SPLITS, patients)
    draw.shuffle(sites)
    draw.shuffle(splits)
    draw.shuffle(owners)
    found = []
    for number, (owner, level) in enumerate(zip(owners, levels, strict=True)):
        note, because = note_of(sites[owner], level, persons[owner], draw)
        if number in noisy:  # whoever took the call chose the step beside it
            level += draw.choice([step for step in (-1, 1) if 0 <= level + step < len(SHARES)])
        triage = list(SHARES)[level]
        reason = f"{because} {draw.choice(ACTIONS[triage])}"
        place = (sites[owner], splits[owner])
        values = (f"T{number + 1:05d}", f"P{owner + 1:04d}", note, triage, reason, *place)
        found.append(dict(zip(COLUMNS, values, strict=True)))
    return found


def write(path: Path, count: int, seed: int) -> None:
    """Write the table as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows(count, seed))


def main() -> None:
    """Read the command line and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("output", type=Path, help="CSV file to write")
    parser.add_argument("--rows", type=int, default=600, help=f"notes, at least {LEAST_ROWS}")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.rows < LEAST_ROWS:
        parser.error(f"--rows {asked.rows}: expected at least {LEAST_ROWS}")
    write(asked.output, asked.rows, asked.seed)


if __name__ == "__main__":
    main()
