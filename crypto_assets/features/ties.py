"""Decide which of two sums of prices is larger, for the decimal prices that were given and not for their doubles.

0.1 + 0.2 is not 0.3 in doubles. So a typical price that did not change may seem to change by its last bit, and a
question like "more or less?" gets the wrong answer. Here a difference beyond the rounding of its terms counts as it is.
The few differences within it are decided in exact arithmetic.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from crypto_assets.features.grid import Floats, Ints

UNIT = 2.0**-53  # the largest relative distance of a double from the decimal that it stands for
MOST_SCALE = 22  # the largest power of 10 that a double holds exactly
WHOLE = 2.0**50  # scaled prices below it, and sums of a few of them, are exact integers


def rose(*terms: Floats) -> Floats:
    """Decide whether the sum of the terms rose: the sign of the sum minus that of the hour before.

    Args:
        *terms: arrays of one shape, coins x hours, of prices (0 or more); NaN where unknown.

    Returns:
        -1, 0 or 1; NaN where a term of either hour is NaN, and in the first column. The sign is that of the shortest
        decimals that read as these doubles: what the provider wrote, if it wrote 15 significant digits or fewer.
    """
    total = terms[0] + terms[1]
    for term in terms[2:]:
        total += term
    sign = np.full_like(total, np.nan)
    apart = total[:, 1:] - total[:, :-1]
    np.sign(apart, out=sign[:, 1:])
    np.abs(apart, out=apart)
    # Each of the n terms per hour and each of 2 n - 1 additions is off by at most UNIT of the whole. The factor 2 is a
    # safety margin.
    total *= 8 * len(terms) * UNIT
    close = apart <= total[:, 1:]
    if close.any():
        coin, hour = np.nonzero(close)
        now, before = ([term[coin, hour + later] for term in terms] for later in (1, 0))
        sign[coin, hour + 1] = _decided(now, before)
    return sign


def _decided(above: list[Floats], below: list[Floats]) -> Floats:
    """Decide the signs of a few cells (flat arrays) that doubles cannot decide."""
    sign = np.zeros(len(above[0]))
    moved = np.flatnonzero(~_same(above, below))
    if not len(moved):
        return sign
    terms = np.stack([*above, *below])[:, moved]
    whole, exact = _as_integers(terms)
    difference = whole[: len(above)].sum(axis=0) - whole[len(above) :].sum(axis=0)
    found = np.sign(difference).astype(np.float64)
    for cell in np.flatnonzero(~exact):  # more digits than exact integers in doubles have: rare, so one by one
        up, down = (sum(Fraction(repr(v)) for v in side.tolist()) for side in np.split(terms[:, cell], [len(above)]))
        found[cell] = (up > down) - (up < down)
    sign[moved] = found
    return sign


def _same(above: list[Floats], below: list[Floats]) -> np.ndarray:
    return np.logical_and.reduce([one == other for one, other in zip(above, below, strict=True)])


def _as_integers(terms: Floats) -> tuple[Ints, np.ndarray]:
    """Return the terms (terms x cells) times a power of ten per cell, as integers, and whether they are exact."""
    largest = np.maximum(terms.max(axis=0), np.finfo(np.float64).tiny)
    power = np.clip(np.floor(np.log10(WHOLE / largest)), 0, MOST_SCALE)
    scale = 10.0 ** np.arange(MOST_SCALE + 1)
    factor = scale[power.astype(np.int64)]
    whole = np.rint(terms * factor)
    # Both are exact doubles, so the quotient is the double nearest to that decimal. If equal, it is the decimal.
    exact = (whole / factor == terms).all(axis=0) & (np.abs(whole) < 8 * WHOLE).all(axis=0)
    return np.where(exact, whole, 0.0).astype(np.int64), exact
