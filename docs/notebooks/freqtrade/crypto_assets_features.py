"""Features of crypto_assets for the candles of another program: asked over HTTP as Arrow, joined as they were known.

Needs httpx, pandas and pyarrow, which freqtrade has; not crypto_assets itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

import httpx
import pandas as pd
import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"
LATE = pd.Timedelta(minutes=90)  # a row that is older says nothing about now; the platform's own checks call it late
INSTANT = "datetime64[us, UTC]"


def fetch(symbol: str, start: datetime, columns: Sequence[str]) -> pd.DataFrame:
    """Ask the gateway for the features of a coin.

    Args:
        symbol: the coin, e.g. ``BTC``.
        start: the first hour (UTC).
        columns: features.

    Returns:
        available_at and the features, by time.

    Raises:
        httpx.HTTPError: the gateway cannot be reached, or refuses; its answer says why.
    """
    token = os.environ.get("CRYPTO_ASSETS_TOKEN")
    headers = {"Accept": ARROW} | ({"Authorization": f"Bearer {token}"} if token else {})
    address = os.environ.get("CRYPTO_ASSETS_URL", "http://127.0.0.1:8000")
    asked = {"symbols": symbol, "start": start.isoformat(), "columns": ",".join(["available_at", *columns])}
    answer = httpx.get(f"{address}/v1/tables/ml_features/rows", params=asked, headers=headers, timeout=60)
    answer.raise_for_status()
    rows = pa.ipc.open_stream(answer.content).read_all().to_pandas()
    return rows[["available_at", *columns]].sort_values("available_at", ignore_index=True)


def join(candles: pd.DataFrame, features: pd.DataFrame, length: pd.Timedelta) -> pd.DataFrame:
    """Give each candle the newest features that were known when it closed.

    Args:
        candles: ``date`` (the opening, UTC) and whatever else; by time.
        features: available_at and the features.
        length: of a candle.

    Returns:
        The candles with one column ``%-name`` a feature, as FreqAI wants it; NaN where nothing recent was known.
    """
    names = {name: f"%-{name}" for name in features.columns if name != "available_at"}
    known = features.rename(columns=names).astype({"available_at": INSTANT})
    closes = pd.DataFrame({"closes": (candles["date"] + length).astype(INSTANT)})
    found = pd.merge_asof(closes, known, left_on="closes", right_on="available_at", tolerance=LATE)
    return candles.assign(**{name: found[name].to_numpy() for name in names.values()})
