"""Sharpe ratios that count how often one tried.

All ratios are per period, and kurtosis is the whole one (3 for a normal distribution), not the excess. Only
``annualised`` changes the unit.

Sources: Bailey and López de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (2014) 94;
Mertens, Comments on variance of the IID estimator in Lo, 2002 (the error under skew and fat tails).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from crypto_assets.errors import ModelError

Floats = NDArray[np.float64]
EULER_MASCHERONI = 0.5772156649015329
NORMAL = NormalDist()
HOURS_A_YEAR = 24 * 365


@dataclass(frozen=True)
class Returns:
    """What a Sharpe ratio and its error need of a series of returns.

    Attributes:
        sharpe: mean / standard deviation (n - 1), per period.
        periods: number of returns.
        skew: third standardised moment.
        kurtosis: fourth standardised moment; 3 for a normal distribution.
    """

    sharpe: float
    periods: int
    skew: float = 0.0
    kurtosis: float = 3.0

    @classmethod
    def of(cls, returns: Floats) -> Returns:
        """Measure a series.

        Args:
            returns: per period, fractions, without NaN.

        Raises:
            ModelError: fewer than two returns, or all are equal.
        """
        if returns.size < 2 or not (deviation := returns - returns.mean()).any():
            raise ModelError(f"{returns.size} returns, all equal or fewer than two: they have no Sharpe ratio")
        spread = math.sqrt(float((deviation**2).mean()))
        return cls(
            float(returns.mean() / returns.std(ddof=1)),
            returns.size,
            float((deviation**3).mean()) / spread**3,
            float((deviation**4).mean()) / spread**4,
        )


def probabilistic_sharpe(returns: Returns, above: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio lies above a value.

    PSR = N((SR - SR*) sqrt(T - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR²)).

    Args:
        returns: the series' figures, per period.
        above: SR*, per period.
    """
    sharpe = returns.sharpe
    variance = 1 - returns.skew * sharpe + (returns.kurtosis - 1) / 4 * sharpe**2
    if variance <= 0:
        raise ModelError(f"skew {returns.skew} and kurtosis {returns.kurtosis} are not those of one series of returns")
    return NORMAL.cdf((sharpe - above) * math.sqrt(returns.periods - 1) / math.sqrt(variance))


def expected_best(trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of so many worthless trials is expected to have.

    SR0 = sqrt(V) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))), with Z the normal quantile and g Euler-Mascheroni's number.

    Args:
        trials: N, all that were ever made on the data, also the abandoned ones; at least one.
        variance: V, of the trials' Sharpe ratios, per period.

    Raises:
        ModelError: no trial, or a negative variance.
    """
    if trials < 1 or variance < 0:
        raise ModelError(f"{trials} trials with variance {variance}: give one or more, and a variance of zero or more")
    if trials == 1:
        return 0.0
    first = NORMAL.inv_cdf(1 - 1 / trials)
    second = NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second)


def deflated_sharpe(returns: Returns, trials: int, variance: float) -> float:
    """Return the probability that the true Sharpe ratio is above zero, given how many trials it was chosen from.

    Args:
        returns: of the chosen trial.
        trials: number of all trials.
        variance: of all trials' Sharpe ratios, per period.
    """
    return probabilistic_sharpe(returns, expected_best(trials, variance))


def annualised(sharpe: float, periods_a_year: float = 365.0) -> float:
    """Return a ratio per period as one a year: coins trade on 365 days. Serial correlation is not corrected."""
    return sharpe * math.sqrt(periods_a_year)


def drawdown(returns: Floats) -> float:
    """Return the deepest fall of the compounded value from its highest point before, as a positive fraction."""
    value = np.concatenate([[1.0], np.cumprod(1 + returns)])
    return float((1 - value / np.maximum.accumulate(value)).max())
