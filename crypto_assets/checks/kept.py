"""Check ``coins_kept``: it names coins that had rows in the last month and have none now."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from crypto_assets.catalog import by_symbol, select
from crypto_assets.catalog.listings import untraded
from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.dates import DAY, midnight
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.registry import CONTRACTS, each_coin

SILENT_DAYS = 2  # closed days without a row: a venue's maintenance is shorter
MONTH_DAYS = 30


def coins_kept(table: Contract) -> Measure:
    """Find coins that had rows in the month before the last two closed days and have none since. WARN: it names them.

    Some providers answer without an error for a pair that was delisted, renamed or mistyped. ``rows_expected`` of one day
    cannot know that the coin had rows before.
    """

    def measure(scope: Scope) -> Outcome:
        yesterday = (scope.now - DAY).date()
        live = scope.live and bool(_coins(scope, table, yesterday - DAY * MONTH_DAYS, scope.now.date()))
        last = scope.now.date() if live else scope.end  # a backfill of old days is judged by its range
        since = min(last, yesterday) - DAY * (SILENT_DAYS - 1)
        before = _coins(scope, table, since - DAY * MONTH_DAYS, since - DAY)
        absent = sorted(before - _coins(scope, table, since, last))
        ended = [coin for coin in absent if _ended(table, coin, since, last)]
        lost = [coin for coin in absent if coin not in ended]
        named = ", ".join(f"{coin} (last {_last_day(scope, table, coin, since)})" for coin in lost[:8])
        text = f"all {len(before) - len(ended)} coin(s) with rows from {since - DAY * MONTH_DAYS} to {since - DAY} have rows since"
        if ended:
            text += f"; delisted as the catalogue says: {', '.join(ended)}"
        if lost:
            text = (
                f"{len(lost)} of {len(before)} coin(s) have no row since {since} and had some in the {MONTH_DAYS} days "
                f"before: {named}{'…' if len(lost) > 8 else ''}; see failed_coins of the newest materialisation, and "
                "correct the catalogue or CRYPTO_ASSETS_COINS"
            )
        return Outcome(
            not lost, text, "WARN", {"coins_before": len(before), "coins_lost": len(lost), "lost": {c: 1 for c in lost}}
        )

    return measure


def _coins(scope: Scope, table: Contract, first: date, last: date) -> set[str]:
    configured = {coin.symbol for coin in select(scope.settings.coins)}
    rows = scope.warehouse.read(table, start=first, end=last, columns=["symbol"])
    return configured & set(rows["symbol"].unique())


def _ended(table: Contract, coin: str, first: date, last: date) -> bool:
    """Whether dated rows say that the table's venue did not trade the coin in any hour of these days."""
    venue = each_coin()[table.table].ends_at
    span = (midnight(first), midnight(last + DAY))
    return venue is not None and untraded(by_symbol()[coin], venue, *span) == [span]


def _last_day(scope: Scope, table: Contract, coin: str, before: date) -> object:
    rows = scope.warehouse.read(
        table, start=before - DAY * MONTH_DAYS, end=before - timedelta(days=1), columns=["symbol", "date"]
    )
    return rows.filter(pl.col("symbol") == coin)["date"].max()


MEASURES = {name: {"coins_kept": coins_kept(CONTRACTS[name])} for name, rule in each_coin().items() if rule.kept}
