"""From scores to target weights: a documented rule, and what trading it costs.

The rule: rank the coins of an hour, buy the highest and sell the lowest part in proportion to rank, each position
inverse to the coin's volatility, moved only part of the way from the last weights, within caps.

Sources: Grinold and Kahn, Active Portfolio Management, 1999, ch. 14 (rank portfolios); Gârleanu and Pedersen, Dynamic
Trading with Predictable Returns and Transaction Costs, Journal of Finance 68 (2013) 2309 (trade part of the way);
Almgren et al., Direct Estimation of Equity Market Impact, Risk 18 (2005) 58 (impact grows with participation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crypto_assets.errors import ModelError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WeightRule:
    """How scores become weights.

    Attributes:
        share: part of the coins on each side, above 0 and up to 0.5.
        gross: sum of absolute weights at most; 1 is the whole capital.
        per_coin: absolute weight of one coin at most.
        trade: part of the way from the last weights to the new ones, above 0 and up to 1; lower damps turnover.
        long_only: no coin is sold short.
    """

    share: float = 0.2
    gross: float = 1.0
    per_coin: float = 0.1
    trade: float = 0.25
    long_only: bool = False

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        ranges = {"share": 0.5, "trade": 1.0, "per_coin": 1.0, "gross": 10.0}
        for name, highest in ranges.items():
            value = getattr(self, name)
            if not 0 < value <= highest:
                raise ModelError(f"{name} of the weight rule is {value}: give a number above 0 and up to {highest}")


def target_weights(scores: Floats, volatilities: Floats, rule: WeightRule) -> Floats:
    """Return the weights of one hour's coins before turnover is damped.

    Args:
        scores: one a coin; NaN: no position.
        volatilities: standard deviation of each coin's hourly returns as known then; NaN or 0: no position.
        rule: shares and caps.

    Returns:
        One weight a coin in [-per_coin, per_coin]; each side sums to at most half of ``gross`` (all of it if
        ``long_only``). All zero where fewer than two coins can be held.
    """
    return target_weights_by_hour(scores[None], volatilities[None], rule)[0]


def target_weights_by_hour(scores: Floats, volatilities: Floats, rule: WeightRule) -> Floats:
    """Return the weights of many hours before turnover is damped, each as ``target_weights`` says.

    Args:
        scores: hours x coins.
        volatilities: hours x coins.
        rule: shares and caps.
    """
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(scores) & (volatilities > 0)
    coins = known.sum(axis=1)
    order = np.argsort(np.where(known, scores, np.nan), axis=1, kind="stable")  # unknown ones go last
    place = np.empty(order.shape, dtype=np.int64)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    held = np.where(coins < 2, 0, np.maximum(1, (coins * rule.share).astype(np.int64)))[:, None]
    lowest_bought = coins[:, None] - held
    inverse = np.divide(1.0, volatilities, out=np.zeros(scores.shape), where=known)
    total = rule.gross if rule.long_only else rule.gross / 2
    bought = np.where(known & (place >= lowest_bought), (place - lowest_bought + 1) * inverse, 0.0)
    weights = _capped(bought, total, rule.per_coin)
    if not rule.long_only:
        sold = np.where(known & (place < held), (held - place) * inverse, 0.0)
        weights -= _capped(sold, total, rule.per_coin)
    return weights


def damped(former: Floats, target: Floats, rule: WeightRule) -> Floats:
    """Return weights part of the way from the former ones to the target; coins that cannot be held (NaN target) go to 0."""
    return np.where(np.isnan(target), 0.0, former + rule.trade * (np.nan_to_num(target) - former))


def damped_by_hour(target: Floats, rule: WeightRule) -> Floats:
    """Return the weights of consecutive hours that begin with none and follow ``damped``: hours x coins."""
    weights, former = np.empty(target.shape), np.zeros(target.shape[1])
    for hour, wanted in enumerate(target):
        former = damped(former, wanted, rule)
        weights[hour] = former
    return weights


def _capped(strength: Floats, total: float, cap: float) -> Floats:
    """Share a total in proportion to strength, row by row, with no share above the cap; what does not fit is not held."""
    weights, free = np.zeros(strength.shape), strength > 0
    left = np.full((len(strength), 1), total)
    rows = np.flatnonzero(free.any(axis=1))
    while rows.size:
        open_, power = free[rows], np.where(free[rows], strength[rows], 0.0)
        wanted = power / power.sum(axis=1, keepdims=True) * left[rows]
        over = open_ & (wanted > cap)
        weights[rows] = np.where(over, cap, np.where(open_, wanted, weights[rows]))
        free[rows] = open_ & ~over
        left[rows] = total - np.where(free[rows], 0.0, weights[rows]).sum(axis=1, keepdims=True)
        again = over.any(axis=1) & free[rows].any(axis=1) & (left[rows, 0] > 0)
        rows = rows[again]
    return np.minimum(weights, cap)


@dataclass(frozen=True)
class Costs:
    """What one unit of traded weight costs; each a fraction of the traded value.

    Attributes:
        fee: the venue's fee for one side.
        half_spread: half of the distance between bid and ask.
        impact: cost of trading the whole volume of an hour; grows with the square root of the share traded.
        capital_usd: the portfolio's value, for the share of an hour's volume.
    """

    fee: float = 0.0005
    half_spread: float = 0.0002
    impact: float = 0.1
    capital_usd: float = 1_000_000.0

    def of(self, traded: Floats, volume_usd: Floats) -> Floats:
        """Return the cost of each trade as a fraction of the capital.

        Args:
            traded: absolute change of weight, one a coin.
            volume_usd: volume of the coin in the hour; NaN or 0: the impact of trading all of it.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(volume_usd > 0, traded * self.capital_usd / volume_usd, 1.0)
        return traded * (self.fee + self.half_spread + self.impact * np.sqrt(np.minimum(share, 1.0)))


@dataclass(frozen=True)
class Backtest:
    """A portfolio's history, one value a period.

    Attributes:
        gross: return before costs, a fraction.
        cost: fees, spread and impact, a fraction.
        funding: paid for held perpetuals, a fraction; negative where received.
        turnover: sum of absolute changes of weight.
    """

    gross: Floats
    cost: Floats
    funding: Floats
    turnover: Floats

    @property
    def net(self) -> Floats:
        """Return after costs and funding, a fraction a period."""
        return self.gross - self.cost - self.funding

    @property
    def break_even(self) -> float:
        """Cost of one unit of turnover at which nothing is left; NaN without turnover."""
        turnover = float(self.turnover.sum())
        return float((self.gross - self.funding).sum()) / turnover if turnover > 0 else float("nan")


def backtest(weights: Floats, returns: Floats, volume_usd: Floats, funding: Floats, costs: Costs) -> Backtest:
    """Hold weights over periods and charge what changing them costs.

    Args:
        weights: periods x coins, decided at the start of each period.
        returns: periods x coins, over the period; NaN (no price): the position earns nothing and says so nowhere else,
            so a caller counts them.
        volume_usd: periods x coins, of the hour before the decision.
        funding: periods x coins, rate paid by a long position over the period; NaN: 0.
        costs: parameters of the costs.

    Raises:
        ModelError: arrays of different shapes.
    """
    shapes = {array.shape for array in (weights, returns, volume_usd, funding)}
    if len(shapes) != 1:
        raise ModelError(
            f"weights, returns, volumes and funding have shapes {sorted(shapes)}: give periods x coins of each"
        )
    traded = np.abs(np.diff(weights, axis=0, prepend=0.0))
    return Backtest(
        (weights * np.nan_to_num(returns)).sum(axis=1),
        costs.of(traded, volume_usd).sum(axis=1),
        (weights * np.nan_to_num(funding)).sum(axis=1),
        traded.sum(axis=1),
    )
