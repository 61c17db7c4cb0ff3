"""On-chain ratios and rolling measures, from base rows alone, point-in-time.

Windows are spans of calendar days. A window of day D uses only base rows known when D itself became known
(``available_at``), so that a late row never rewrites what a day could have said.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHANGE_DAYS = 7
VOLATILITY_DAYS = 7  # log returns: one price more
ZSCORE_DAYS = 30
SIGNAL_DAYS = 90
GROWTH_DAYS = 30
LOOKBACK_DAYS = max(CHANGE_DAYS, VOLATILITY_DAYS, ZSCORE_DAYS - 1, SIGNAL_DAYS - 1, GROWTH_DAYS)
OUTPUT = [
    "nvt_ratio", "mvrv_ratio", "avg_transaction_value_usd", "price_volatility_7d", "active_addresses_change_7d",
    "active_addresses_zscore_30d", "nvt_signal_90d", "supply_growth_30d",
]  # fmt: skip


def enhance(base: pd.DataFrame, start: date, end: date) -> pd.DataFrame:
    """Rows of ``onchain_enhanced`` for exactly the base rows of the inclusive days (contract of the same name).

    ``base`` also holds up to ``LOOKBACK_DAYS`` days before ``start``; more changes nothing. Definitions and units are
    in the contract; a ratio whose denominator is null or 0 is null, a window with a day missing is null.
    """
    parts = [_coin(coin) for _, coin in base.groupby("symbol", sort=True)]
    if not parts:
        return pd.DataFrame(columns=["symbol", "date", "available_at", "source", *OUTPUT])
    frame = pd.concat(parts, ignore_index=True)
    return frame[(frame["date"] >= start) & (frame["date"] <= end)].reset_index(drop=True)


def _coin(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.sort_values("date").reset_index(drop=True)
    first = rows["date"].iloc[0]
    position = np.array([(day - first) // timedelta(days=1) for day in rows["date"]])
    windows = _Windows(rows, position)
    value = {name: rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in _INPUTS}
    cap, transfer = value["market_cap_usd"], value["transfer_volume_usd"]
    realized = _ratio(cap, value["realized_cap_usd"])
    provider = np.where(np.isnan(value["realized_cap_usd"]), value["mvrv_provider"], np.nan)
    derived = {
        "nvt_ratio": _ratio(cap, transfer),
        "mvrv_ratio": np.where(np.isnan(realized), provider, realized),
        "avg_transaction_value_usd": _ratio(transfer, value["transaction_count"]),
        "price_volatility_7d": windows.of("price_usd", VOLATILITY_DAYS + 1, _log_return_std),
        "active_addresses_change_7d": windows.of("active_addresses", CHANGE_DAYS + 1, _change),
        "active_addresses_zscore_30d": windows.of("active_addresses", ZSCORE_DAYS, _zscore),
        "nvt_signal_90d": _ratio(cap, windows.of("transfer_volume_usd", SIGNAL_DAYS, _mean)),
        "supply_growth_30d": windows.of("supply_current", GROWTH_DAYS + 1, _change),
    }
    sandbox = rows["source"].astype(str).str.startswith("sandbox")
    return rows[["symbol", "date", "available_at"]].assign(
        source=np.where(sandbox, "sandbox/derived", "derived"), **derived
    )


_INPUTS = [
    "market_cap_usd", "transfer_volume_usd", "realized_cap_usd", "mvrv_provider", "transaction_count",
]  # fmt: skip


class _Windows:
    """Trailing windows over a dense daily calendar; cells that were not known yet are NaN."""

    def __init__(self, rows: pd.DataFrame, position: NDArray[np.int64]) -> None:
        self._rows = rows
        self._position = position
        self._length = int(position[-1]) + 1
        known = rows["available_at"].astype("int64").to_numpy()
        self._known = np.full(self._length, np.iinfo(np.int64).max)
        self._known[position] = known
        self._own = known

    def of(self, name: str, days: int, measure: Callable[[Array], Array]) -> Array:
        """``measure`` of the last ``days`` days (rows x days, oldest first) for each row; NaN where a day is missing."""
        dense = np.full(self._length + days - 1, np.nan)
        dense[self._position + days - 1] = self._rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
        known = np.concatenate([np.full(days - 1, np.iinfo(np.int64).max), self._known])
        values = sliding_window_view(dense, days)[self._position]
        late = sliding_window_view(known, days)[self._position] > self._own[:, None]
        with np.errstate(all="ignore"):
            found = measure(np.where(late, np.nan, values))
        return np.where(np.isfinite(found), found, np.nan)


def _ratio(over: Array, under: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.where(under > 0, over / under, np.nan)


def _change(window: Array) -> Array:
    return window[:, -1] / window[:, 0] - 1


def _mean(window: Array) -> Array:
    return window.mean(axis=1)


def _zscore(window: Array) -> Array:
    return (window[:, -1] - window.mean(axis=1)) / window.std(axis=1, ddof=1)


def _log_return_std(window: Array) -> Array:
    prices = np.where(window > 0, window, np.nan)
    return np.diff(np.log(prices), axis=1).std(axis=1, ddof=1)
