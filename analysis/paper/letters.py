"""What pdfLaTeX can set: any text as itself, and what must be written out said in words.

Latin letters, Greek and common signs are set as they are (T1 and TS1 fonts); Cyrillic is
transliterated; whatever else has no letter there (emoji, other scripts) stands by its Unicode name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LETTERS = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿĀāĂăĄąĆćĈĉĊċČčĎďĐđĒēĔĕĖėĘęĚěĜĝĞğ"
    "ĠġĢģĤĥĨĩĪīĬĭĮįİıĴĵĶķĹĺĻļĽľŁłŃńŅņŇňŊŋŌōŎŏŐőŒœŔŕŖŗŘřŚśŜŝŞşŠšŢţŤťŨũŪūŬŭŮůŰűŲųŴŵŶŷŸŹźŻżŽžȘșȚț"
    "¡¿§©®°µ¶·«»£¥€¢‰–—‘’“”„†‡•"
)
"""Letters and signs beside ASCII that T1 and TS1 have. Source: t1enc.dfu, ts1enc.dfu of LaTeX."""

_GREEK = (
    r"\alpha \beta \gamma \delta \varepsilon \zeta \eta \theta \iota \kappa \lambda \mu \nu "
    r"\xi \pi \rho \sigma \tau \upsilon \varphi \chi \psi \omega \Gamma \Delta \Theta \Lambda \Xi "
    r"\Pi \Sigma \Phi \Psi \Omega"
)
MATHS = {
    **dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", _GREEK.split(), strict=True)),
    **{"≤": r"\le", "≥": r"\ge", "≠": r"\ne", "≈": r"\approx", "∞": r"\infty", "−": "-"},
    **{"⁄": "/", "±": r"\pm", "×": r"\times", "÷": r"\div", "→": r"\to", "←": r"\leftarrow"},
}
"""Signs that are set in mathematics."""

_LATIN = "a b v g d e yo zh z i j k l m n o p r s t u f kh ts ch sh shch ' y ' e yu ya"
CYRILLIC = dict(zip("абвгдеёжзийклмнопрстуфхцчшщъыьэюя", _LATIN.split(), strict=True))
"""Letters that are transliterated."""

ESCAPES = {
    **{c: f"\\{c}" for c in "{}$&#_%"},
    **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"[": "{[}", "]": "{]}", "*": "{*}"},  # after a row's end they would be its arguments
}
LIGATURE = re.compile(r"([-,'`])(?=\1)|[?!](?=`)")
"""Pairs that LaTeX would set as one sign."""


def plain(text: str) -> str:
    """Return the text in letters that LaTeX has, on one line, without signs that nobody sees."""
    return "".join(_written(c) for c in unicodedata.normalize("NFC", " ".join(text.split())))


def written_out(texts: Iterable[str]) -> dict[str, str]:
    """Return what stands for each sign of these texts that LaTeX does not have."""
    signs = sorted({c for text in texts for c in unicodedata.normalize("NFC", text)})
    return {c: _written(c) for c in signs if not c.isspace() and _written(c) != c}


def said(signs: dict[str, str]) -> str:
    """Return in words, of letters that LaTeX has, what stands for what."""
    parts = [f"U+{ord(c):04X} as {words.strip() or 'nothing'}" for c, words in signs.items()]
    return f"written out: {', '.join(parts)}" if parts else ""


def _written(char: str) -> str:
    if " " <= char <= "~" or char in LETTERS or char in MATHS:
        return char
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Me", "Mc"):
        return ""
    if char.lower() in CYRILLIC:
        latin = CYRILLIC[char.lower()]
        return latin if char.islower() else latin.capitalize()
    parts = [c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c)]
    if parts != [char]:
        return "".join(map(_written, parts))
    name = unicodedata.name(char, "")
    if not name or "IDEOGRAPH" in name or "SYLLABLE" in name:
        return f"(U+{ord(char):04X})"
    return f"({name.lower()})"


def tex(text: str) -> str:
    """Return any text as LaTeX that sets it: no command, no error, no sign lost unsaid."""
    escaped = LIGATURE.sub(lambda pair: f"{pair[0]}\0", plain(text))
    return "".join("{}" if c == "\0" else _tex(c) for c in escaped)


def _tex(char: str) -> str:
    if char in MATHS and char not in LETTERS:
        return f"${MATHS[char]}$"
    return ESCAPES.get(char, char)
