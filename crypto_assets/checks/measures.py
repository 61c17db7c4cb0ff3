"""Checks that every table has: contract, expected rows, fresh partitions, no failed partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TypeAlias

import polars as pl

from crypto_assets.catalog import by_symbol, select
from crypto_assets.catalog.listings import untraded
from crypto_assets.checks import state
from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.checks.parts import parts
from crypto_assets.checks.state import FRESHNESS, KEPT_DAYS, RECORDS
from crypto_assets.dates import DAY, days, midnight, runs_of
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.order import in_order
from crypto_assets.tables.registry import CONTRACTS, TABLES
from crypto_assets.tables.spec import (
    BusinessDays,
    DaysOf,
    DaysWithRows,
    EachCoin,
    EachDay,
    EachSeries,
    FromFirstRow,
    HoursOf,
    OnTheHour,
    RowsOf,
    ScoresOf,
    TableSpec,
)

# Exchanges miss a few hours a year. A smaller share means that the provider or the platform lost rows.
ROWS_THRESHOLD = 0.98
RECENT_DAYS = 7


def contract(table: Contract) -> Measure:
    """Check every stored row of the range against the contract. ERROR, because readers rely on the structure."""

    def measure(scope: Scope) -> Outcome:
        rows = 0

        def frames() -> Iterator[pl.DataFrame]:
            nonlocal rows
            # A key that may lie in two days must be seen with all days at once. Such tables are small.
            whole = [(scope.start, scope.end)]
            for first, last in parts(scope, table.table, len(table.names)) if table.key_names_the_day else whole:
                part = scope.warehouse.read(table, start=first, end=last, in_order=False)
                rows += part.height
                yield part

        return contract_outcome(table.violations_of(frames()), rows)

    return measure


def contract_outcome(problems: list[str], rows: int) -> Outcome:
    """What the contract's check says of so many rows of which these rules are broken."""
    return Outcome(
        not problems,
        "; ".join(problems[:3]) if problems else f"all {rows} rows keep the contract",
        "ERROR",
        {"rows": rows, "rules_broken": len(problems)},
    )


def _duplicates(table: Contract, scope: Scope) -> int:
    """Count the rows whose key an earlier row has.

    A day's rows are stored in key order, so equal keys are neighbours where a key names its day. To hash 13 million keys
    takes a gigabyte more.
    """
    if not table.key_names_the_day:
        frame = scope.warehouse.read(table, start=scope.start, end=scope.end, columns=table.key)
        return frame.height - frame.unique(list(table.key)).height
    names, found = sorted({*table.key, "date"}), 0
    by_day = ("date", *(name for name in table.key if name != "date"))
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in table.key)
    for first, last in parts(scope, table.table, len(names)):
        keys = scope.warehouse.read(table, start=first, end=last, columns=names, in_order=False)
        keys = keys if in_order(keys, by_day) else keys.sort(by_day)
        found += int(keys.select(same.alias("same"))["same"][1:].sum())
    return found


def rows_expected(table: Contract) -> Measure:
    """Compare the rows present with the rows expected over the closed days of the range; count gaps and duplicates.

    WARN, because providers have outages. ERROR where a key occurs twice, because the platform itself must prevent that.
    """

    def measure(scope: Scope) -> Outcome:
        duplicates = _duplicates(table, scope)
        rows = _stored_rows(scope, table.table)
        first = state.first_day(scope.warehouse, table.table, scope.now)
        due = state.days_due(table.table, first, scope.start, scope.end, scope.now, scope.settings)
        present = Present.of(scope, table.table)
        expected, present_count, note = expectation(table, scope, present)
        missing_days = len(set(due) - set(present.days))
        numbers = {
            "rows": rows, "rows_expected": expected, "rows_present": present_count, "duplicates": duplicates,
            "gaps": max(expected - present_count, 0), "days_due": len(due), "days_without_rows": missing_days,
        }  # fmt: skip
        if not due:
            text = f"no day of the range is due: {_why_none_is_due(table.table, present.closed)}, {duplicates} duplicate(s)"
            return Outcome(duplicates == 0, text, "ERROR" if duplicates else "WARN", numbers)
        ratio = present_count / expected if expected else 0.0
        passed = ratio >= ROWS_THRESHOLD and duplicates == 0
        text = f"{present_count} of {expected} expected rows ({ratio:.2%}), {duplicates} duplicate(s)"
        if missing_days:
            text += f", {missing_days} of {len(due)} due day(s) without rows"
        return Outcome(
            passed,
            f"{text}; {note}" if note else text,
            "ERROR" if duplicates else "WARN",
            {**numbers, "ratio": ratio},
        )

    return measure


def _why_none_is_due(table: str, closed: list[date]) -> str:
    if not closed:
        return "none is over"
    if TABLES[table].layer == "derived" and state.HISTORY[table] is not None:
        return "no row was ever due"
    return "no coin is listed there" if state.HISTORY[table] is None else "the provider does not show them"


Counted: TypeAlias = tuple[int, int, str]  # rows expected, rows present among them, a remark


@dataclass(frozen=True)
class Present:
    """The stored rows of the closed days of a range. They may be too many for the memory: what is wanted of them is counted.

    Attributes:
        scope: The tables and the range.
        table: The table.
        closed: The closed days on which a partition of the table begins.
        days: Those of them that have rows, with their number.
    """

    scope: Scope
    table: str
    closed: list[date]
    days: Mapping[date, int]

    @staticmethod
    def of(scope: Scope, table: str) -> Present:
        """Find the days, from the commit log alone."""
        closed = state.closed_partitions(table, scope.start, scope.end, scope.now)
        stored = scope.warehouse.days_with_rows(table, scope.start, scope.end)
        return Present(scope, table, closed, {day: stored[day] for day in closed if day in stored})

    @property
    def names(self) -> list[str]:
        """The columns of the key, and the date."""
        return sorted({*CONTRACTS[self.table].key, "date"})

    def summarise(self, how: Callable[[pl.LazyFrame], pl.LazyFrame]) -> pl.DataFrame:
        """Compute a small result from keys and dates of the rows."""
        inside = pl.col("date").is_in(self.closed)
        return self.scope.warehouse.summarise(
            self.table, lambda rows: how(rows.filter(inside)),
            start=self.scope.start, end=self.scope.end, columns=self.names,
        )  # fmt: skip


RowRule: TypeAlias = Callable[[Scope, Present], Counted]


def expectation(table: Contract, scope: Scope, present: Present) -> Counted:
    """Count the rows expected and present by the table's own rule (``TableSpec.expected``).

    Args:
        table: The contract of the table.
        scope: The tables and the range.
        present: The stored rows of the closed days.

    Returns:
        (rows expected, rows present among them, remark).

    Raises:
        WarehouseError: A table that the rule counts cannot be read.
    """
    return ROW_RULES[table.table](scope, present)


def rule_of(table: TableSpec) -> RowRule:
    """Return the function that counts the expected rows of a table; there is one function per kind of rule.

    Args:
        table: The spec of the table.

    Returns:
        The function of (scope, present), see :func:`expectation`.

    Raises:
        TypeError: No function counts this kind of rule.
    """
    due = table.expected
    if type(due) not in _KINDS:
        raise TypeError(f"{table.table}: checks/measures.py has no function for {type(due).__name__}; add it to _KINDS")
    count = _KINDS[type(due)]
    return lambda scope, present: count(due, table.table, scope, present)


def _each_coin(due: EachCoin, table: str, scope: Scope, present: Present) -> Counted:
    return _by_coin(scope, present, per_day=due.rows_per_day, source=due.identifier, ends_at=due.ends_at)


def _each_series(due: EachSeries, table: str, scope: Scope, present: Present) -> Counted:
    """Rows of each coin (and venue) from its first row in the range on; a day counts with what it owes at most."""
    if not present.days:
        return 0, 0, "no row in the range"
    series = [name for name in TABLES[table].contract.key if name != "ts"]
    per_day = due.rows_per_day
    last = min(scope.end, (scope.now - DAY).date())
    counted = [pl.len().alias("there"), pl.col("ts").min().dt.hour().cast(pl.Int64).alias("hour")]
    rows = present.summarise(lambda keys: keys.group_by(*series, "date").agg(counted))
    rows = rows.with_columns(there=pl.min_horizontal("there", per_day).cast(pl.Int64))
    whole = rows.group_by(series).agg(
        first=pl.col("date").min(), hour=pl.col("hour").sort_by("date").first(), there=pl.col("there").sum()
    )
    owing = whole.with_columns(
        owed=((pl.lit(last) - pl.col("first")).dt.total_days() + 1) * per_day - pl.col("hour") * per_day // 24
    )
    behind = owing.filter(pl.col("there") < pl.col("owed")).with_columns(gap=pl.col("owed") - pl.col("there"))
    worst = behind.sort("gap", *series, descending=[True, *(False for _ in series)]).head(3)
    named = ", ".join(f"{' '.join(row[:-1])} {row[-1]}" for row in worst.select(*series, "gap").rows())
    return int(owing["owed"].sum()), int(owing["there"].sum()), f"most missing: {named}" if named else ""


def _from_first_row(due: FromFirstRow, table: str, scope: Scope, present: Present) -> Counted:
    first = state.first_day(scope.warehouse, table, scope.now)
    wanted = state.days_due(table, first, scope.start, scope.end, scope.now, scope.settings)
    return len(wanted), len(set(wanted) & set(present.days)), "days with rows count, from the first stored one on"


def _rows_of(due: RowsOf, table: str, scope: Scope, present: Present) -> Counted:
    count = sum(present.days.values())
    if due.distinct is not None:
        names = ("date", due.distinct)
        count = present.summarise(lambda keys: keys.select(names).unique().select(pl.len())).item()
    return _rows(scope, due.table), count, due.note


def _each_day(due: EachDay, table: str, scope: Scope, present: Present) -> Counted:
    count = sum(present.days.values())
    if due.where is not None:
        meant = pl.col(due.where[0]) == due.where[1]
        count = present.summarise(lambda keys: keys.filter(meant).select(pl.len())).item()
    return len(present.closed) * due.rows, count, due.note


def _days_with_rows(due: DaysWithRows, table: str, scope: Scope, present: Present) -> Counted:
    if due.after:
        wanted = state.days_due(table, None, scope.start, scope.end, scope.now, scope.settings)
        return len(wanted), len(set(wanted) & set(present.days)), due.note
    return len(present.closed), len(present.days), due.note


def _business_days(due: BusinessDays, table: str, scope: Scope, present: Present) -> Counted:
    wanted = state.days_due(table, None, scope.start, scope.end, scope.now, scope.settings)
    return len(wanted), len(set(wanted) & set(present.days)), due.note


def _days_of(due: DaysOf, table: str, scope: Scope, present: Present) -> Counted:
    other = scope.warehouse.read(due.table, start=scope.start, end=scope.end, columns=["date", due.positive])
    wanted = other.filter(pl.col(due.positive) > 0, pl.col("date") < scope.now.date())["date"].n_unique()
    return wanted, len(present.days), due.note


def _hours_of(due: HoursOf, table: str, scope: Scope, present: Present) -> Counted:
    """Expect a row for each coin and hour mark for which one of the tables has a row; a few months are in memory at a time."""
    coins = [coin.symbol for coin in select(scope.settings.coins)]
    expected = found = 0
    for start, end, keys in _with_others(scope, present, due.tables):
        hours = []
        for name in due.tables:
            how = TABLES[name].read_by_features
            delay = how.delay_hours if isinstance(how, OnTheHour) else 0
            first = start - DAY if delay else start
            rows = scope.warehouse.read(name, start=first, end=end, columns=["symbol", "ts"], in_order=False)
            hours.append(rows.with_columns(pl.col("ts") + timedelta(hours=delay)))
        wanted = (
            pl.concat(hours)
            .unique()
            .filter(
                pl.col("symbol").is_in(coins),
                pl.col("ts").dt.date().is_between(start, end),
                pl.col("ts").dt.date() < scope.now.date(),
            )
        )
        expected += wanted.height
        found += wanted.join(keys, on=["symbol", "ts"], how="semi").height
    return expected, found, ""


def _with_others(scope: Scope, present: Present, tables: Sequence[str]) -> Iterator[tuple[date, date, pl.DataFrame]]:
    """Yield (first day, last day, keys of the present rows): so many days that the keys of the other tables fit too."""
    most = max((name for name in (present.table, *tables)), key=lambda name: _stored_rows(scope, name))
    for first, last in parts(scope, most, len(present.names) * (1 + len(tables))):
        keys = scope.warehouse.read(present.table, start=first, end=last, columns=present.names, in_order=False)
        yield first, last, keys.filter(pl.col("date").is_in(present.closed))


def _stored_rows(scope: Scope, table: str) -> int:
    return sum(scope.warehouse.days_with_rows(table, scope.start, scope.end).values())


def _scores_of(due: ScoresOf, table: str, scope: Scope, present: Present) -> Counted:
    """Expect the rows of the other table from the first hour in which this one has a row, once for each model of the day."""
    if not present.days:
        return 0, 0, "no row in the range"
    last_day, since = min(scope.end, (scope.now - DAY).date()), None
    expected = found = 0
    for first, last, keys in _with_others(replace(scope, start=min(present.days), end=last_day), present, [due.table]):
        since = keys["ts"].min() if since is None else since
        names = ["symbol", "ts", "date"]
        rows = scope.warehouse.read(due.table, start=first, end=last, columns=names, in_order=False)
        wanted = rows.filter(pl.col("ts") >= since)
        if due.models is None:
            expected += wanted.height
        else:
            expected += wanted.join(keys.select("date", due.models).unique(), on="date", how="inner").height
        found += keys.join(wanted, on=["symbol", "ts"], how="semi").height
    return expected, found, ""


def _rows(scope: Scope, table: str) -> int:
    """Count the rows of the closed days; those of the day in progress are not expected yet."""
    last = min(scope.end, (scope.now - DAY).date())
    return sum(scope.warehouse.days_with_rows(table, scope.start, last).values())


def _by_coin(
    scope: Scope, present: Present, *, per_day: int, source: str | None, ends_at: str | None
) -> tuple[int, int, str]:
    """Count by coin, from the first day of each in the range on. A coin without any row is named and is no gap.

    Hours in which the catalogue says that ``ends_at`` did not trade the coin are due only where they have a row.
    """
    coins = coins_of(scope, source)
    seen = first_seen(present, coins)
    last = min(scope.end, (scope.now - DAY).date())
    due = with_rows_due(seen, last, per_day)
    if ends_at is not None:
        due = _without_untraded(due, present, ends_at, last)
    unseen = sorted(set(coins) - set(due["symbol"]))
    worst = (
        due.with_columns(gap=pl.col("due") - pl.col("rows"))
        .filter(pl.col("gap") > 0)
        .sort("gap", "symbol", descending=[True, False])
    )
    notes = []
    if worst.height:
        notes.append("most missing: " + ", ".join(f"{s} {g}" for s, g in worst.select("symbol", "gap").head(3).rows()))
    if unseen:
        notes.append(f"{len(unseen)} coin(s) without any row: {', '.join(unseen[:8])}{'…' if len(unseen) > 8 else ''}")
    return int(due["due"].sum()), int(due["rows"].sum()), "; ".join(notes)


def _without_untraded(due: pl.DataFrame, present: Present, venue: str, last: date) -> pl.DataFrame:
    """Take off ``due`` the hours after a coin's first row in which the venue did not trade it and no other gave a row."""
    fewer, spans = {}, {}
    for symbol, first, hour in due.select("symbol", "first", "hour").rows():
        gaps = untraded(by_symbol()[symbol], venue, midnight(first) + timedelta(hours=hour), midnight(last + DAY))
        if gaps:
            spans[symbol] = gaps
    if spans:
        within = pl.col("symbol").is_in(list(spans)) & (pl.col("ts") >= min(gaps[0][0] for gaps in spans.values()))
        hours = present.summarise(lambda keys: keys.filter(within).select("symbol", "ts"))
        for symbol, gaps in spans.items():
            ts = hours.filter(pl.col("symbol") == symbol)["ts"]
            there = sum(int(((ts >= begin) & (ts < end)).sum()) for begin, end in gaps)
            fewer[symbol] = sum(int((end - begin) / timedelta(hours=1)) for begin, end in gaps) - there
    off = pl.col("symbol").replace_strict(fewer, default=0, return_dtype=pl.Int64) if fewer else pl.lit(0, pl.Int64)
    return due.with_columns(due=pl.col("due") - off)


def coins_of(scope: Scope, source: str | None) -> list[str]:
    """Return the configured coins that have this identifier in the catalogue; all of them for None."""
    return [c.symbol for c in select(scope.settings.coins) if source is None or getattr(c, source)]


def first_seen(present: Present, coins: Sequence[str]) -> pl.DataFrame:
    """Return one row per coin: symbol, first (its first day), hour (UTC hour of its first row; 0 in daily tables), rows."""
    hour = pl.col("ts").min().dt.hour().cast(pl.Int64) if "ts" in present.names else pl.lit(0, pl.Int64)
    facts = [pl.col("date").min().alias("first"), hour.alias("hour"), pl.len().cast(pl.Int64).alias("rows")]
    mine = pl.col("symbol").is_in(coins)
    return present.summarise(lambda keys: keys.filter(mine).group_by("symbol").agg(facts))


def with_rows_due(seen: pl.DataFrame, last: date, per_day: int) -> pl.DataFrame:
    """Add ``due``, the rows due of each coin from its first hour to the end of the last day.

    Args:
        seen: See :func:`first_seen`.
        last: The last day, included.
        per_day: Rows of a coin on a day.

    Returns:
        ``seen`` with the column ``due``.
    """
    days_due = (pl.lit(last) - pl.col("first")).dt.total_days() + 1
    return seen.with_columns(due=days_due * per_day - pl.col("hour"))


def fresh_partitions(table: Contract) -> Measure:
    """Check that each due partition has rows up to the end of its day.

    A live check includes the last days of a table that is kept up to date, so a backfill of old days hides no late day.
    """

    def measure(scope: Scope) -> Outcome:
        late_after = FRESHNESS[table.table].late_after
        looked_at = _looked_at(scope, table.table)
        newest: dict[date, datetime] = {}
        for first, last in runs_of(looked_at):
            by_day = scope.warehouse.summarise(
                table, lambda rows: rows.group_by("date").agg(pl.col("available_at").max()),
                start=first, end=last, columns=["date", "available_at"],
            )  # fmt: skip
            newest |= dict(by_day.rows())
        began = state.first_day(scope.warehouse, table.table, scope.now)
        kept = {
            day
            for begin, end in runs_of(looked_at)
            for day in state.days_due(table.table, began, begin, end, scope.now, scope.settings)
        }
        due = [day for day in looked_at if day in kept and midnight(day + DAY) + late_after <= scope.now]
        late = [day for day in due if day not in newest or newest[day] < _reached(table.table, day, late_after)]
        text = f"{len(due) - len(late)} of {len(due)} due partition(s) hold rows up to their day's end"
        if not due:
            text = "none of the checked partitions is due yet"
        if late:
            text += f"; behind: {', '.join(map(str, late[:5]))}{'…' if len(late) > 5 else ''}"
        return Outcome(
            not late,
            text,
            "WARN",
            {
                "partitions_due": len(due),
                "partitions_behind": len(late),
                **({"newest_available_at": max(newest.values())} if newest else {}),
                **_judged_days(looked_at, late, scope.now.date() - DAY * RECENT_DAYS),
            },
        )

    return measure


def _judged_days(looked_at: list[date], late: list[date], since: date) -> dict[str, str]:
    """Return the first and last day of the outcome, for alerts: days of the last week, or of the range if only those are late."""
    if not looked_at:  # the first day is still in progress: no day was checked
        return {}
    recent = [day for day in looked_at if day >= since]
    behind = [day for day in late if day >= since]
    first, last = (looked_at[0], looked_at[-1])
    if late and not behind:
        first, last = late[0], late[-1]
    elif recent:
        first, last = (behind or recent)[0], recent[-1]
    return {"first_day": first.isoformat(), "last_day": last.isoformat()}


def _looked_at(scope: Scope, table: str) -> list[date]:
    """Return the days to check: those of the range, and for a live check the last days of a table that is kept up to date.

    The first day of a table is left out, because its history may begin in the middle of that day.
    """
    found = set(days(scope.start, scope.end))
    today = scope.now.date()
    written = scope.warehouse.days_with_rows(table, today - DAY * KEPT_DAYS, today) if scope.live else {}
    if written:
        first = max(today - DAY * RECENT_DAYS, scope.settings.start, min(written) + DAY)
        found |= set(days(first, today - DAY))
    return sorted(found)


def _reached(table: str, day: object, late_after: timedelta) -> datetime:
    return midnight(day) + max(DAY - late_after, timedelta())  # type: ignore[arg-type]


def no_failed_partitions(table: Contract) -> Measure:
    """Check that no partition of the table is failed: in the range, or of any age for a live check.

    WARN: the refill repeats a failed partition; one that stays failed needs a person.
    """

    def measure(scope: Scope) -> Outcome:
        if scope.instance is None:
            return Outcome(True, "Dagster is not available: failed partitions were not checked")
        first, last = (scope.settings.start, scope.now.date()) if scope.live else (scope.start, scope.end)
        failed = state.failed_days(scope.instance, table.table, first, last)
        text = "no partition is left failed"
        if failed:
            spans = [f"{a}" if a == b else f"{a} to {b}" for a, b in runs_of(failed)]
            text = f"{len(failed)} partition(s) left failed: {', '.join(spans[-5:])}{' and more' if spans[5:] else ''}"
            text += f"; crypto-assets backfill --start {failed[0]} --end {failed[-1]} --missing tries again"
        return Outcome(not failed, text, "WARN", {"partitions_failed": len(failed)})

    return measure


_KINDS: dict[type, Callable[..., Counted]] = {
    EachCoin: _each_coin,
    EachSeries: _each_series,
    FromFirstRow: _from_first_row,
    RowsOf: _rows_of,
    EachDay: _each_day,
    DaysWithRows: _days_with_rows,
    BusinessDays: _business_days,
    DaysOf: _days_of,
    HoursOf: _hours_of,
    ScoresOf: _scores_of,
}
ROW_RULES: dict[str, RowRule] = {name: rule_of(spec) for name, spec in TABLES.items() if name not in RECORDS}

FAMILIES = {"contract": contract, "rows_expected": rows_expected, "fresh_partitions": fresh_partitions}
FAILED_FAMILY = {"no_failed_partitions": no_failed_partitions}
MEASURES: dict[str, dict[str, Measure]] = {
    name: {
        **{family: build(table) for family, build in FAMILIES.items() if name not in RECORDS or family == "contract"},
        **{family: build(table) for family, build in FAILED_FAMILY.items() if name in FRESHNESS},
    }
    for name, table in CONTRACTS.items()
}
