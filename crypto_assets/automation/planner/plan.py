"""Wishes become runs: a pure function of the wanted_days, the rules, the specs, what is under way and what was tried.

Every wished day of a table ends in exactly one place: in a run, or counted as under way, exhausted, paused or left for
a later tick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from crypto_assets.assets.run_tags import LONGEST_REASON
from crypto_assets.automation.planner.rules import Rules
from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import UnderWay, WantedDay
from crypto_assets.dates import DAY, chunks, days, runs_of

Attempts = Callable[[str], Sequence[datetime]]  # a run's digest -> when it was asked for before
Wanted = dict[tuple[str, date], tuple[tuple[str, ...], list[str]]]  # (table, day) -> coins, reasons


@dataclass(frozen=True)
class PlannedRun:
    """One run: these tables over the inclusive days, for these coins only if any are named."""

    tables: tuple[str, ...]
    first: date
    last: date
    coins: tuple[str, ...] = ()
    reason: str = ""
    cause: str = ""
    digest: str = ""  # of what it repairs: attempts are counted by it
    attempt: int = 0  # how often it was asked for before

    @property
    def partitions(self) -> int:
        """Days times tables."""
        return len(self.tables) * ((self.last - self.first) // DAY + 1)


@dataclass(frozen=True)
class Plan:
    """What to start now, in this order; and what is not started, by why."""

    runs: list[PlannedRun] = field(default_factory=list)
    under_way: list[WantedDay] = field(default_factory=list)  # another run will materialise them
    exhausted: list[PlannedRun] = field(default_factory=list)  # tried as often as the rules allow
    paused: list[PlannedRun] = field(default_factory=list)  # tried, and the pause is not over
    later: list[PlannedRun] = field(default_factory=list)  # more than one tick starts

    @property
    def all_runs(self) -> list[PlannedRun]:
        """Also those that are not started now."""
        return [*self.runs, *self.later, *self.paused, *self.exhausted]


def plan(
    wanted_days: Iterable[WantedDay],
    rules: Rules,
    specs: Specs,
    *,
    now: datetime,
    under_way: UnderWay | None = None,
    tried: Attempts = lambda digest: (),
    cause: str = "",
) -> Plan:
    """Turn wanted_days into runs.

    Args:
        wanted_days: Of one kind of repair. Two of the same table and day become one.
        rules: How this kind is planned.
        specs: What is known about the tables.
        now: The instant at which attempts and pauses are judged.
        under_way: What unfinished runs will materialise.
        tried: When a run with this digest was asked for before.
        cause: What happened, where the same days count anew after a new event (a later write, another failed run).

    Returns:
        The runs in the order in which they should begin, and what is not started.
    """
    wanted = _merged(wanted_days, specs)
    busy = under_way if rules.yields and under_way is not None else UnderWay()
    left = [
        WantedDay(table, day, "; ".join(reasons), coins)
        for (table, day), (coins, reasons) in sorted(wanted.items())
        if busy.covers(table, day)
    ]
    for wanted_day in left:
        del wanted[wanted_day.table, wanted_day.day]
    found = Plan(under_way=left)
    for run in _ordered(wanted, rules, specs):
        said = f"{rules.name}|{','.join(run.tables)}|{run.first}|{run.last}|{','.join(run.coins)}|{cause}"
        digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        before = tried(digest)
        whole = replace(run, cause=cause, digest=digest, attempt=len(before), reason=_reason(run, wanted))
        _place(found, rules, now, before).append(whole)
    return found


def _place(found: Plan, rules: Rules, now: datetime, before: Sequence[datetime]) -> list[PlannedRun]:
    """The list of the plan to which a run with these attempts belongs."""
    retry = rules.retry
    counted = [moment for moment in before if retry.within is None or now - moment < retry.within]
    if retry.most is not None and len(counted) >= retry.most:
        return found.exhausted
    if counted and now - max(counted) < retry.pause(len(counted)):
        return found.paused
    if rules.most_runs is not None and len(found.runs) >= rules.most_runs:
        return found.later
    return found.runs


def _merged(wanted_days: Iterable[WantedDay], specs: Specs) -> Wanted:
    """One entry a table and day. A wanted_day for all coins covers one for some; wanted_days for some add up."""
    found: Wanted = {}
    for wanted_day in wanted_days:
        coins = () if wanted_day.table in specs.look_back else tuple(sorted(wanted_day.coins))
        key = (wanted_day.table, wanted_day.day)
        if key in found:
            other, reasons = found[key]
            coins = tuple(sorted({*coins, *other})) if coins and other else ()
            found[key] = (coins, sorted({*reasons, wanted_day.reason}))
        else:
            found[key] = (coins, [wanted_day.reason])
    return found


def _ordered(wanted: Wanted, rules: Rules, specs: Specs) -> list[PlannedRun]:
    """The runs as the rules order them; those for single coins before runs of the same days, which may rest on them."""
    chunked = list(_chunked(wanted, rules, specs))
    whole = [run for run in chunked if not run.coins]
    placed = [(_position(run, rules, specs), 1, run) for run in whole]
    for run in chunked:
        if run.coins:
            meets = (other for other in whole if other.first <= run.last and run.first <= other.last)
            place = min(_position(other, rules, specs) for other in (run, *meets))
            placed.append((place, 0, run))
    placed.sort(key=lambda item: (item[0], item[1], item[2].first, item[2].tables, item[2].coins))
    return [part for _, _, run in placed for part in _fitting_memory(run, rules, specs)]


def _position(run: PlannedRun, rules: Rules, specs: Specs) -> tuple[int, int]:
    if rules.order == "graph":
        return specs.rank(run.tables[0]), run.first.toordinal()
    return (run.first.toordinal() if rules.order == "oldest" else -run.last.toordinal()), 0


def _chunked(wanted: Wanted, rules: Rules, specs: Specs) -> Iterator[PlannedRun]:
    """Runs of at most a chunk of days. Days that want the same tables go together, unless the order is the graph's."""
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[date]] = {}
    together: dict[date, set[str]] = {}
    for (table, day), (coins, _) in wanted.items():
        if coins or rules.order == "graph":
            groups.setdefault(((table,), coins), []).append(day)
        else:
            together.setdefault(day, set()).add(table)
    by_set: dict[frozenset[str], list[date]] = {}
    for day, tables in together.items():
        by_set.setdefault(frozenset(tables), []).append(day)
    groups |= {(specs.in_order(tables), ()): found for tables, found in by_set.items()}
    for (named, coins), found in groups.items():
        size = min(specs.chunk_days(named), rules.most_days or specs.chunk_days(named))
        for span in runs_of(found):
            for first, last in chunks(*span, size):
                yield PlannedRun(named, first, last, coins)


def _fitting_memory(run: PlannedRun, rules: Rules, specs: Specs) -> list[PlannedRun]:
    """The run, or several where a table has more rows than fit: the other tables first, then that one in parts."""
    length = (run.last - run.first).days + 1
    large = [table for table in run.tables if specs.most_days.get(table, length) < length]
    if not large:
        return [run]
    parts = []
    for table in run.tables:
        if table in large:
            spans = list(chunks(run.first, run.last, specs.most_days[table]))
            spans = spans[::-1] if rules.order == "newest" else spans
            parts += [replace(run, tables=(table,), first=first, last=last) for first, last in spans]
    return _around(run, large, parts, specs)


def _around(run: PlannedRun, large: Sequence[str], parts: list[PlannedRun], specs: Specs) -> list[PlannedRun]:
    """The whole tables of a run and the parts of its large ones, inputs first."""
    runs: list[PlannedRun] = []
    waiting: list[str] = []
    for table in run.tables:
        if table in large:
            if waiting:
                runs.append(replace(run, tables=tuple(waiting)))
                waiting = []
            runs += [part for part in parts if part.tables == (table,)]
        else:
            waiting.append(table)
    return [*runs, replace(run, tables=tuple(waiting))] if waiting else runs


def _reason(run: PlannedRun, wanted: Mapping[tuple[str, date], tuple[tuple[str, ...], list[str]]]) -> str:
    """The first reason of the run's days, and how many others there are."""
    said: dict[str, None] = {}
    for table in run.tables:
        for day in days(run.first, run.last):
            said |= dict.fromkeys(wanted[table, day][1])
    first, *more = said
    return first[: LONGEST_REASON - 40] + (f" (and {len(more)} more like it)" if more else "")
