"""Checks of names over time: who was delisted, what nobody explains, and whether stored bars are in today's unit."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from crypto_assets.catalog import Coin, select, symbols
from crypto_assets.catalog.listings import SPOT, dated
from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.parts import parts
from crypto_assets.dates import DAY, runs_of
from crypto_assets.tables.universe import SUSPECTED

RECENT_DAYS = 7
SHOWN = 12
BINANCE = "binance_usdt"  # the end of ``source`` in bars of Binance, the venue with dated rows


def coins_delisted(scope: Scope) -> Outcome:
    """Name each coin that no venue traded any more on a day of the range, with the day of its last trade.

    It never fails: a delisting is no fault of the platform. The days after it have no bars, and none are due.
    """
    found = delisted(scope)
    if not found:
        return Outcome(True, "no configured coin was delisted in the range or before it", "WARN", {"coins": 0})
    named = "; ".join(f"{symbol} on {day} ({why})" for symbol, (day, why) in sorted(found.items()))
    return Outcome(True, f"{len(found)} coin(s) delisted: {named}", "WARN", {"coins": len(found)})


def delisted(scope: Scope) -> dict[str, tuple[date, str]]:
    """Find the coins that were not traded any more on a day of the range.

    Args:
        scope: The tables and the range.

    Returns:
        Symbol -> (UTC day of the last trade, how we know), from ``universe``, and from the catalogue for coins of which it
        has no row.

    Raises:
        WarehouseError: The table cannot be read.
    """
    return scope.once("delisted coins", lambda: _delisted(scope))


def _delisted(scope: Scope) -> dict[str, tuple[date, str]]:
    rows = scope.warehouse.read(
        "universe", start=scope.start, end=scope.end, columns=["symbol", "date", "delisted_on", "evidence"]
    )
    coins = select(scope.settings.coins)
    ended = rows.filter(pl.col("delisted_on").is_not_null(), pl.col("symbol").is_in(symbols(coins))).sort("date")
    found = {symbol: (day, why) for symbol, day, why in ended.select("symbol", "delisted_on", "evidence").rows()}
    for coin in coins:
        if coin.symbol not in found and (known := _by_catalogue(coin, scope.start, scope.end)):
            found[coin.symbol] = known
    return found


def _by_catalogue(coin: Coin, start: date, end: date) -> tuple[date, str] | None:
    for venue in SPOT:
        rows = dated(coin, venue)
        for n, one in enumerate(rows):
            following = rows[n + 1] if n + 1 < len(rows) else None
            final = one.ended == "delisted" or following is None
            if one.ends and one.last_day <= end and final and (following is None or following.since.date() > start):
                return one.last_day, f"{venue} {one.ended} {one.ticker}"
    return None


def coins_suspected(scope: Scope) -> Outcome:
    """Name coins whose rows show an end or a jump that no row of the catalogue explains. A live check has the last week too.

    WARN: features leave the jump out, so nothing false is in them; but the days before it may be of another unit or coin.
    """
    start = min(scope.start, scope.now.date() - DAY * RECENT_DAYS) if scope.live else scope.start
    rows = scope.warehouse.read(
        "universe", start=start, end=scope.end, columns=["symbol", "date", "state", "evidence"]
    ).filter(pl.col("state") == SUSPECTED)
    if rows.is_empty():
        return Outcome(True, "every end and every jump is explained by the catalogue", "WARN", {"coins": 0})
    newest = rows.sort("date").group_by("symbol").last().sort("symbol")
    named = "; ".join(f"{symbol}: {why}" for symbol, why in newest.select("symbol", "evidence").head(SHOWN).rows())
    return Outcome(
        False,
        f"{newest.height} coin(s) suspected: {named}; see docs/runbooks/suspected-change.md",
        "WARN",
        {
            "coins": newest.height,
            "coin_days": rows.height,
            "first_day": rows["date"].min().isoformat(),  # type: ignore[union-attr]
            "last_day": rows["date"].max().isoformat(),  # type: ignore[union-attr]
        },
    )


def units(scope: Scope) -> Outcome:
    """Compare the unit of stored bars with the catalogue: a row that was added to it later makes older bars wrong.

    ERROR: bars of two units, or of another coin, are in one series until these days are fetched again.
    """
    wrong: dict[str, set[date]] = {}
    for first, last in parts(scope, "ohlc", 5):
        for symbol, days in _of_other_unit(scope, first, last).items():
            wrong.setdefault(symbol, set()).update(days)
    if not wrong:
        return Outcome(True, "bars are in the units that the catalogue says", "ERROR", {"coins": 0})
    spans = {symbol: runs_of(sorted(days)) for symbol, days in sorted(wrong.items())}
    named = "; ".join(f"{symbol} from {runs[0][0]} to {runs[-1][1]}" for symbol, runs in list(spans.items())[:SHOWN])
    first, last = min(min(days) for days in wrong.values()), max(max(days) for days in wrong.values())
    return Outcome(
        False,
        f"bars of {len(wrong)} coin(s) were stored before the catalogue had their names of then: {named}; fetch them again: "
        f"crypto-assets backfill --start {first} --end {last} --select 'key:\"ohlc\"'",
        "ERROR",
        {"coins": len(wrong), "days": len(set().union(*wrong.values()))},
    )


def _of_other_unit(scope: Scope, first: date, last: date) -> dict[str, set[date]]:
    """Return coin -> days on which bars of Binance have another factor than the catalogue."""
    wrong: dict[str, set[date]] = {}
    coins = [coin for coin in select(scope.settings.coins) if dated(coin, "binance")]
    rows = scope.warehouse.read(
        "ohlc", start=first, end=last, columns=["symbol", "ts", "date", "source", "factor"],
        symbols=[coin.symbol for coin in coins], in_order=False,
    ).filter(pl.col("source").str.ends_with(BINANCE))  # fmt: skip
    for coin in coins:
        expected = pl.lit(None, pl.Float64)
        for one in dated(coin, "binance"):
            inside = (pl.col("ts") >= _us(one.since)) & (pl.col("ts") < _us(one.until))
            expected = pl.when(inside).then(one.factor).otherwise(expected)
        mine = rows.filter(pl.col("symbol") == coin.symbol).filter(
            (pl.col("factor").fill_null(1.0) != expected).fill_null(value=True)
        )
        if mine.height:
            wrong[coin.symbol] = set(mine["date"])
    return wrong


def _us(moment: datetime) -> pl.Expr:
    return pl.lit(moment).cast(pl.Datetime("us", "UTC"))


MEASURES = {
    "universe": {"coins_delisted": coins_delisted, "coins_suspected": coins_suspected},
    "ohlc": {"units": units},
}
