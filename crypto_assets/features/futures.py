"""Arithmetic of perpetual futures and implied volatility, venue by venue, and what of it a coin gets.

Definitions are in ``features/futures_columns.py``. The snapshot of all venues is in ``context.py``; its columns take the
first venue's number where it has none (``HISTORY``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from crypto_assets.features.all_features import GROUPS
from crypto_assets.features.feature import DAY_HOURS, HOUR, LEAST_SHARE, MONTH_HOURS, WEEK_HOURS
from crypto_assets.features.futures_columns import DVOL_SERVES, GRACE_HOURS, INTEREST_SERVES, LONGEST_INTERVAL
from crypto_assets.features.grid import HOURS_A_DAY, Arrays, Floats, Grid, Kernel, Panel, as_known, panel
from crypto_assets.features.lookback import HOURLY, LOOKBACK_DAYS, window
from crypto_assets.features.moments import rolling_moments
from crypto_assets.features.windows import carried, earlier, ratio, rolling_counts, rolling_sums
from crypto_assets.tables.schemas import DECISION_DELAY

HOURS_A_YEAR = 8760
# Column of the snapshot -> the number of the first venue that serves where the snapshot has none.
HISTORY = {
    "funding_rate": "venue_funding_rate",
    "open_interest_usd": "venue_open_interest_usd",
    "open_interest_change_24h": "venue_open_interest_change_24h",
    "futures_basis": "venue_basis",
    "futures_volume_24h_usd": "venue_volume_24h_usd",
}
SPREAD = "funding_venue_spread"
ONE_VENUE = ""  # of a table without venues


def funding_features(values: Mapping[str, Floats]) -> Arrays:
    """Compute the columns of one venue's settlements.

    Args:
        values: funding_rate, interval_hours and funding_rate_hourly at the hours of the settlements; coins x hours, NaN
            elsewhere.

    Returns:
        Column -> coins x hours.
    """
    rate, interval = values["funding_rate"], values["interval_hours"]
    settled = ~np.isnan(rate)
    column = np.arange(rate.shape[1])
    last = np.maximum.accumulate(np.where(settled, column, -1), axis=1)
    age, place = column - last, np.maximum(last, 0)
    span = np.take_along_axis(interval, place, axis=1)
    in_force = (last >= 0) & (age < np.where(np.isnan(span), LONGEST_INTERVAL, span) + GRACE_HOURS)
    now, hourly = (
        np.where(in_force, np.take_along_axis(values[name], place, axis=1), np.nan)
        for name in ("funding_rate", "funding_rate_hourly")
    )
    left = np.where(in_force, span - age, np.nan)
    out: Arrays = {
        "venue_funding_rate": now,
        "funding_rate_hourly": hourly,
        "hours_to_funding": np.where(left > 0, left, np.nan),
        "funding_zscore_30d": _zscore(hourly),
    }
    spans = {"24h": DAY_HOURS, "7d": WEEK_HOURS}
    paid = rolling_sums(np.where(settled, rate, 0.0), *spans.values())
    whole = rolling_counts(in_force, *spans.values())
    for (name, hours), total, count in zip(spans.items(), paid, whole, strict=True):
        out[f"funding_sum_{name}"] = np.where(count == hours, total, np.nan)
    return out


def interest_features(values: Mapping[str, Floats]) -> Arrays:
    """Compute the columns of one venue's open interest, at the hours at which it is known."""
    interest, value, long_short, taker = (
        carried(values[name], INTEREST_SERVES)
        for name in ("open_interest", "open_interest_usd", "long_short_ratio", "taker_buy_sell_ratio")
    )
    return {
        "open_interest_base": interest,
        "open_interest_base_change_24h": ratio(interest, earlier(interest, DAY_HOURS)) - 1.0,
        "open_interest_base_change_7d": ratio(interest, earlier(interest, WEEK_HOURS)) - 1.0,
        "open_interest_zscore_30d": _zscore(interest),
        "long_short_ratio": long_short,
        "long_short_zscore_30d": _zscore(long_short),
        "taker_buy_sell_ratio": taker,
        "taker_buy_sell_zscore_30d": _zscore(taker),
        "venue_open_interest_usd": value,
        "venue_open_interest_change_24h": ratio(value, earlier(value, DAY_HOURS)) - 1.0,
    }


def bars_features(values: Mapping[str, Floats]) -> Arrays:
    """Compute the columns of one venue's bars, at their closes."""
    basis, volume = values["basis"], values["volume_usd"]
    (total,) = rolling_sums(volume, DAY_HOURS)
    (count,) = rolling_counts(~np.isnan(volume), DAY_HOURS)
    return {
        "venue_basis": basis.copy(),
        "futures_basis_change_24h": basis - earlier(basis, DAY_HOURS),
        "venue_volume_24h_usd": np.where(count == DAY_HOURS, total, np.nan),
    }


def volatility_features(values: Mapping[str, Floats]) -> Arrays:
    """Compute the columns of the volatility index, at the closes of its candles."""
    close = carried(values["close"], DVOL_SERVES)
    return {
        "dvol": close,
        "dvol_change_24h": close - earlier(close, DAY_HOURS),
        "dvol_change_7d": close - earlier(close, WEEK_HOURS),
    }


def _zscore(array: Floats) -> Floats:
    (month,) = rolling_moments(array, MONTH_HOURS)
    spread = month.std(ddof=1, at_least=LEAST_SHARE * MONTH_HOURS)
    return ratio(array - month.mean, spread)


@dataclass(frozen=True)
class _Family:
    """One table: its columns that the kernel takes, and the kernel."""

    table: str
    columns: tuple[str, ...]
    kernel: Kernel


_FAMILIES = (
    _Family("funding_rates", ("funding_rate", "interval_hours", "funding_rate_hourly"), funding_features),
    _Family(
        "open_interest",
        ("open_interest", "open_interest_usd", "long_short_ratio", "taker_buy_sell_ratio"),
        interest_features,
    ),
    _Family("perpetual_bars", ("basis", "volume_usd"), bars_features),
    _Family("implied_volatility", ("close",), volatility_features),
)


@dataclass(frozen=True)
class Futures:
    """The tables on the grid, by venue in the order of preference."""

    grid: Grid
    panels: Mapping[str, Sequence[tuple[str, Panel]]]  # table -> venues and their panels; venues without rows left out

    def arrays(self, coins: slice, at_ts: Mapping[str, Floats]) -> Arrays:
        """Compute the columns of a block of coins, and the numbers that serve where the snapshot has none.

        Args:
            coins: the block.
            at_ts: ``volume_24h_usd`` at the own hour, and ``volatility_30d``; coins x output hours.

        Returns:
            Column -> coins x output hours, without a column that needs a table without rows at any venue.
        """
        shape = (coins.stop - coins.start, self.grid.hours)
        out: Arrays = {}
        for family in _FAMILIES:
            table, venues = family.table, self.panels[family.table]
            back = LOOKBACK_DAYS[table] * HOURS_A_DAY
            found = [as_known([laid.coins(coins)], family.kernel, window(table), back) for _, laid in venues]
            for name in found[0] if found else ():
                out[name] = first_known([arrays[name] for arrays in found])
            if table == "funding_rates" and len(found) > 1:
                out[SPREAD] = _spread([arrays["funding_rate_hourly"] for arrays in found])
        missing = np.full(shape, np.nan)
        for name in (*NAMES, *HISTORY.values()):
            out.setdefault(name, missing)
        out["open_interest_to_volume"] = ratio(out["venue_open_interest_usd"], at_ts["volume_24h_usd"])
        realised = 100.0 * at_ts["volatility_30d"] * np.sqrt(HOURS_A_YEAR)
        out["dvol_minus_realised_30d"] = out["dvol"] - realised
        return out


NAMES = [f.name for group in ("derivatives", "volatility") for f in GROUPS[group] if f.stale is None]


def first_known(arrays: Sequence[Floats]) -> Floats:
    """Take each cell from the first array that has it."""
    found = arrays[0]
    for other in arrays[1:]:
        found = np.where(np.isnan(found), other, found)
    return found


def _spread(rates: Sequence[Floats]) -> Floats:
    stacked = np.stack(rates)
    both = np.count_nonzero(~np.isnan(stacked), axis=0) > 1
    apart = np.fmax.reduce(stacked) - np.fmin.reduce(stacked)
    return np.where(both, apart, np.nan)


def lay_out(
    inputs: Mapping[str, pl.DataFrame], reaching_back: Callable[[str], Grid], venues: Sequence[str], grid: Grid
) -> Futures:
    """Lay out the tables.

    Args:
        inputs: table -> rows.
        reaching_back: table -> the grid with the hours that its look-back needs.
        venues: the venues in the order of preference; rows of others are left out.
        grid: the output grid.

    Returns:
        The tables on the grid.
    """
    panels: dict[str, list[tuple[str, Panel]]] = {}
    for family in _FAMILIES:
        table = family.table
        rows = _at_known_marks(inputs[table]) if table == "open_interest" else inputs[table]
        delay = HOURLY[table]
        named = (
            [(v, rows.filter(pl.col("venue") == v)) for v in venues] if "venue" in rows.columns else [(ONE_VENUE, rows)]
        )
        panels[table] = [
            (venue, panel(mine, table, reaching_back(table), family.columns, delay_hours=delay))
            for venue, mine in named
            if not mine.is_empty()
        ]
    return Futures(grid, panels)


def _at_known_marks(rows: pl.DataFrame) -> pl.DataFrame:
    """Put a statistic that is known after its hour's decision at the next hour, where it is the newest one known."""
    late = pl.col("available_at") > pl.col("ts") + DECISION_DELAY
    return rows.with_columns(ts=pl.when(late).then(pl.col("ts") + HOUR).otherwise(pl.col("ts")))


def with_history(arrays: Arrays, futures: Arrays, market_cap: Floats) -> Arrays:
    """Fill the columns of the snapshot where it has no value.

    Args:
        arrays: the columns of the snapshot.
        futures: what :meth:`Futures.arrays` gives.
        market_cap: ``market_cap_usd`` at the own hour.

    Returns:
        The columns.
    """
    served = {**HISTORY, "open_interest_to_market_cap": ""}
    out = {}
    for name, venue in served.items():
        instead = futures[venue] if venue else ratio(futures["venue_open_interest_usd"], market_cap)
        out[name] = np.where(np.isnan(arrays[name]), instead, arrays[name])
    return out
