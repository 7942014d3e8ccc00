"""How wide a text is in print: Latin Modern Roman at 8 points, the letters of the tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from analysis.paper.letters import plain

_WIDTHS = {
    2.36: " !',.:;[]`il|",
    2.60: "fj",
    3.06: "I",
    3.31: '-"()rt',
    3.35: "s",
    3.78: "cez",
    4.25: "?$*/0123456789ago{}",
    4.49: "^~kqvxyJ",
    4.72: "Sbdhnpu",
    5.31: "ZL",
    5.78: "FEP",
    6.14: "BCTw",
    6.37: "RAHNUVXY_",
    6.61: "DKG&+<=>@OQ",
    7.08: "#%m",
    7.78: "M",
    8.73: "W",
}
WIDTH = {char: points for points, chars in _WIDTHS.items() for char in chars}
"""Points of each letter. Source: lmr8 as `\\footnotesize` of a 10-point article sets it."""

WIDEST = 8.0  # for a sign that is not in the table
SPARE = 1.01  # kerning makes words narrower, never by much wider
LINE = 9.5  # points from one line to the next


def width(text: str) -> float:
    """Return the points that a text takes on one line."""
    letters = unicodedata.normalize("NFD", plain(text))
    return SPARE * sum(0.0 if unicodedata.combining(c) else WIDTH.get(c, WIDEST) for c in letters)


def lines(text: str, room: float) -> list[str]:
    """Return the words of a text on lines of so many points; longer words have their own."""
    found: list[str] = []
    for word in text.split():
        if found and width(f"{found[-1]} {word}") <= room:
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found or [""]


def pieces(word: str, room: float) -> Iterator[str]:
    """Yield the parts of a word that fit lines of so many points, cut after signs if there are."""
    while width(word) > room and len(word) > 1:
        fits = next((n for n in range(len(word) - 1, 1, -1) if width(word[:n]) <= room), 1)
        signs = [n for n in range(2, fits + 1) if not word[n - 1].isalnum()]
        cut = signs[-1] if signs and signs[-1] > fits / 2 else fits
        yield word[:cut]
        word = word[cut:]
    yield word
