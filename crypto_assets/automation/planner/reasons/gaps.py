"""Days that are missing, failed, unsettled or incomplete.

Ticks may be missed: the machine slept, a provider was down, a run was killed. Nothing is repeated tick by tick: whoever
looks finds which days lack what. A day is settled once it was fetched later than its provider had all of it. Derived
days follow on the next look, when their inputs are there.

Bounded on purpose: gaps are looked for in the window only (a history that nobody asked for is no gap), failed days
anywhere. What the rules stop after a few attempts stays red in ``nothing_failed`` meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from dagster import DagsterInstance

from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.state import TableDays, table_days
from crypto_assets.automation.planner.wishes import UnderWay, Wish
from crypto_assets.dates import DAY, days, midnight

WINDOW_DAYS = 7


def window_of(specs: Specs, now: datetime) -> list[date]:
    """The closed days in which gaps are looked for; ticks fill the day in progress."""
    yesterday = now.date() - DAY
    last = specs.last_day or yesterday
    return [day for day in days(yesterday - DAY * (WINDOW_DAYS - 1), yesterday) if specs.first_day <= day <= last]


def observe(instance: DagsterInstance, specs: Specs, now: datetime) -> dict[str, TableDays]:
    """How the days of every table stand that is kept complete."""
    window = window_of(specs, now)
    if not window:
        return {}
    fetched = set(specs.settles_after) - set(specs.look_back)
    return {
        table: table_days(instance, table, specs.first_day, window[-1], window if table in fetched else ())
        for table in specs.kept_up
    }


def wishes(
    tables: Mapping[str, TableDays], specs: Specs, now: datetime, under_way: UnderWay | None = None
) -> list[Wish]:
    """Every day that should be asked for again now."""
    window = [day for day in window_of(specs, now) if tables]
    found: list[Wish] = []
    for table, state in tables.items():
        if table not in specs.look_back:
            found += _fetched(table, state, specs, window, now)
    coming: dict[str, set[date]] = {}  # what this look asks for and no run under way has
    for wish in found:
        if not wish.coins and not (under_way and under_way.covers(wish.table, wish.day)):
            coming.setdefault(wish.table, set()).add(wish.day)
    for table, inputs in specs.required_inputs.items():
        derived = _derived(table, inputs, tables, coming, window)
        found += derived
        coming[table] = {wish.day for wish in derived}
    return found


def _fetched(table: str, state: TableDays, specs: Specs, window: Sequence[date], now: datetime) -> list[Wish]:
    """Days to fetch, and days that lack only the coins for which the provider failed."""
    wanted = {day: f"failed: {table} {day} failed when it was last tried" for day in _failed(state)}
    if table not in specs.settles_after:
        # It shows the present only: a run of a day that is over asks nobody, keeps the rows of an earlier look, and says
        # that the provider no longer shows the day. It ends the failure, which nothing else could.
        return [Wish(table, day, reason) for day, reason in wanted.items()]
    lag = specs.settles_after[table]
    for day in window:
        settles = midnight(day + DAY) + lag
        if day in wanted or settles > now or state.states.get(day) == "IN_PROGRESS":
            continue
        if day not in state.written:
            wanted[day] = f"gap: {table} {day} is missing"
        elif state.written[day] < settles.timestamp():
            wanted[day] = f"unsettled: {table} {day} was fetched before its provider had the whole day"
    found = [Wish(table, day, reason) for day, reason in wanted.items()]
    for day, coins in state.lacking.items():
        if day not in wanted:
            found.append(Wish(table, day, f"failed coins: {table} {day} lacks {', '.join(coins)}", coins))
    return found


def _derived(
    table: str,
    inputs: Sequence[str],
    tables: Mapping[str, TableDays],
    coming: Mapping[str, set[date]],
    window: Sequence[date],
) -> list[Wish]:
    """Derived days that failed, or are missing although an input that gives them rows is there or on its way.

    Days that an input made stale are late values, which have a reason of their own.
    """
    there = {day for name in inputs for day in coming.get(name, ())}
    for name in inputs:
        there |= {day for day, status in tables[name].states.items() if status == "MATERIALIZED"}
    state = tables[table]
    found = [Wish(table, day, f"failed: {table} {day} failed when it was last tried") for day in _failed(state) & there]
    missing = [day for day in window if day not in state.states and day in there]
    return [*found, *(Wish(table, day, f"gap: {table} {day} is missing, and its input is there") for day in missing)]


def _failed(state: TableDays) -> set[date]:
    return {day for day, status in state.states.items() if status == "FAILED"}
