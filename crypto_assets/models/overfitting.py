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
    logits, inside, outside = [], [], []
    for chosen in combinations(range(parts), parts // 2):
        mask = np.zeros(parts, dtype=bool)
        mask[list(chosen)] = True
        within, beyond = (_sharpes(sums[part], squares[part], length) for part in (mask, ~mask))
        best = int(within.argmax())
        rank = (beyond < beyond[best]).sum() + ((beyond == beyond[best]).sum() + 1) / 2
        share = rank / (trials + 1)
        logits.append(np.log(share / (1 - share)))
        inside.append(within[best])
        outside.append(beyond[best])
    slope = float(np.polyfit(inside, outside, 1)[0]) if np.ptp(inside) > 0 else float("nan")
    judged = np.array(logits)
    return Overfitting(float((judged <= 0).mean()), judged, slope, float((np.array(outside) < 0).mean()))


def _sharpes(sums: Floats, squares: Floats, length: int) -> Floats:
    """Return each trial's Sharpe ratio over parts whose sums and squares are known; zero where nothing moves."""
    mean = sums.sum(axis=0) / length
    variance = np.maximum(squares.sum(axis=0) / length - mean**2, 0.0) * length / (length - 1)
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 0)
