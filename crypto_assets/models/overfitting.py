"""The probability of backtest overfitting, by combinatorially symmetric cross-validation.

Source: Bailey, Borwein, López de Prado and Zhu, The Probability of Backtest Overfitting, Journal of Computational
Finance 20 (2017) 39.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from crypto_assets.errors import ModelError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Overfitting:
    """How often the best trial of one half is worse than the median in the other.

    Attributes:
        probability: share of the combinations with a logit of at most zero.
        logits: of each combination: log(w / (1 - w)), w = rank of the chosen trial in the other half / (trials + 1).
        degradation: slope of the chosen trial's Sharpe ratio outside on the one inside.
        loss: share of the combinations in which the chosen trial loses outside.
    """

    probability: float
    logits: Floats
    degradation: float
    loss: float


def overfitting(returns: Floats, parts: int = 16) -> Overfitting:
    """Measure how much choosing the best of several trials overfits.

    Args:
        returns: periods x trials, fractions, without NaN; all trials ever made, over the same periods.
        parts: S, an even number of equal parts of time; periods that do not fill a part at the start are left out.

    Raises:
        ModelError: fewer than two trials, an odd number of parts, or parts of fewer than two periods.
    """
    periods, trials = returns.shape
    if trials < 2 or parts < 2 or parts % 2 or periods // parts < 2:
        raise ModelError(
            f"{trials} trials over {periods} periods in {parts} parts: give two or more trials and an even number of "
            "parts of two or more periods"
        )
    blocks = returns[periods % parts :].reshape(parts, -1, trials)
    sums, squares, length = blocks.sum(axis=1), (blocks**2).sum(axis=1), blocks.shape[1] * parts // 2
    chosen = np.array(list(combinations(range(parts), parts // 2)))
    mask = np.zeros((len(chosen), parts))
    np.put_along_axis(mask, chosen, 1.0, axis=1)
    within, beyond = (_sharpes(part @ sums, part @ squares, length) for part in (mask, 1 - mask))
    every, best = np.arange(len(chosen)), within.argmax(axis=1)
    inside, outside = within[every, best], beyond[every, best]
    rank = (beyond < outside[:, None]).sum(axis=1) + ((beyond == outside[:, None]).sum(axis=1) + 1) / 2
    share = rank / (trials + 1)
    logits = np.log(share / (1 - share))
    slope = float(np.polyfit(inside, outside, 1)[0]) if np.ptp(inside) > 0 else float("nan")
    return Overfitting(float((logits <= 0).mean()), logits, slope, float((outside < 0).mean()))


def _sharpes(sums: Floats, squares: Floats, length: int) -> Floats:
    """Return each trial's Sharpe ratio over periods whose sum and sum of squares are known; zero where nothing moves."""
    mean = sums / length
    variance = np.maximum(squares / length - mean**2, 0.0) * length / (length - 1)
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 0)
