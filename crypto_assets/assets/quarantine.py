"""Hold prices that a second source contradicts in ``quarantine``, until a person releases them.

The rows are written while ``prices`` is materialised. The table has no partitions of its own to fill.
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
    """Separate trusted prices from contradicted ones, and write the contradicted ones to ``quarantine``.

    A held price replaces no stored row before its release. If the stored row has the same price as the held one, because
    it came before the second source, it is removed from ``prices``. So the same answers give the same tables, whichever
    source came first. A held row leaves ``quarantine`` when a later answer has a trusted price for its hour. If most hours
    of a coin's day are held, the check ``identifiers`` reports it.

    Args:
        warehouse: The tables.
        prices: Rows of ``prices`` from the provider.
        start: First day of the run, UTC.
        end: Last day of the run, included.

    Returns:
        (the trusted rows, the number of held rows).

    Raises:
        WarehouseError: A table cannot be read or written.
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
    _remove_replaced(warehouse, held.filter(pl.col("released_at").is_null()), kept)
    return kept, len(doubtful)


def second_source_bars(
    warehouse: Warehouse, start: date, end: date, symbols: Sequence[str] | None = None
) -> pl.DataFrame:
    """Read the bars with which prices are compared. Bars from the source of the prices (CoinGecko) are left out.

    Args:
        warehouse: The tables.
        start: First day of the prices, UTC.
        end: Last day, included.
        symbols: Only these coins; None: all.

    Returns:
        symbol, ts (open, UTC), high, low, close (USD or USDT), source. The first row of a coin and hour counts.

    Raises:
        WarehouseError: A table cannot be read.
    """
    return pl.concat(
        warehouse.read(table, start=start - DAY, end=end, columns=BAR_COLUMNS, symbols=symbols).filter(
            ~pl.col("source").str.contains("coingecko")
        )
        for table in ("kraken_ohlc", "ohlc")  # bars in USD come before bars in USDT
    )


def _remove_replaced(warehouse: Warehouse, held: pl.DataFrame, kept: pd.DataFrame) -> None:
    """Remove held rows for whose hour the provider has given another price that is trusted."""
    if held.is_empty() or kept.empty:
        return
    now = pl.from_pandas(kept[["symbol", "ts"]]).cast({"ts": QUARANTINE.polars_schema["ts"]})
    over = held.filter(pl.col("table_name") == PRICES.table).join(now, on=["symbol", "ts"], how="semi")
    warehouse.forget(QUARANTINE, over.select(*QUARANTINE.key, "date"))


def pending_sentence(warehouse: Warehouse, start: date, end: date) -> str | None:
    """Say in one line how many prices of these days are held and what to do; None where none is held.

    Args:
        warehouse: The tables.
        start: First day, UTC.
        end: Last day, included.

    Returns:
        The sentence.

    Raises:
        WarehouseError: The table cannot be read.
    """
    rows = warehouse.read(QUARANTINE, start=start, end=end, columns=["symbol", "released_at"])
    held = rows.filter(pl.col("released_at").is_null())
    if held.is_empty():
        return None
    return (
        f"{held.height} price(s) of {held['symbol'].n_unique()} coin(s) are held in quarantine, because a second source "
        "contradicts them (rows stored before stay in prices); see them: crypto-assets sql 'select symbol, ts, value_usd, "
        "other_usd, reason from quarantine where released_at is null'; trust one: crypto-assets release SYMBOL TS"
    )


def release(warehouse: Warehouse, symbol: str, ts: datetime) -> float:
    """Write a held row to ``prices``, and record when it was released.

    Args:
        warehouse: The tables.
        symbol: The coin.
        ts: The hour mark, UTC.

    Returns:
        Its price in USD.

    Raises:
        UsageError: No such row is held.
        WarehouseError: A table cannot be read or written.
    """
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
    names = [name for name in PRICES.given_names if name in held.columns]  # a price has the quality of prices
    warehouse.write(PRICES, held.select(*names, price_usd=pl.col("value_usd")), days(day, day))
    return float(row["value_usd"])
