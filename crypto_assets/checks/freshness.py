"""Check ``fresh``: the age of the newest row against the limit of the table, for the whole table and by coin.

Dagster's own freshness uses the time of the last materialisation, so the backfill of an old day makes a table look fresh.
This check uses the newest ``available_at`` in the table: it fails during a backfill of old days, and passes with the
first tick that stores new rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from crypto_assets.checks import state
from crypto_assets.checks.measures import RECENT_DAYS
from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.checks.state import FRESHNESS, RECORDS
from crypto_assets.dates import DAY
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.registry import CONTRACTS

COIN_MAY_REST = timedelta(hours=3)  # some coins have hours without a trade


def fresh(table: Contract) -> Measure:
    """Compare the newest row with the table's limit (ERROR), then the newest row of each coin (WARN from three hours).

    Recorded data is never late. A table without a row of the last 40 days is not kept up to date: WARN.
    """
    limit = FRESHNESS[table.table].late_after

    def measure(scope: Scope) -> Outcome:
        found = freshness_in(scope, table.table)
        if found is None:
            return Outcome(True, "the range ends in the past: freshness is not judged")
        if found.status == state.RECORDED:
            return Outcome(True, "recorded data and old sandbox data are not late")
        if not found.due:
            return Outcome(
                True, "no row is due: the table has none yet, and nothing says when its first one can be there"
            )
        if found.newest is None:
            return Outcome(False, "the table has no row that is known by now", "WARN", _numbers(None, limit, 0, 0))
        if found.status == state.NOT_KEPT:
            text = f"no row of the last {state.KEPT_DAYS} days: the table is not kept up to date; the newest row was "
            text += f"known at {found.newest:%Y-%m-%d %H:%M} UTC"
            return Outcome(False, text, "WARN", _numbers(None, limit, 0, 0))
        return _judge(scope, found, _coins(scope, table, found.newest))

    return measure


def freshness_in(scope: Scope, table: str) -> state.TableFreshness | None:
    """Return the freshness of a table.

    Args:
        scope: The tables and the instant.
        table: The table.

    Returns:
        Its freshness; None where the range ends in the past and the scope is not live, or the table has no limit.

    Raises:
        WarehouseError: The table cannot be read.
    """
    if table not in FRESHNESS or (not scope.live and scope.end < (scope.now - DAY).date()):
        return None
    return scope.once(f"freshness of {table}", lambda: state.freshness_of(scope.warehouse, table, scope.now))


def _judge(scope: Scope, found: state.TableFreshness, newest: dict[str, datetime]) -> Outcome:
    last, age, limit = found.newest or scope.now, found.age or timedelta(), found.late_after
    recent = scope.now - DAY * RECENT_DAYS  # a coin without a row since then has left its venue and is not expected
    coins = {coin: seen for coin, seen in newest.items() if seen >= recent}
    rest = max(limit, COIN_MAY_REST)
    behind = sorted((seen, coin) for coin, seen in coins.items() if scope.now - seen > rest)
    text = f"the newest row was known {_ago(age)} ago, at {last:%Y-%m-%d %H:%M} UTC; the limit is {_ago(limit)}"
    if found.fresh and behind:
        names = ", ".join(f"{coin} ({_ago(scope.now - seen)})" for seen, coin in behind[:5])
        text += f"; {len(behind)} of {len(coins)} coin(s) stay behind: {names}{'…' if len(behind) > 5 else ''}"
    return Outcome(
        bool(found.fresh) and not behind,
        text,
        "WARN" if found.fresh else "ERROR",
        {**_numbers(age, limit, len(coins), len(behind)), "newest_available_at": last},
    )


def _numbers(age: timedelta | None, limit: timedelta, coins: int, behind: int) -> dict[str, float | int]:
    """Return the numbers that the UI plots over time."""
    minutes = {} if age is None else {"age_minutes": round(age.total_seconds() / 60, 1)}
    return {**minutes, "limit_minutes": limit.total_seconds() / 60, "coins": coins, "coins_behind": behind}


def _coins(scope: Scope, table: Contract, newest: datetime) -> dict[str, datetime]:
    """Return coin -> its newest ``available_at`` that is known by now, over the last days."""
    if not FRESHNESS[table.table].by_coin:
        return {}
    first = newest.date() - DAY * (RECENT_DAYS + 1)
    rows = scope.warehouse.read(table, start=first, end=scope.now.date() + DAY, columns=["available_at", "symbol"])
    known = rows.filter(pl.col("available_at") <= scope.now)
    return dict(known.group_by("symbol").agg(pl.col("available_at").max()).rows())


def _ago(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return (
        f"{minutes} min" if minutes < 180 else f"{minutes / 60:.1f} h" if minutes < 4320 else f"{minutes / 1440:.0f} d"
    )


MEASURES: dict[str, dict[str, Measure]] = {
    table: {"fresh": fresh(CONTRACTS[table])} for table in FRESHNESS if table not in RECORDS
}
