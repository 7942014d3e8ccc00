"""The embedded `pubmedqa` sample's facts and sentences, all written for it.

The claims are made up. A word that only the verdicts of one label use occurs in no distractor
(tested).
"""

from __future__ import annotations

from r2d_ray.data.samples.dealing import Relation, listed

EXPOSURES = listed(
    "early mobilisation, a low salt diet, light therapy, music at bedside, nurse phone follow-up,"
    "evening dosing, group education, a written care plan, home monitoring, warm irrigation,"
    "breathing exercise, a checklist, family visiting, a mobile app, short fasting,"
    "weekend admission, hand massage, pharmacist review, a standing desk, peer coaching"
)

OUTCOMES = listed(
    "length of stay, wound infection, readmission, pain scores, sleep quality,"
    "patient satisfaction, blood loss, muscle strength, treatment adherence, fall rates, anxiety,"
    "walking speed, vomiting, catheter use, weight gain, fatigue"
)

SETTINGS = listed(
    "after hip surgery, in older adults, in type 2 diabetes, after stroke, in heart failure,"
    "in preterm infants, after bowel resection, in chronic kidney disease, in intensive care,"
    "during pregnancy, in rural clinics, after breast surgery"
)

RELATIONS = (
    Relation("influence", "influences", "an influence of {s} on {o}"),
    Relation("predict", "predicts", "the use of {s} to foresee {o}"),
    Relation("change", "changes", "a change in {o} with {s}"),
    Relation("relate to", "relates to", "a relation between {s} and {o}"),
)

QUESTIONS = (
    "Does {s} {base} {in}?",
    "Can {s} {base} {in}?",
    "Is it so that {s} {third} {in}?",
    "{in}: does {s} {base}?",
    "{s} and {o} {in}: does the first {base}?",
)

BACKGROUND = (
    "care teams worry about {o} {in}.",
    "care teams discuss {s} {in}.",
    "{s} is used in many wards.",
    "we asked if {s} can {base} {in}.",
    "guidance on {s} {in} varies.",
    "records of {o} are routine {in}.",
)

METHODS = (
    "a cohort of {n} patients was followed for {m} months.",
    "{n} patients were randomised in two centres.",
    "charts of {n} patients were reviewed.",
    "a survey of {n} patients was carried out over {m} months.",
    "{n} patients were enrolled and {m} left early.",
    "we compared two arms of {n} patients each.",
)

# Results without a verdict.
DISTRACTORS = (
    "mean age was {n} years.",
    "{n} percent were women.",
    "median follow-up was {m} months.",
    "data on {o} were complete for {n} percent.",
    "nurses recorded {o} at baseline.",
    "{s} was started within {m} days.",
    "most patients lived at home.",
    "{n} percent had a previous admission.",
    "the cost of {s} was recorded for {m} months.",
    "staff rated {s} as easy to deliver.",
)

VERDICTS = {
    "yes": (
        "{s} significantly {third}.",
        "{s} was found to {base} in every model.",
        "a clear effect showed that {s} {third}.",
        "regression confirmed that {s} {third}.",
        "{s} did {base}, beyond chance.",
        "the hypothesis that {s} {third} was upheld.",
        "it was no coincidence that {s} {third}.",
        "the finding that {s} {third} was robust.",
        "{s} turned out to {base}.",
        "strong support emerged that {s} {third}.",
        "{s} independently {third}.",
        "the gain was not due to chance: {s} {third}.",
    ),
    "no": (
        "{s} did not {base}.",
        "{s} failed to {base} in any model.",
        "no effect was seen: {s} did not {base}.",
        "regression gave no sign that {s} {third}.",
        "{s} was unable to {base}.",
        "the hypothesis that {s} {third} was rejected.",
        "it was mere coincidence that {s} seemed to {base}.",
        "the finding that {s} {third} vanished.",
        "{s} never came to {base}.",
        "nothing emerged to suggest that {s} {third}.",
        "groups with and without {s} had equal {o}.",
        "the difference was due to chance: {s} did not {base}.",
    ),
    "maybe": (
        "results were mixed as to whether {s} {third}.",
        "{s} {third} only in some subgroups.",
        "it remained uncertain whether {s} {third}.",
        "models disagreed on whether {s} {third}.",
        "the trend that {s} {third} was borderline.",
        "evidence that {s} {third} was inconclusive.",
    ),
}

HUMAN = {
    "yes": (
        "{s} {third} {in}: {cue}",
        "Our results support {noun} {in}. {cue}",
        "We conclude that {s} {third} {in}, as {cue}",
    ),
    "no": (
        "{s} does not {base} {in}: {cue}",
        "Our results speak against {noun} {in}. {cue}",
        "We conclude that {s} does not {base} {in}, as {cue}",
    ),
    "maybe": (
        "whether {s} {third} {in} stays open: {cue}",
        "Our results leave {noun} {in} unsettled. {cue}",
        "We cannot conclude on {noun} {in}, as {cue}",
    ),
}

HUMAN_AMBIGUOUS = "the results state no verdict on {noun} {in}; recorded answer: {label}."

LLM = {
    "yes": (
        "The abstract tests {noun}. Its results report a positive finding, while the remaining"
        " figures describe the sample. The answer is yes.",
        "What matters is the sentence on {noun}. It affirms the relation {in}, and the other"
        " sentences only set the scene. That makes the answer yes.",
    ),
    "no": (
        "The abstract tests {noun}. Its results report a negative finding, while the remaining"
        " figures describe the sample. The answer is no.",
        "What matters is the sentence on {noun}. It denies the relation {in}, and the other"
        " sentences only set the scene. That makes the answer no.",
    ),
    "maybe": (
        "The abstract tests {noun}. Its results point both ways, while the remaining figures"
        " describe the sample. The answer is maybe.",
        "What matters is the sentence on {noun}. It neither affirms nor denies the relation {in},"
        " and the other sentences only set the scene. That makes the answer maybe.",
    ),
}

LLM_BINDING = " What is said of {s} concerns another question."

LLM_AMBIGUOUS = (
    "The question turns on {noun}, but the results describe the sample only. The"
    " recorded answer is {label}, which the abstract alone cannot settle."
)
