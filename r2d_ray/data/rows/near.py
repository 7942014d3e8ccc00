"""Texts that share most of their pairs of words, found by min-hashing in linear time.

A text's sketch has, for each of `BANDS` x `HASHES` hash functions, the least hash of its pairs of
words: two sketches agree in a place as probably as the texts' pairs overlap (Broder 1997). Texts
that agree in a whole band are compared: at an overlap of 0.8, 98 of 100 are found.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import chain, pairwise

import numpy as np

LIKE = 0.8
"""Share of the pairs of words of two texts, common ones of all, from which they hardly differ."""

BANDS, HASHES = 8, 4
BLOCK = 2000
"""Texts that are hashed at once: their pairs of words fit a processor's cache."""

WORTH = 0.6
"""Share of two sketches that agrees from which the texts themselves are compared."""

_random = np.random.default_rng(1997)  # the same sketches in every process
_FACTORS = _random.integers(0, 2**31, BANDS * HASHES, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
_ADDED = _random.integers(0, 2**32, BANDS * HASHES, dtype=np.uint32)
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_NONE = np.uint32(2**32 - 1)


class _Numbers(dict[str, int]):
    def __missing__(self, word: str) -> int:
        self[word] = number = zlib.crc32(word.encode())
        return number


class Sketches:
    """The sketches of some texts of a split, with the places of their rows."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self._texts: list[str] = []
        self._blocks: list[np.ndarray] = []
        self._numbers = _Numbers()

    def add(self, place: int, text: str) -> None:
        """Add a normalised text; one of fewer than three words is no text to compare."""
        if text.count(" ") < 2:
            return
        self.places.append(place)
        self._texts.append(text)
        if len(self._texts) == BLOCK:
            self._hash()

    def _hash(self) -> None:
        words = [[self._numbers[word] for word in text.split()] for text in self._texts]
        self._texts = []
        self._blocks.append(_sketches(words))

    def table(self) -> np.ndarray:
        """Return the sketches, an array (texts, `BANDS` x `HASHES`) of uint32."""
        if self._texts:
            self._hash()
        empty = np.zeros((0, BANDS * HASHES), dtype=np.uint32)
        self._blocks = [np.concatenate([empty, *self._blocks])]
        return self._blocks[0]


def _sketches(texts: list[list[int]]) -> np.ndarray:
    counts = np.array([len(words) for words in texts])
    numbers = np.fromiter(chain.from_iterable(texts), np.uint64, counts.sum())
    starts, ends = np.cumsum(counts) - counts, np.cumsum(counts)
    pairs = numbers * _FIRST
    pairs[:-1] ^= numbers[1:] * _SECOND
    short = (pairs >> np.uint64(32)).astype(np.uint32)  # a processor multiplies eight at once
    found = np.empty((len(texts), BANDS * HASHES), dtype=np.uint32)
    for place, (factor, added) in enumerate(zip(_FACTORS, _ADDED, strict=True)):
        hashes = short * factor + added
        hashes[ends - 1] = _NONE  # the last word of a text begins no pair
        found[:, place] = np.minimum.reduceat(hashes, starts)
    return found


def nearest(earlier: Sketches, later: Sketches) -> Iterator[tuple[int, int]]:
    """Yield the row of each text of `later` that may be near one of `earlier`, and that row."""
    known, asked = earlier.table(), later.table()
    if not len(known) or not len(asked):
        return
    best = np.zeros(len(asked), dtype=int)
    agreed = np.zeros(len(asked))
    for band in range(BANDS):
        columns = slice(band * HASHES, (band + 1) * HASHES)
        keys, wanted = _keys(known[:, columns]), _keys(asked[:, columns])
        order = np.argsort(keys, kind="stable")
        at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
        found = order[at]
        shares = np.where(keys[found] == wanted, (known[found] == asked).mean(axis=1), 0.0)
        better = shares > agreed
        best[better], agreed[better] = found[better], shares[better]
    for place in np.flatnonzero(agreed >= WORTH):
        yield later.places[place], earlier.places[best[place]]


def _keys(band: np.ndarray) -> np.ndarray:
    keys = np.zeros(len(band), dtype=np.uint64)
    for column in range(HASHES):
        keys = (keys ^ band[:, column]) * _FIRST
        keys ^= keys >> np.uint64(29)
    return keys


def likeness(text: str, other: str) -> float:
    """Return the share of two texts' pairs of words that both have, from 0 to 1."""
    one, two = (set(pairwise(w)) for w in (text.split(), other.split()))
    return len(one & two) / max(1, len(one | two))
