"""Reason: days are missing, failed, unsettled or incomplete.

A tick may be missed: the machine slept, a provider was down, a run was killed. Missed ticks are not repeated; the state of
the days shows what is missing. A day is settled once it was fetched after its provider had the whole day. Derived days
follow when their inputs are there.

Missing days are searched in the last ``WINDOW_DAYS`` only, because older days may never have been requested. Failed days
are searched everywhere. A day that fails more often than the rules allow stays visible in the check ``nothing_failed``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from dagster import DagsterInstance

from crypto_assets.assets.partition_states import one_look
from crypto_assets.automation.planner.observed_state import TableDays, table_days
from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import UnderWay, WantedDay
from crypto_assets.dates import DAY, days, midnight

WINDOW_DAYS = 7


def window_of(specs: Specs, now: datetime) -> list[date]:
    """Return the closed days in which missing days are searched. Ticks fill the day in progress."""
    yesterday = now.date() - DAY
    last = specs.last_day or yesterday
    return [day for day in days(yesterday - DAY * (WINDOW_DAYS - 1), yesterday) if specs.first_day <= day <= last]


def observe(instance: DagsterInstance, specs: Specs, now: datetime) -> dict[str, TableDays]:
    """Read the state of the days of every table that is kept complete.

    Args:
        instance: Has the runs.
        specs: The tables.
        now: The instant, UTC.

    Returns:
        Table -> state of its days; empty before the first closed day.
    """
    window = window_of(specs, now)
    if not window:
        return {}
    fetched = set(specs.settles_after) - set(specs.look_back)
    with one_look(instance, specs.kept_up):
        return {
            table: table_days(instance, table, specs.first_day, window[-1], window if table in fetched else ())
            for table in specs.kept_up
        }


def wanted_days(
    tables: Mapping[str, TableDays], specs: Specs, now: datetime, under_way: UnderWay | None = None
) -> list[WantedDay]:
    """Return every day that should be requested again.

    Args:
        tables: See :func:`observe`.
        specs: The tables.
        now: The instant, UTC.
        under_way: What unfinished runs will materialise.

    Returns:
        The wanted days; fetched tables first, then derived tables.
    """
    window = [day for day in window_of(specs, now) if tables]
    found: list[WantedDay] = []
    for table, state in tables.items():
        if table not in specs.look_back:
            found += _fetched(table, state, specs, window, now)
    coming: dict[str, set[date]] = {}  # days that are wanted now and not under way
    for wanted_day in found:
        if not wanted_day.coins and not (under_way and under_way.covers(wanted_day.table, wanted_day.day)):
            coming.setdefault(wanted_day.table, set()).add(wanted_day.day)
    for table, inputs in specs.required_inputs.items():
        if table in specs.monthly:
            continue  # the schedule of the trainings asks each day until the month is there
        derived = _derived(table, inputs, tables, coming, window)
        found += derived
        coming[table] = {wanted_day.day for wanted_day in derived}
    return found


def _fetched(table: str, state: TableDays, specs: Specs, window: Sequence[date], now: datetime) -> list[WantedDay]:
    """Return the days to fetch, and the days that lack only coins whose fetch failed."""
    wanted = {day: f"failed: {table} {day} failed when it was last tried" for day in _failed(state)}
    if table not in specs.settles_after:
        # The provider shows the present only. A run of a past day makes no request, keeps the stored rows and records that
        # the day is no longer shown. Nothing else can end the failure.
        return [WantedDay(table, day, reason) for day, reason in wanted.items()]
    lag = specs.settles_after[table]
    for day in window:
        settles = midnight(day + DAY) + lag
        if day in wanted or settles > now or state.states.get(day) == "IN_PROGRESS":
            continue
        if day not in state.written:
            wanted[day] = f"gap: {table} {day} is missing"
        elif state.written[day] < settles.timestamp():
            wanted[day] = f"unsettled: {table} {day} was fetched before its provider had the whole day"
    found = [WantedDay(table, day, reason) for day, reason in wanted.items()]
    for day, coins in state.lacking.items():
        if day not in wanted:
            found.append(WantedDay(table, day, f"failed coins: {table} {day} lacks {', '.join(coins)}", coins))
    return found


def _derived(
    table: str,
    inputs: Sequence[str],
    tables: Mapping[str, TableDays],
    coming: Mapping[str, set[date]],
    window: Sequence[date],
) -> list[WantedDay]:
    """Return derived days that failed or are missing, where a required input is there or will be fetched.

    Stale days have a reason of their own (``late_values.py``).
    """
    there = {day for name in inputs for day in coming.get(name, ())}
    for name in inputs:
        there |= {day for day, status in tables[name].states.items() if status == "MATERIALIZED"}
    state = tables[table]
    found = [
        WantedDay(table, day, f"failed: {table} {day} failed when it was last tried") for day in _failed(state) & there
    ]
    missing = [day for day in window if day not in state.states and day in there]
    return [
        *found,
        *(WantedDay(table, day, f"gap: {table} {day} is missing, and its input is there") for day in missing),
    ]


def _failed(state: TableDays) -> set[date]:
    return {day for day, status in state.states.items() if status == "FAILED"}
