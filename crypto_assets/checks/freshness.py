"""Is a table fresh now? Its newest row against its limit, as a whole and coin by coin, whatever a run was about.

Dagster's own freshness looks at when anything was materialised, so a backfill of an old day makes it green. This looks
at the newest ``available_at`` that is in the table: it is red although old days are being backfilled, and green with the
first tick that brings new rows.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from crypto_assets.automation import FRESHNESS
from crypto_assets.checks.measures import KEPT_DAYS, RECENT_DAYS, RECORDS
from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.contract import Contract
from crypto_assets.partitions import DAY
from crypto_assets.schemas import CONTRACTS

# Tables with a row of every coin each hour or day: there a coin that stays behind has stopped.
BY_COIN = ("prices", "ohlc", "kraken_ohlc", "onchain_base", "onchain_enhanced", "ml_features")
COIN_MAY_REST = timedelta(hours=3)  # a thin market has hours without a trade
REPLAY = "sandbox-replay"  # the sandbox's mark on recorded data


def fresh(table: Contract) -> Measure:
    """The newest row's ``available_at`` against the table's limit (ERROR), then each coin's (WARN; three hours at least).

    Recorded data is not late. A table without any row of the last 40 days is history that nobody keeps up: WARN.
    """
    limit = FRESHNESS[table.table].late_after

    def measure(scope: Scope) -> Outcome:
        if not scope.live and scope.end < (scope.now - DAY).date():
            return Outcome(True, "the range ends in the past: not judged")
        newest, recorded = _newest(scope, table)
        if recorded:
            return Outcome(True, "recorded data and the sandbox's of long ago are not late")
        if not newest:
            text = f"no row of the last {KEPT_DAYS} days: the table is not kept up to date"
            return Outcome(False, text, "WARN", _numbers(None, limit, 0, 0))
        return _judge(scope, table.table, newest, limit)

    return measure


def _judge(scope: Scope, table: str, newest: dict[str | None, datetime], limit: timedelta) -> Outcome:
    last = max(newest.values())
    age = scope.now - last
    recent = scope.now - DAY * RECENT_DAYS  # a coin that left its venue earlier is no longer expected
    coins = {coin: seen for coin, seen in newest.items() if coin is not None and seen >= recent}
    rest = max(limit, COIN_MAY_REST)
    behind = sorted((seen, coin) for coin, seen in coins.items() if scope.now - seen > rest)
    text = f"the newest row was known {_ago(age)} ago, at {last:%Y-%m-%d %H:%M} UTC; the limit is {_ago(limit)}"
    if age <= limit and behind:
        names = ", ".join(f"{coin} ({_ago(scope.now - seen)})" for seen, coin in behind[:5])
        text += f"; {len(behind)} of {len(coins)} coin(s) stay behind: {names}{'…' if len(behind) > 5 else ''}"
    return Outcome(
        age <= limit and not behind,
        text,
        "ERROR" if age > limit else "WARN",
        {**_numbers(age, limit, len(coins), len(behind)), "newest_available_at": last.isoformat()},
    )


def _numbers(age: timedelta | None, limit: timedelta, coins: int, behind: int) -> dict[str, float | int]:
    """Plotted over time by the UI."""
    minutes = {} if age is None else {"age_minutes": round(age.total_seconds() / 60, 1)}
    return {**minutes, "limit_minutes": limit.total_seconds() / 60, "coins": coins, "coins_behind": behind}


def _newest(scope: Scope, table: Contract) -> tuple[dict[str | None, datetime], bool]:
    """Coin (or None) -> newest ``available_at`` not in the future; and whether the newest rows are a recording's.

    Only the newest days are opened: as many as a coin may be behind.
    """
    today = scope.now.date()
    written = scope.warehouse.days_with_rows(table.table, today - DAY * KEPT_DAYS, today + DAY)
    if not written:
        return {}, _is_recorded(scope, table)
    last = max(written)
    by_coin = table.table in BY_COIN
    columns = ["available_at", *(["symbol"] if by_coin else []), *(["source"] if "source" in table.by_name else [])]

    def known(start: date) -> pl.DataFrame:
        rows = scope.warehouse.read(table, start=start, end=last, columns=columns)
        return rows.filter(pl.col("available_at") <= scope.now)

    rows = known(last - DAY * (RECENT_DAYS + 1 if by_coin else 2))
    if rows.is_empty():  # a wrong clock has dated what came last; it must not hide that the table is late
        rows = known(min(written))
    if "source" in rows.columns and rows["source"].str.starts_with(REPLAY).any():
        return {}, True
    key = pl.col("symbol") if by_coin else pl.lit(None, pl.String).alias("symbol")
    return dict(rows.group_by(key).agg(pl.col("available_at").max()).rows()), False


def _is_recorded(scope: Scope, table: Contract) -> bool:
    """Whether the newest rows, of long ago, are a recording's or another sandbox's."""
    days: dict[date, int] = scope.warehouse.days_with_rows(table.table, date.min, scope.now.date())
    if not days or "source" not in table.by_name:
        return False
    last = max(days)
    sources = scope.warehouse.read(table, start=last, end=last, columns=["source"])["source"]
    return bool(sources.str.starts_with("sandbox").any())


def _ago(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return (
        f"{minutes} min" if minutes < 180 else f"{minutes / 60:.1f} h" if minutes < 4320 else f"{minutes / 1440:.0f} d"
    )


MEASURES: dict[str, dict[str, Measure]] = {
    table: {"fresh": fresh(CONTRACTS[table])} for table in FRESHNESS if table not in RECORDS
}
