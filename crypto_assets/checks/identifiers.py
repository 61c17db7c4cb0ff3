"""Check ``identifiers``: if two sources contradict each other for most of a day, one identifier may be wrong."""

from __future__ import annotations

from datetime import date

import polars as pl

from crypto_assets.catalog import by_symbol
from crypto_assets.checks.outcome import Outcome, Scope

LEAST_HOURS = 3  # fewer contradicted hours of a day are single outliers
SUSPECT_SHARE = 0.5  # of the hours of a day that both sources have
SHOWN = 3


def identifiers(scope: Scope) -> Outcome:
    """Find coins for which a second source contradicts most hours of a day.

    One of the two identifiers then names another coin, or another unit. ERROR: `prices` lacks these hours, or has wrong
    ones, until a person decides.
    """
    suspects = suspected(scope)
    if suspects.is_empty():
        return Outcome(True, "no coin has sources that contradict each other for most of a day", "ERROR", {"coins": 0})
    coins = suspects["symbol"].unique().sort().to_list()
    by_coin = [_said(symbol, suspects.filter(symbol=symbol)) for symbol in coins[:SHOWN]]
    more = f"; and {len(coins) - SHOWN} more coin(s)" if len(coins) > SHOWN else ""
    return Outcome(
        False,
        f"suspected wrong identifier: {'; '.join(by_coin)}{more}. Compare the two names at their providers. If one names "
        "another coin, correct its row in crypto_assets/catalog/coins.csv and backfill prices of these days; if both are "
        "right, release the prices: crypto-assets release SYMBOL TS",
        "ERROR",
        {"coins": len(coins), "coin_days": suspects.height, "hours_held": int(suspects["held"].sum())},
    )


def suspected(scope: Scope) -> pl.DataFrame:
    """Find the days on which the second source contradicts most hours of a coin.

    Args:
        scope: The tables and the range; a live scope includes today.

    Returns:
        One row per coin and day: symbol, date, held (hours in quarantine, not released), compared (hours that both
        sources have), other_source.
    """
    end = max(scope.end, scope.now.date()) if scope.live else scope.end
    held = scope.warehouse.read("quarantine", start=scope.start, end=end).filter(
        pl.col("table_name") == "prices", pl.col("released_at").is_null()
    )
    days = held.group_by("symbol", "date").agg(
        held=pl.len().cast(pl.Int64), other_source=pl.col("other_source").mode().sort().first()
    )
    days = days.filter(pl.col("held") >= LEAST_HOURS)
    if days.is_empty():
        return days.with_columns(compared=pl.lit(0, pl.Int64))
    symbols = days["symbol"].unique().to_list()
    # Suspects are rare, and these load Dagster and pandas.
    from crypto_assets.assets.quarantine import second_source_bars
    from crypto_assets.transforms.outliers import HOUR

    bars = second_source_bars(scope.warehouse, scope.start, end, symbols).with_columns(pl.col("ts") + HOUR)
    both = (
        scope.warehouse.read("prices", start=scope.start, end=end, columns=["symbol", "ts", "date"], symbols=symbols)
        .join(bars, on=["symbol", "ts"], how="semi")
        .join(held, on=["symbol", "ts"], how="anti")
    )
    agreeing = both.group_by("symbol", "date").agg(agreeing=pl.len().cast(pl.Int64))
    found = days.join(agreeing, on=["symbol", "date"], how="left").with_columns(
        compared=pl.col("held") + pl.col("agreeing").fill_null(0)
    )
    return found.filter(pl.col("held") >= SUSPECT_SHARE * pl.col("compared")).drop("agreeing").sort("symbol", "date")


def _said(symbol: str, rows: pl.DataFrame) -> str:
    coin = by_symbol().get(symbol)
    other = str(rows["other_source"][0])
    name = next((n for n in ("kraken", "binance") if n in other), "")
    first, last = rows["date"].min(), rows["date"].max()
    assert isinstance(first, date) and isinstance(last, date)
    when = f"on {first}" if first == last else f"on {rows.height} day(s) from {first} to {last}"
    ours = repr(coin.coingecko) if coin else "unknown"
    theirs = repr(getattr(coin, name)) if coin and name else "unknown"
    return (
        f"{symbol}: {rows['held'].sum()} of {rows['compared'].sum()} hour(s) {when} contradict {other} "
        f"(coingecko asks for {ours}, {other} for {theirs})"
    )


MEASURES = {"prices": {"identifiers": identifiers}}
