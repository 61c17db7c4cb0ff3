"""Compare the numbers in texts by value: "$1.2bn", "1,200,000,000" and "1.2 billion" are one number."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

_SCALES = {
    "hundred": 100, "k": 1000, "thousand": 1000, "m": 10**6, "mn": 10**6, "mln": 10**6, "million": 10**6,
    "b": 10**9, "bn": 10**9, "billion": 10**9, "tn": 10**12, "t": 10**12, "trillion": 10**12,
}  # fmt: skip
_UNITS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_WORD = rf"(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(list(_UNITS)[:9])}))?|{'|'.join(sorted(_UNITS, key=len, reverse=True))}"
_BIG = "hundred|thousand|million|billion|trillion"
_SCALE = rf"(?:[\s-]?(?P<scale>{'|'.join(sorted(_SCALES, key=len, reverse=True))})\b)?"
_NUMBER = re.compile(
    rf"(?P<digits>{_DIGITS}){_SCALE}|\b(?P<word>{_WORD})\b(?:[\s-](?P<times>{_BIG})\b)?|\b(?P<alone>{_BIG})\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=8)  # several claims in a row are compared with one article
def stated(text: str) -> frozenset[Decimal]:
    """Find every number that a text states: with its scale, and also without it, as a reader sees it."""
    return frozenset(value for values in _found(text) for value in values)


def missing(claim: str, text: str) -> list[str]:
    """Find the numbers of ``claim`` that ``text`` does not state, as they are written.

    "one" is a word, not a number.
    """
    known = stated(text)
    spelled = unicodedata.normalize("NFKC", claim)
    absent = []
    for match in _NUMBER.finditer(spelled):
        if match.group().lower() != "one" and _values(match)[0] not in known:
            absent.append(match.group().strip())
    return absent


def _found(text: str) -> list[tuple[Decimal, ...]]:
    return [_values(match) for match in _NUMBER.finditer(unicodedata.normalize("NFKC", text))]


def _values(match: re.Match[str]) -> tuple[Decimal, ...]:
    """Return (the value with its scale, the bare value)."""
    if match["digits"]:
        bare = Decimal(match["digits"].replace(",", ""))
        scale = match["scale"]
    elif match["word"]:
        words = re.split(r"[\s-]", match["word"].lower())
        bare = Decimal(sum(_TENS.get(word, 0) + _UNITS.get(word, 0) for word in words))
        scale = match["times"]
    else:
        bare, scale = Decimal(1), match["alone"]
    return (bare * _SCALES[scale.lower()], bare) if scale else (bare,)
