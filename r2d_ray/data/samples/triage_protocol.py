"""The protocol of the embedded `triage` sample: facts, ordered rules, cases. Made up; not advice.

A call is a set of facts. The first rule all of whose parts hold decides. Rules ask for facts that
are there, never for facts that are not, so naming some of a call's facts, among them those of the
rule that fired, leads to the same rule: a rationale can be read back by applying the protocol.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from itertools import product

from r2d_ray.data.samples.dealing import listed

DISPOSITIONS = (
    "call ambulance",
    "emergency department",
    "doctor today",
    "visit this week",
    "home care",
)

COMPLAINTS = listed(
    "chest pain, headache, abdominal pain, back pain, cough, fever, vomiting, rash, sore throat,"
    "earache, ankle injury, hand cut, dizziness"
)
INFANT_COMPLAINTS = listed("cough, fever, vomiting, rash, earache, hand cut")
"""What someone may call about for an infant, who cannot tell where it hurts."""
SEVERITIES = ("mild", "moderate", "severe")
DURATIONS = ("under 4 days", "4 to 14 days", "over 2 weeks")
AGES = ("infant", "child", "adult", "older adult")

GENERAL_FLAGS = ("trouble breathing", "blue lips", "fainting", "one sided weakness")
"""Red flags that any complaint can come with."""
SPECIAL_FLAGS = {
    "headache": ("stiff neck",),
    "fever": ("stiff neck", "little urine"),
    "abdominal pain": ("passing blood",),
    "vomiting": ("passing blood", "little urine"),
    "rash": ("spreading redness",),
    "hand cut": ("spreading redness", "heavy bleeding"),
    "ankle injury": ("cannot stand",),
}
"""Red flags that only these complaints come with."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Fires when one fact of each part holds; `reason` says why it leads to its disposition."""

    parts: tuple[tuple[str, ...], ...]
    disposition: str
    reason: str

    def fired_by(self, facts: Collection[str]) -> tuple[str, ...] | None:
        """Return the first fact that holds of each part, or None where a part has none."""
        named = []
        for part in self.parts:
            holding = [fact for fact in part if fact in facts]
            if not holding:
                return None
            named.append(holding[0])
        return tuple(named)


_AMBULANCE, _EMERGENCY, _TODAY, _WEEK, _HOME = DISPOSITIONS

RULES = (
    Rule((("trouble breathing", "blue lips"),), _AMBULANCE, "air may not be getting in"),
    Rule((("fainting", "one sided weakness"),), _AMBULANCE, "the brain may be short of blood"),
    Rule((("chest pain",), ("severe",)), _AMBULANCE, "the heart may be in danger"),
    Rule((("hand cut",), ("heavy bleeding",)), _AMBULANCE, "too much blood may be lost"),
    Rule((("headache", "fever"), ("stiff neck",)), _EMERGENCY, "meningitis must be excluded"),
    Rule(
        (("abdominal pain", "vomiting"), ("passing blood",)),
        _EMERGENCY,
        "the bowel may be the source",
    ),
    Rule((("infant",), ("fever",)), _EMERGENCY, "so young a body fights infection poorly"),
    Rule(
        (("headache", "abdominal pain", "back pain", "ankle injury"), ("severe",)),
        _EMERGENCY,
        "imaging may be needed at once",
    ),
    Rule((("older adult",), ("chest pain",)), _EMERGENCY, "an infarction must be excluded"),
    Rule((("fever", "vomiting"), ("little urine",)), _TODAY, "fluids may be running low"),
    Rule((("rash", "hand cut"), ("spreading redness",)), _TODAY, "an infection may be growing"),
    Rule((("severe",),), _TODAY, "distress this strong needs an examination"),
    Rule((("ankle injury",), ("cannot stand",)), _TODAY, "a fracture is possible"),
    Rule((("chest pain",),), _TODAY, "the heart should be listened to"),
    Rule(
        (("older adult",), ("cough", "fever", "vomiting", "dizziness")),
        _TODAY,
        "reserves are small at this age",
    ),
    Rule((("infant",), ("moderate",)), _TODAY, "the very young worsen quickly"),
    Rule((("moderate",), ("4 to 14 days", "over 2 weeks")), _WEEK, "it has not settled by itself"),
    Rule((("over 2 weeks",),), _WEEK, "a cause should be looked for"),
    Rule((("older adult",), ("4 to 14 days",)), _WEEK, "recovery is slow at this age"),
    Rule((("mild", "moderate"), ("under 4 days",)), _HOME, "it is likely to pass with rest"),
    Rule((("mild",), ("4 to 14 days",)), _HOME, "it can be watched for a while"),
)


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """The facts of one call; `flags` are the red flags that are present."""

    complaint: str
    severity: str
    duration: str
    age: str
    flags: tuple[str, ...] = ()

    def facts(self) -> frozenset[str]:
        """Return all facts that hold."""
        return frozenset((self.complaint, self.severity, self.duration, self.age, *self.flags))


OPEN_FIELDS = ("severity", "duration", "age")
"""The fields that a note may leave out."""


def fired(facts: Collection[str]) -> tuple[Rule, tuple[str, ...]] | None:
    """Return the first rule that these facts fire and the facts that fired it."""
    for rule in RULES:
        named = rule.fired_by(facts)
        if named:
            return rule, named
    return None


@cache
def decide(case: Case) -> tuple[Rule, tuple[str, ...]]:
    """Return the rule that a full case fires (there always is one) and the facts that fired it."""
    result = fired(case.facts())
    assert result is not None
    return result


def all_cases() -> list[Case]:
    """Return every case with at most one red flag."""
    return [
        case
        for complaint in COMPLAINTS
        for flags in ((), *((flag,) for flag in flags_of(complaint)))
        for case in _cases(complaint, flags)
    ]


def flags_of(complaint: str) -> tuple[str, ...]:
    """Return the red flags that the complaint can come with."""
    return (*GENERAL_FLAGS, *SPECIAL_FLAGS.get(complaint, ()))


def _cases(
    complaint: str,
    flags: tuple[str, ...],
    severities: tuple[str, ...] = SEVERITIES,
    durations: tuple[str, ...] = DURATIONS,
    ages: tuple[str, ...] = AGES,
) -> list[Case]:
    return [
        Case(complaint, severity, duration, age, flags)
        for severity, duration, age in product(severities, durations, ages)
        if age != "infant" or complaint in INFANT_COMPLAINTS
    ]


def completions(case: Case, hidden: Collection[str]) -> list[Case]:
    """Return the cases that a note of this case may mean when it leaves the hidden fields out."""
    return _cases(
        case.complaint,
        case.flags,
        SEVERITIES if "severity" in hidden else (case.severity,),
        DURATIONS if "duration" in hidden else (case.duration,),
        AGES if "age" in hidden else (case.age,),
    )


def possible_dispositions(case: Case, hidden: Collection[str]) -> frozenset[str]:
    """Return every disposition that fits a note of this case without the hidden fields."""
    return frozenset(decide(other)[0].disposition for other in completions(case, hidden))
