"""On-chain ratios and rolling measures, from base rows alone, point-in-time.

Windows are spans of calendar days. A window of day D uses only base rows that were available when day D became
available (``available_at``), so that a late row never changes what a day could have said. Definitions and units are in
``features/onchain_columns.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from crypto_assets.features.onchain_columns import DERIVED, DERIVED_BY_NAME, LONG_DAYS, LONG_LEAST
from crypto_assets.features.onchain_columns import LOOKBACK_DAYS as LOOKBACK_DAYS

Array = NDArray[np.float64]

OUTPUT = [column.name for column in DERIVED]
RETURN_NOISE = 4 * 2.0**-53  # of a log return: both prices, their quotient and its logarithm are rounded
NEVER = np.iinfo(np.int64).max


def enhance(onchain_base: pd.DataFrame, start: date, end: date) -> pd.DataFrame:
    """Rows of ``onchain_enhanced`` for exactly the base rows of the inclusive days (contract of the same name).

    ``onchain_base`` also holds up to ``LOOKBACK_DAYS`` days before ``start``; more changes nothing. A ratio whose denominator
    is null or 0 is null, a window with a day missing is null unless its definition tolerates it.
    """
    parts = [_coin(coin, start, end) for _, coin in onchain_base.groupby("symbol", sort=True)]
    if not parts:
        return pd.DataFrame(columns=["symbol", "date", "available_at", "source", *OUTPUT])
    return pd.concat(parts, ignore_index=True)


def _coin(rows: pd.DataFrame, start: date, end: date) -> pd.DataFrame:
    rows = rows.sort_values("date").reset_index(drop=True)
    wanted = ((rows["date"] >= start) & (rows["date"] <= end)).to_numpy()
    days = _Days(rows, wanted)
    with np.errstate(all="ignore"):
        found = {name: measure(days) for name, measure in MEASURES.items()}
    kept = rows[wanted]
    sandbox = kept["source"].astype(str).str.startswith("sandbox")
    return kept[["symbol", "date", "available_at"]].assign(
        source=np.where(sandbox, "sandbox/derived", "derived"),
        **{name: np.where(np.isfinite(array), array, np.nan) for name, array in found.items()},
    )


class _Days:
    """The wanted days of one coin, and trailing windows over its dense calendar; cells not available yet are NaN."""

    def __init__(self, rows: pd.DataFrame, wanted: NDArray[np.bool_]) -> None:
        self._rows = rows
        first = rows["date"].iloc[0]
        self._position = np.array([(day - first) // timedelta(days=1) for day in rows["date"]])
        self._wanted = wanted
        self._known = np.full(int(self._position[-1]) + 1, NEVER)
        self._known[self._position] = rows["available_at"].astype("int64").to_numpy()
        own = self._known[self._position]
        self._on_time = bool((np.diff(own) >= 0).all())  # rows came in order, so no cell must be hidden
        self._own = own[wanted]

    def column(self, name: str) -> Array:
        return self._whole(name)[self._wanted]

    def _whole(self, name: str) -> Array:
        return self._rows[name].to_numpy(dtype=np.float64, na_value=np.nan)

    def window(self, name: str, days: int) -> Array:
        """Return wanted days x the ``days`` days up to each, oldest first.

        NaN where a day is missing or not available yet.
        """
        dense = np.full(len(self._known) + days - 1, np.nan)
        dense[self._position + days - 1] = self._whole(name)
        at = self._position[self._wanted]
        values = sliding_window_view(dense, days)[at]
        if self._on_time:
            return values
        known = np.concatenate([np.full(days - 1, NEVER), self._known])
        return np.where(sliding_window_view(known, days)[at] > self._own[:, None], np.nan, values)


def _ratio(over: Array, under: Array) -> Array:
    return np.where(under > 0, over / under, np.nan)


def _quotient(over: str, under: str) -> Callable[[_Days], Array]:
    return lambda days: _ratio(days.column(over), days.column(under))


def _days_of(name: str) -> int:
    return DERIVED_BY_NAME[name].days


def _change(name: str) -> Callable[[_Days], Array]:
    column = DERIVED_BY_NAME[name].inputs[0]

    def measure(days: _Days) -> Array:
        window = days.window(column, _days_of(name))
        return window[:, -1] / window[:, 0] - 1

    return measure


def _flat(window: Array) -> NDArray[np.bool_]:
    """Find windows whose values are all exactly equal.

    Rounding moves their mean by a bit, so their spread would not be 0.
    """
    return np.asarray(np.fmax.reduce(window, axis=1) == np.fmin.reduce(window, axis=1))


def _zscore(name: str) -> Callable[[_Days], Array]:
    column = DERIVED_BY_NAME[name].inputs[0]

    def measure(days: _Days) -> Array:
        window = days.window(column, _days_of(name))
        spread = np.where(_flat(window), np.nan, window.std(axis=1, ddof=1))
        return (window[:, -1] - window.mean(axis=1)) / spread

    return measure


def _volatility(name: str) -> Callable[[_Days], Array]:
    def measure(days: _Days) -> Array:
        window = days.window("price_usd", _days_of(name))
        prices = np.where(window > 0, window, np.nan)
        logs = np.log(prices[:, 1:] / prices[:, :-1])
        spread = logs.std(axis=1, ddof=1)
        return np.where(spread <= RETURN_NOISE, 0.0, spread)  # steady growth: the rest is rounding

    return measure


def _mvrv(days: _Days) -> Array:
    realized = days.column("realized_cap_usd")
    provider = np.where(np.isnan(realized), days.column("mvrv_provider"), np.nan)
    own = _ratio(days.column("market_cap_usd"), realized)
    return np.where(np.isnan(own), provider, own)


def _nupl(days: _Days) -> Array:
    return 1.0 - _ratio(np.ones_like(mvrv := _mvrv(days)), mvrv)


def _nvt_signal(days: _Days) -> Array:
    transfers = days.window("transfer_volume_usd", _days_of("nvt_signal_90d"))
    return _ratio(days.column("market_cap_usd"), transfers.mean(axis=1))


def _enough(window: Array) -> Array:
    """Return the rows of the window; all NaN where fewer days are there than the definition requires."""
    count = (~np.isnan(window)).sum(axis=1)
    return np.where((count >= LONG_LEAST * LONG_DAYS)[:, None], window, np.nan)


def _mvrv_zscore(days: _Days) -> Array:
    window = _enough(days.window("market_cap_usd", LONG_DAYS))
    filled = ~np.isnan(window)
    count = np.maximum(filled.sum(axis=1), 1)
    mean = np.where(filled, window, 0.0).sum(axis=1) / count
    squares = np.where(filled, (window - mean[:, None]) ** 2, 0.0).sum(axis=1)
    spread = np.where(filled.any(axis=1) & ~_flat(window), np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
    return _ratio(days.column("market_cap_usd") - days.column("realized_cap_usd"), spread)


def _issued(days: _Days, span: int) -> Array:
    """Return the value in USD of the supply that each of the last ``span`` days added; NaN where supply fell."""
    added = np.diff(days.window("supply_current", span + 1), axis=1)
    return np.where(added >= 0, added, np.nan) * days.window("price_usd", span)


def _issuance(days: _Days) -> Array:
    return _issued(days, 1)[:, 0]


def _puell(days: _Days) -> Array:
    issued = _enough(_issued(days, LONG_DAYS))
    filled = ~np.isnan(issued)
    mean = np.where(filled, issued, 0.0).sum(axis=1) / np.maximum(filled.sum(axis=1), 1)
    return _ratio(issued[:, -1], mean)


def _fee_share(days: _Days) -> Array:
    fees = days.column("fees_usd")
    return _ratio(fees, fees + _issuance(days))


def _ribbon(days: _Days) -> Array:
    window = days.window("hash_rate", _days_of("hash_ribbon_30d_60d"))
    return _ratio(window[:, 30:].mean(axis=1), window.mean(axis=1)) - 1.0


def _velocity(days: _Days) -> Array:
    moved = days.window("transfer_volume_native", _days_of("velocity_30d")).sum(axis=1)
    return _ratio(moved, days.column("supply_current"))


MEASURES: dict[str, Callable[[_Days], Array]] = {
    "nvt_ratio": _quotient("market_cap_usd", "transfer_volume_usd"),
    "mvrv_ratio": _mvrv,
    "avg_transaction_value_usd": _quotient("transfer_volume_usd", "transaction_count"),
    **{name: _volatility(name) for name in ("price_volatility_7d", "price_volatility_30d")},
    **{name: _change(name) for name in OUTPUT if name.endswith(("_change_7d", "_change_30d"))},
    **{name: _zscore(name) for name in OUTPUT if name.endswith("_zscore_30d")},
    "transactions_per_address": _quotient("transaction_count", "active_addresses"),
    "nvt_signal_90d": _nvt_signal,
    "nupl": _nupl,
    "mvrv_zscore_365d": _mvrv_zscore,
    "issuance_usd": _issuance,
    "puell_multiple_365d": _puell,
    "fee_share": _fee_share,
    "fee_per_transaction_usd": _quotient("fees_usd", "transaction_count"),
    "hash_ribbon_30d_60d": _ribbon,
    "supply_growth_30d": _change("supply_growth_30d"),
    "velocity_30d": _velocity,
    "net_exchange_flow_usd": lambda days: days.column("exchange_inflow_usd") - days.column("exchange_outflow_usd"),
}
