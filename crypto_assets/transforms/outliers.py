"""Find prices that a second source contradicts.

A price at an hour mark is doubtful when it lies outside the range that the second source traded in the hour before,
widened by ``TOLERANCE`` on both sides. The rule looks at one hour only, so order and chunking do not matter.

If the two sources of a coin always disagree, all its rows are held back, since one of the two shows another coin. This
rule cannot say which one, so the held rows may be the right ones. The check ``identifiers`` makes an incident of it.
"""

from __future__ import annotations

from datetime import timedelta

import pandas as pd

TOLERANCE = 0.20
HOUR = timedelta(hours=1)
COLUMNS = [
    "table_name", "symbol", "ts", "date", "available_at", "source", "value_usd", "before_usd", "other_usd",
    "other_source", "reason", "market_cap_usd", "volume_24h_usd", "released_at",
]  # fmt: skip


def split(prices: pd.DataFrame, bars: pd.DataFrame, released: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Separate trusted prices from doubtful ones.

    Args:
        prices: rows of ``prices``.
        bars: symbol, ts (open), high, low, close, source; of several bars of a coin at one hour the first counts.
        released: symbol, ts, value_usd that a person has confirmed.

    Returns:
        (trusted rows, rows for ``quarantine``).
    """
    second = bars.drop_duplicates(["symbol", "ts"])[["symbol", "ts", "high", "low", "close", "source"]]
    second = second.assign(ts=second["ts"] + HOUR).rename(columns={"source": "other_source", "close": "other_usd"})
    joined = prices.reset_index(drop=True).merge(second, on=["symbol", "ts"], how="left")
    above = joined["price_usd"] / joined["high"] - 1
    below = 1 - joined["price_usd"] / joined["low"]
    doubtful = (above > TOLERANCE) | (below > TOLERANCE)
    keys = pd.MultiIndex.from_frame(joined[["symbol", "ts", "price_usd"]])
    known = pd.MultiIndex.from_frame(released[["symbol", "ts", "value_usd"]])
    doubtful &= ~keys.isin(known) if len(known) else True
    return prices.reset_index(drop=True)[~doubtful.to_numpy()], _quarantined(joined, above, doubtful)


def _quarantined(joined: pd.DataFrame, above: pd.Series, doubtful: pd.Series) -> pd.DataFrame:
    ordered = joined.sort_values(["symbol", "ts"])
    before = ordered.groupby("symbol")["price_usd"].shift().where(
        ordered.groupby("symbol")["ts"].diff() == HOUR
    )  # fmt: skip
    rows = joined.assign(before_usd=before.reindex(joined.index), table_name="prices")[doubtful]
    side = above[doubtful] > 0
    reasons = [
        f"{'above' if up else 'below'} everything that {other} traded in the hour before by more than {TOLERANCE:.0%}"
        for up, other in zip(side, rows["other_source"], strict=True)
    ]
    rows = rows.assign(reason=reasons, value_usd=rows["price_usd"])
    rows["released_at"] = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us, UTC]")
    return rows[COLUMNS].reset_index(drop=True)
