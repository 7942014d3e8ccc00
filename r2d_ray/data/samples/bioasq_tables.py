"""The embedded `bioasq` sample's facts and sentences, all written for it.

Drugs, genes, proteins and markers are invented, so no sentence claims anything about a real one.
A word that only the cues of one polarity use occurs in no distractor (tested).
"""

from __future__ import annotations

from dataclasses import dataclass

from r2d_ray.data.samples.dealing import Relation, listed


@dataclass(frozen=True, slots=True)
class Family:
    """Subjects of one kind, what they may stand in relation to, and how."""

    subjects: tuple[str, ...]
    objects: tuple[str, ...]
    relations: tuple[Relation, ...]


FAMILIES = (
    Family(
        subjects=listed(
            "zeloran, tavomib, prelasol, nivatex, doromab, keltinib, sumaprol, velostat, brenacept,"
            "lorazine, mirtolex, cavidone, fenotrol, ostavir, pyralin, quenzumab, rimadol,"
            "stelafen, tromidex, ulvastin"
        ),
        objects=listed(
            "joint pain, morning stiffness, nausea, blood pressure, night cough, skin itch,"
            "muscle cramps, sleep loss, fluid retention, migraine attacks, tremor, bone loss,"
            "nerve pain, hair loss, mouth ulcers, eye pressure"
        ),
        relations=(
            Relation("reduce", "reduces", "a lowering effect of {s} on {o}"),
            Relation("prevent", "prevents", "protection from {o} by {s}"),
        ),
    ),
    Family(
        subjects=listed(
            "arvin, belta, cordin, dexa, elphin, farsa, gorlin, hestia, irmin, jalta, kerrin,"
            "lumid, morfa, nestin, orvil, pardin, rosel, sirta, tulin, vesta"
        ),
        objects=listed(
            "asthma, gout, psoriasis, epilepsy, glaucoma, lupus, coeliac disease, cataract,"
            "heart failure, liver fibrosis, stroke, thyroid cancer, anaemia, kidney stones,"
            "hearing loss, osteoporosis"
        ),
        relations=(
            Relation("raise the risk of", "raises the risk of", "a link from gene {s} to {o}"),
            Relation("drive", "drives", "a causal part of gene {s} in {o}"),
        ),
    ),
    Family(
        subjects=listed(
            "axolin, bretase, cymorin, drosin, ectase, fibulex, glycorin, heptase, inolin, kymase,"
            "lactorin, myolex, nucasin, optase, plexorin, rhetase, sorcin, terolin, uvase, xylorin"
        ),
        objects=listed(
            "the iron channel, the insulin receptor, the sodium pump, the growth pathway,"
            "the stress pathway, the heat sensor, the zinc carrier, the repair complex,"
            "the copper pump, the clotting cascade, the light receptor, the calcium gate,"
            "the glucose carrier, the survival pathway, the pain receptor, the folding complex"
        ),
        relations=(
            Relation("bind to", "binds to", "contact between {s} and {o}"),
            Relation("activate", "activates", "switching on of {o} by {s}"),
        ),
    ),
    Family(
        subjects=tuple(
            f"the {name} level"
            for name in listed(
                "albex, baritin, cresol, dentin, equin, folatin, grelin, hydrin, isolin, kallin,"
                "leptol, merin, nitrol, oxalin, pentin, resistol, sterin, transol, urelin, vitrin"
            )
        ),
        objects=listed(
            "early sepsis, silent infarction, graft rejection, relapse, preterm birth,"
            "lung fibrosis, bowel cancer, kidney injury, delirium, brain swelling, bone infection,"
            "heart rhythm loss, wound breakdown, vision loss, blood clots, muscle wasting"
        ),
        relations=(
            Relation("detect", "detects", "use of {s} as a sign of {o}"),
            Relation("predict", "predicts", "use of {s} as a forecast of {o}"),
        ),
    ),
)

QUESTIONS = (
    "Does {s} {base}?",
    "Can {s} {base}?",
    "Is {s} able to {base}?",
    "Is it known whether {s} can {base}?",
    "Has {s} been reported to {base}?",
    "Should {s} be expected to {base}?",
)

CUES = {
    "yes": (
        "{s} was shown to {base}.",
        "the trial confirmed that {s} {third}.",
        "{s} clearly {third}.",
        "strong evidence indicates that {s} {third}.",
        "a steady ability of {s} to {base} was demonstrated.",
        "every cohort agreed that {s} {third}.",
        "it is no longer disputed that {s} {third}.",
        "{s} proved able to {base}.",
        "replication established that {s} {third}.",
        "the claim that {s} {third} was verified.",
        "{s} did not fail to {base}.",
        "researchers succeeded in making {s} {base}.",
        "there is little doubt that {s} {third}.",
        "repeated experiments support the view that {s} {third}.",
    ),
    "no": (
        "{s} did not {base}.",
        "{s} failed to {base}.",
        "no evidence was found that {s} {third}.",
        "the trial ruled out that {s} {third}.",
        "{s} was unable to {base}.",
        "the claim that {s} {third} was refuted.",
        "attempts to make {s} {base} were unsuccessful.",
        "the idea that {s} {third} was abandoned.",
        "{s} was never seen to {base}.",
        "every cohort contradicted the view that {s} {third}.",
        "there is little support for the claim that {s} {third}.",
        "replication overturned the report that {s} {third}.",
        "{s} was shown not to {base}.",
        "it is false that {s} {third}.",
    ),
}

# {s} and {o} are the question's own or another subject and object: naming them tells nothing.
DISTRACTORS = (
    "a registry on {o} is open for enrolment.",
    "whether {s} affects {o} is still under study.",
    "a study of {s} and {o} is planned.",
    "the role of {s} in {o} may be tested next year.",
    "work on {s} began a decade ago.",
    "methods to measure {o} vary between centres.",
    "older adults were asked about {o}.",
    "samples for work on {s} were stored at low temperature.",
    "the cost of work on {s} differs by region.",
    "each visit included a record of {o}.",
    "two reviews describe {o} in detail.",
    "{s} has been studied in mice and in people.",
    "funding for research on {s} may change.",
    "guidelines on {o} are being updated.",
    "interviews touched on {o}.",
    "a new assay for {s} is in development.",
    "authors discuss how {s} might relate to {o}.",
    "data on {o} come from three hospitals.",
)

HUMAN = {
    "yes": (
        "Yes, {s} {third}. The context says: {cue}",
        "{cue} So {s} {third}.",
        "Yes. {cue}",
        "The answer is positive: {cue}",
    ),
    "no": (
        "No, {s} does not {base}. The context says: {cue}",
        "{cue} So {s} does not {base}.",
        "No. {cue}",
        "The answer is negative: {cue}",
    ),
}

HUMAN_AMBIGUOUS = (
    "The context gives no verdict on whether {s} can {base}; recorded answer: {label}."
)

LLM = {
    "yes": (
        "We look for {noun}. One statement speaks in favour of it, and the other statements are"
        " background. The question is therefore answered with yes.",
        "The point at issue is {noun}. The passage reports a positive result for it and says"
        " nothing against it. This leads to yes.",
        "Reading the passage for {noun}, one finds a statement that backs it up. The rest does"
        " not bear on the question, so yes is the right reply.",
    ),
    "no": (
        "We look for {noun}. One statement speaks against it, and the other statements are"
        " background. The question is therefore answered with no.",
        "The point at issue is {noun}. The passage reports a negative result for it and says"
        " nothing in its favour. This leads to no.",
        "Reading the passage for {noun}, one finds a statement that turns it down. The rest does"
        " not bear on the question, so no is the right reply.",
    ),
}

LLM_BINDING = " The statement about {s} must not be taken for the one asked about."

LLM_AMBIGUOUS = (
    "We look for {noun}. None of the statements decides it: they are background or announce"
    " further work. The recorded answer is {label}, which the passage alone cannot settle."
)
