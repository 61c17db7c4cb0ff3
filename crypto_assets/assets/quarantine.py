"""The gate before ``prices``: what a second source contradicts is held in ``quarantine`` until a person releases it.

Not an asset of its own run: rows get here while prices are materialised, so the table has no partitions to fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone

import pandas as pd
import polars as pl

from crypto_assets.dates import DAY, days
from crypto_assets.errors import UsageError
from crypto_assets.storage.io_manager import to_pandas
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES, QUARANTINE
from crypto_assets.transforms import outliers

BAR_COLUMNS = ["symbol", "ts", "high", "low", "close", "source"]


def split_trusted(warehouse: Warehouse, prices: pd.DataFrame, start: date, end: date) -> tuple[pd.DataFrame, int]:
    """(the rows to store, how many were held back).

    A stored row with another price stays: what is held is not trusted, so it replaces nothing before its release. A
    stored row with the very price that is held (it came before the second source did) is that row: it moves to
    ``quarantine`` with all its values, so that the same answers give the same tables whichever source came first. A
    held row leaves ``quarantine`` when a later answer has a price for its hour that is trusted. Most of a coin's day
    held is no outlier: the check ``identifiers`` says so.
    """
    if prices.empty:
        return prices, 0
    bars = second_source_bars(warehouse, start, end)
    held = warehouse.read(QUARANTINE, start=start, end=end)
    released = held.filter(pl.col("released_at").is_not_null())
    kept, doubtful = outliers.split(prices, to_pandas(bars), to_pandas(released))
    if len(doubtful):
        wanted = sorted(set(doubtful["date"]))
        warehouse.write(QUARANTINE, doubtful, wanted)
        stored = warehouse.read(PRICES, start=wanted[0], end=wanted[-1], columns=[*PRICES.key, "date", "price_usd"])
        same = pl.from_pandas(doubtful[["symbol", "ts", "value_usd"]].rename(columns={"value_usd": "price_usd"}))
        warehouse.forget(PRICES, stored.join(same, on=["symbol", "ts", "price_usd"], how="semi").drop("price_usd"))
    _let_go(warehouse, held.filter(pl.col("released_at").is_null()), kept)
    return kept, len(doubtful)


def second_source_bars(
    warehouse: Warehouse, start: date, end: date, symbols: Sequence[str] | None = None
) -> pl.DataFrame:
    """The bars that prices of these days are held against: symbol, ts (open), high, low, close, source; the first of a
    coin and hour counts. Bars that come from the source of the prices are no second opinion.
    """
    return pl.concat(
        warehouse.read(table, start=start - DAY, end=end, columns=BAR_COLUMNS, symbols=symbols).filter(
            ~pl.col("source").str.contains("coingecko")
        )
        for table in ("kraken_ohlc", "ohlc")  # USD before USDT
    )


def _let_go(warehouse: Warehouse, held: pl.DataFrame, kept: pd.DataFrame) -> None:
    """Held rows leave ``quarantine`` when the provider gives another price for their hour, and that one is trusted."""
    if held.is_empty() or kept.empty:
        return
    now = pl.from_pandas(kept[["symbol", "ts"]]).cast({"ts": QUARANTINE.polars_schema["ts"]})
    over = held.filter(pl.col("table_name") == PRICES.table).join(now, on=["symbol", "ts"], how="semi")
    warehouse.forget(QUARANTINE, over.select(*QUARANTINE.key, "date"))


def pending_sentence(warehouse: Warehouse, start: date, end: date) -> str | None:
    """What is held of these days, where to look and what to do, in one line; None where nothing is."""
    rows = warehouse.read(QUARANTINE, start=start, end=end, columns=["symbol", "released_at"])
    held = rows.filter(pl.col("released_at").is_null())
    if held.is_empty():
        return None
    return (
        f"{held.height} price(s) of {held['symbol'].n_unique()} coin(s) are held in quarantine, for a second source "
        "contradicts them (what prices had at these hours stays); look: crypto-assets sql 'select symbol, ts, value_usd, "
        "other_usd, reason from quarantine where released_at is null'; believe one: crypto-assets release SYMBOL TS"
    )


def release(warehouse: Warehouse, symbol: str, ts: datetime) -> float:
    """Put a held row into ``prices`` and note when it was released; returns its price. Raises :class:`UsageError`."""
    day = ts.date()
    held = warehouse.read(QUARANTINE, start=day, end=day).filter(
        pl.col("table_name") == "prices", pl.col("symbol") == symbol, pl.col("ts") == ts
    )
    if held.is_empty():
        raise UsageError(
            f"no row of {symbol} at {ts:%Y-%m-%d %H:%M} UTC is in quarantine; "
            "see crypto-assets sql 'select symbol, ts, reason from quarantine'"
        )
    row = held.row(0, named=True)
    warehouse.write(QUARANTINE, held.with_columns(released_at=pl.lit(datetime.now(timezone.utc))), days(day, day))
    names = [name for name in PRICES.names if name in held.columns]
    warehouse.write(PRICES, held.select(*names, price_usd=pl.col("value_usd")), days(day, day))
    return float(row["value_usd"])
