"""Which of two sums of prices is larger, decided for the decimal prices that were given and not for their doubles.

0.1 + 0.2 is not 0.3 in doubles, so a typical price that did not change may seem to have changed by its last bit. What
only asks "more or less?" then goes the wrong way. Here a difference counts as it is where it is beyond the rounding of
its terms; the few that are within it are decided in exact arithmetic.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from crypto_assets.features.grid import Floats, Ints

UNIT = 2.0**-53  # a double is off the decimal that it stands for by this share at most
MOST_SCALE = 22  # 10 to this power is the largest that a double holds exactly
WHOLE = 2.0**50  # scaled prices below it are exact integers, and so are sums of a few of them


def rose(*terms: Floats) -> Floats:
    """Whether the sum of the terms rose: the sign of the sum minus that of the hour before.

    Args:
        terms: Arrays of one shape, coins x hours, of prices (0 or more); NaN where unknown.

    Returns:
        -1, 0 or 1; NaN where a term of either hour is, and in the first column. The sign is that of the shortest
        decimals that read as these doubles: what the provider wrote, if it wrote 15 significant digits or fewer.
    """
    total = terms[0] + terms[1]
    for term in terms[2:]:
        total += term
    sign = np.full_like(total, np.nan)
    apart = total[:, 1:] - total[:, :-1]
    np.sign(apart, out=sign[:, 1:])
    np.abs(apart, out=apart)
    # Each of n terms an hour and each of 2 n - 1 additions is off by UNIT of the whole at most; twice that, to be safe.
    total *= 8 * len(terms) * UNIT
    close = apart <= total[:, 1:]
    if close.any():
        coin, hour = np.nonzero(close)
        now, before = ([term[coin, hour + later] for term in terms] for later in (1, 0))
        sign[coin, hour + 1] = _decided(now, before)
    return sign


def _decided(above: list[Floats], below: list[Floats]) -> Floats:
    """The signs of a few cells (flat arrays) that doubles cannot tell."""
    sign = np.zeros(len(above[0]))
    moved = np.flatnonzero(~_same(above, below))
    if not len(moved):
        return sign
    terms = np.stack([*above, *below])[:, moved]
    whole, exact = _as_integers(terms)
    difference = whole[: len(above)].sum(axis=0) - whole[len(above) :].sum(axis=0)
    found = np.sign(difference).astype(np.float64)
    for cell in np.flatnonzero(~exact):  # more digits than integers of doubles hold: rare, so one by one
        up, down = (sum(Fraction(repr(v)) for v in side.tolist()) for side in np.split(terms[:, cell], [len(above)]))
        found[cell] = (up > down) - (up < down)
    sign[moved] = found
    return sign


def _same(above: list[Floats], below: list[Floats]) -> np.ndarray:
    return np.logical_and.reduce([one == other for one, other in zip(above, below, strict=True)])


def _as_integers(terms: Floats) -> tuple[Ints, np.ndarray]:
    """The terms (terms x cells) times a power of ten, one a cell, as integers; and whether they are exactly that."""
    largest = np.maximum(terms.max(axis=0), np.finfo(np.float64).tiny)
    power = np.clip(np.floor(np.log10(WHOLE / largest)), 0, MOST_SCALE)
    scale = 10.0 ** np.arange(MOST_SCALE + 1)
    factor = scale[power.astype(np.int64)]
    whole = np.rint(terms * factor)
    # Both are exact doubles, so the quotient is the double nearest to that decimal: equal means that it is the decimal.
    exact = (whole / factor == terms).all(axis=0) & (np.abs(whole) < 8 * WHOLE).all(axis=0)
    return np.where(exact, whole, 0.0).astype(np.int64), exact
