"""Tone by classifier: is a headline good, neutral or bad news for the market?

A logistic regression on TF-IDF of words, pairs of words and parts of words, with the lexicon's own tone among its
features. ``tone_model.csv`` has its coefficients, one feature a line, and ``tone_model.json`` its intercepts, the hash of
the training data and its cross-validated figures. ``train_tone.py`` makes both. The arithmetic needs NumPy only.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

CLASSES = (-1, 0, 1)
NEUTRAL = 0.05  # a text that the classifier calls neutral has a tone within this of 0
TITLE_WEIGHT = 2 / 3  # of the title, against the summary; people judge an article by its title
READ_CHARS = 400  # of a title: the work on an article is bounded
SUMMARY_CHARS = 200  # of a summary, whose first sentence says what happened
PART_LENGTHS = (2, 3, 4, 5)  # letters of the parts of words
_NUMBER = re.compile(r"[$€£]?\d[\d,.]*")
_WORD = re.compile(r"\w[\w'-]*")
_LOUD = re.compile(r"([!?])[!?]*")
# Blocks of features; each is scaled to length 1 by itself.
WORDS, PARTS, LEXICON = "word", "part", "lexicon"


def tone_class(tone: float) -> int:
    """Return the class of a tone: -1, 0 or 1; within ``NEUTRAL`` of 0 it is 0."""
    return 0 if abs(tone) < NEUTRAL else 1 if tone > 0 else -1


def normalised(text: str) -> str:
    """Return the text as the classifier reads it: in lower case, one mark instead of many, each number as 0."""
    return _LOUD.sub(r"\1", _NUMBER.sub("0", text[:READ_CHARS].lower().replace("’", "'")))


def words_of(text: str) -> list[str]:
    """Return words and pairs of neighbours of a normalised text."""
    words = _WORD.findall(text)
    return words + [f"{one} {two}" for one, two in pairwise(words)]


def parts_of(text: str) -> list[str]:
    """Return the parts of the words of a normalised text, with a blank at each end of a word."""
    found = []
    for word in text.split():
        padded = f" {word} "
        for length in PART_LENGTHS:
            if length >= len(padded):
                found.append(padded)
                break
            found += [padded[n : n + length] for n in range(len(padded) - length + 1)]
    return found


def lexicon_features(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the features that the lexicon gives.

    Args:
        scores: VADER's scores of the normalised text: compound, pos and neg.

    Returns:
        The name of each feature and its value.
    """
    compound = scores["compound"]
    return {
        "compound": compound, "pos": scores["pos"], "neg": scores["neg"],
        "good": float(compound > NEUTRAL), "bad": float(compound < -NEUTRAL),
    }  # fmt: skip


@dataclass(frozen=True)
class Block:
    """Features of one kind: which there are, and what each weighs."""

    places: Mapping[str, int]  # name of a feature -> its row below
    idf: NDArray[np.float64]  # inverse document frequency
    coefficients: NDArray[np.float64]  # features x classes

    @classmethod
    def of(cls, features: Mapping[str, Sequence[float]]) -> Block:
        """Build a block from idf and coefficients (four numbers) by name."""
        values = np.array(list(features.values()), dtype=float).reshape(-1, 1 + len(CLASSES))
        return cls({name: n for n, name in enumerate(features)}, values[:, 0], values[:, 1:])

    def sums(self, found: Mapping[str, float], to_length_1: bool) -> NDArray[np.float64]:
        """Sum the features of one text, by class; ``found`` has the size of each."""
        known = [(place, size) for name, size in found.items() if (place := self.places.get(name)) is not None]
        if not known:
            return np.zeros(len(CLASSES))
        rows, sizes = zip(*known, strict=True)
        places = np.array(rows)
        weights = np.array(sizes, dtype=float)
        if to_length_1:  # counts grow by their logarithm
            weights = (1 + np.log(weights)) * self.idf[places]
            weights /= math.sqrt(float((weights * weights).sum()))
        summed: NDArray[np.float64] = (weights[:, None] * self.coefficients[places]).sum(axis=0)
        return summed


@dataclass(frozen=True)
class ToneModel:
    """The coefficients of the classifier."""

    blocks: Mapping[str, Block]
    intercepts: tuple[float, ...]  # one a class
    card: Mapping[str, object]  # data, hash, figures

    def probabilities(self, text: str, scores: Mapping[str, float]) -> tuple[tuple[float, ...], float]:
        """Compute the probability of each of ``CLASSES``, and how much of the text the model knows.

        Args:
            text: a normalised text.
            scores: the lexicon's scores of it.

        Returns:
            The probabilities, and the share of the words that are features of the model.
        """
        sums = np.array(self.intercepts)
        for block, found in ((WORDS, words_of(text)), (PARTS, parts_of(text))):
            sums += self.blocks[block].sums(Counter(found), to_length_1=True)
        sums += self.blocks[LEXICON].sums(lexicon_features(scores), to_length_1=False)
        powers = np.exp(sums - sums.max())
        words = _WORD.findall(text)
        known = sum(word in self.blocks[WORDS].places for word in words) / len(words) if words else 0.0
        return tuple(map(float, powers / powers.sum())), known


def tone(probabilities: Sequence[float]) -> float:
    """Return the tone -1 to 1 of class probabilities: that of good less that of bad news.

    Its size says the class: it is within ``NEUTRAL`` of 0 exactly where neutral is the most probable class, or good and bad are equal.
    """
    bad, neutral, good = probabilities
    margin = good - bad
    if neutral >= max(good, bad) or good == bad:
        return NEUTRAL * 0.99 * margin
    return math.copysign(NEUTRAL + (1 - NEUTRAL) * abs(margin), margin)


@cache
def tone_model() -> ToneModel:
    """Read the model that the package has."""
    folder = files("crypto_assets.narratives")
    card = json.loads((folder / "tone_model.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, list[float]]] = {WORDS: {}, PARTS: {}, LEXICON: {}}
    text = (folder / "tone_model.csv").read_text(encoding="utf-8")
    for block, name, *values in list(csv.reader(io.StringIO(text, newline="")))[1:]:
        found[block][name] = [float(value) for value in values]
    return ToneModel({block: Block.of(features) for block, features in found.items()}, tuple(card["intercepts"]), card)
