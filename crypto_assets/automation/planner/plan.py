"""Make runs of wanted days: a pure function of the days, the rules, the specs, what is under way, and earlier attempts.

Every wanted day of a table ends in exactly one place: in a run, or in one of the lists ``under_way``, ``exhausted``,
``paused`` and ``later``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from crypto_assets.assets.run_tags import LONGEST_REASON
from crypto_assets.assets.shell import MONTHS_AT_MOST
from crypto_assets.automation.planner.rules import Rules
from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import UnderWay, WantedDay
from crypto_assets.dates import DAY, chunks, days, months, runs_of, runs_of_months

Attempts = Callable[[str], Sequence[datetime]]  # digest of a run -> when it was requested before
Wanted = dict[tuple[str, date], tuple[tuple[str, ...], list[str]]]  # (table, day) -> coins, reasons


@dataclass(frozen=True)
class PlannedRun:
    """One run.

    Attributes:
        tables: The tables, inputs first.
        first: First day, included.
        last: Last day, included.
        coins: Only these coins are fetched; empty: all coins.
        reason: Why it starts, for its tag.
        cause: The event that made the days wanted, see :func:`plan`.
        digest: The hash of what it repairs; attempts are counted by it.
        attempt: How often it was requested before.
        months: Whether its partitions are months; ``first`` and ``last`` are then first days of months.
    """

    tables: tuple[str, ...]
    first: date
    last: date
    coins: tuple[str, ...] = ()
    reason: str = ""
    cause: str = ""
    digest: str = ""
    attempt: int = 0
    months: bool = False

    @property
    def partitions(self) -> int:
        """Days (or months) times tables."""
        if self.months:
            return len(self.tables) * len(months(self.first, self.last))
        return len(self.tables) * ((self.last - self.first) // DAY + 1)


@dataclass(frozen=True)
class Plan:
    """The result of planning.

    Attributes:
        runs: Runs to start now, in this order.
        under_way: Days that another run will materialise.
        exhausted: Runs that were tried as often as the rules allow.
        paused: Runs that were tried, and whose pause is not over.
        later: Runs beyond the number that one tick may start.
    """

    runs: list[PlannedRun] = field(default_factory=list)
    under_way: list[WantedDay] = field(default_factory=list)
    exhausted: list[PlannedRun] = field(default_factory=list)
    paused: list[PlannedRun] = field(default_factory=list)
    later: list[PlannedRun] = field(default_factory=list)

    @property
    def all_runs(self) -> list[PlannedRun]:
        """The runs to start now and those that are not started now."""
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
    """Make runs of wanted days.

    Args:
        wanted_days: The days of one kind of repair. Two of the same table and day become one.
        rules: The rules of this kind.
        specs: The declarations of the tables.
        now: The instant with which attempts and pauses are compared, UTC.
        under_way: What unfinished runs will materialise.
        tried: When a run with this digest was requested before.
        cause: The event that made the days wanted (a write, a failed run). After a new event attempts count from 0.

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
    """Return the list of the plan to which a run with these attempts belongs."""
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
    """Merge the days into one entry per table and day. All coins include some coins; lists of some coins are joined.

    A day on which no partition of its table begins is left out.
    """
    found: Wanted = {}
    for wanted_day in wanted_days:
        if not specs.has(wanted_day.table, wanted_day.day):
            continue
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
    """Sort the runs by the rules. Runs for single coins come before runs of the same days, which may use their rows."""
    trainings = sorted(key for key in wanted if key[0] in specs.monthly)
    chunked = [
        *_chunked({key: said for key, said in wanted.items() if key[0] not in specs.monthly}, rules, specs),
        *(_of_months(trainings) if rules.order == "graph" else ()),
    ]
    whole = [run for run in chunked if not run.coins]
    shared = [run for run in whole if rules.order == "graph" or run.tables[0] not in specs.wide]
    placed = [(_position(run, rules, specs), 1, run) for run in shared]
    # A table in wide runs of its own, like single coins, comes before every run that has one of its days and may rest on it.
    for run in (run for run in chunked if run not in shared):
        meets = (
            other for other in (whole if run.coins else shared) if other.first <= run.last and run.first <= other.last
        )
        place = min(_position(other, rules, specs) for other in (run, *meets))
        placed.append((place, 0, run))
    placed.sort(key=lambda item: (item[0], item[1], item[2].first, item[2].tables, item[2].coins))
    runs = [run for _, _, run in placed]
    if trainings and rules.order != "graph":
        runs = _with_months(runs, trainings, rules, specs)
    return [part for run in runs for part in _fitting_memory(run, rules, specs)]


def _of_months(wanted: Iterable[tuple[str, date]]) -> Iterator[PlannedRun]:
    """Make runs of neighbouring months of one table."""
    by_table: dict[str, list[date]] = {}
    for table, first in wanted:
        by_table.setdefault(table, []).append(first)
    for table, firsts in by_table.items():
        for first, last in runs_of_months(firsts, MONTHS_AT_MOST):
            yield PlannedRun((table,), first, last, months=True)


def _with_months(
    runs: Sequence[PlannedRun], wanted: Sequence[tuple[str, date]], rules: Rules, specs: Specs
) -> list[PlannedRun]:
    """Put runs of months among the others: after the inputs of the same days, and before what is derived from them.

    A run of days has one calendar, so that the tables of the run that come after the months become a run of their own.
    """
    found: list[PlannedRun] = []
    waiting = set(wanted)
    for run in runs:
        inside = [(table, first) for table, first in wanted if run.first <= first <= run.last and not run.coins]
        inside = [key for key in inside if key in waiting]
        waiting -= set(inside)
        rank = min((specs.rank(table) for table, _ in inside), default=0)
        before = tuple(table for table in run.tables if not inside or specs.rank(table) < rank)
        after = tuple(table for table in run.tables if table not in before)
        found += [replace(run, tables=before)] if before else []
        found += _of_months(inside)
        found += [replace(run, tables=after)] if after else []
    alone = sorted(_of_months(sorted(waiting)), key=lambda run: _position(run, rules, specs))
    return [*found, *alone]


def _position(run: PlannedRun, rules: Rules, specs: Specs) -> tuple[int, int]:
    if rules.order == "graph":
        return specs.rank(run.tables[0]), run.first.toordinal()
    return (run.first.toordinal() if rules.order == "oldest" else -run.last.toordinal()), 0


def _chunked(wanted: Wanted, rules: Rules, specs: Specs) -> Iterator[PlannedRun]:
    """Make runs of at most a chunk of days. Days of the same tables are one run, unless the order is ``graph``."""
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
        for begin, end in runs_of(found):
            wide = [table for table in named if table in specs.wide and len(named) > 1 and (end - begin).days >= size]
            for table in wide:  # fewer requests in runs of its own; a short span is one run for all
                for first, last in chunks(begin, end, specs.wide[table]):
                    yield PlannedRun((table,), first, last, coins)
            rest = tuple(table for table in named if table not in wide)
            for first, last in chunks(begin, end, size) if rest else ():
                yield PlannedRun(rest, first, last, coins)


def _fitting_memory(run: PlannedRun, rules: Rules, specs: Specs) -> list[PlannedRun]:
    """Split a run in which a table has more rows than the memory allows: that table is made in several runs."""
    length = (run.last - run.first).days + 1
    large = [table for table in run.tables if specs.days_in_memory.get(table, length) < length]
    if not large:
        return [run]
    parts = []
    for table in run.tables:
        if table in large:
            spans = list(chunks(run.first, run.last, specs.days_in_memory[table]))
            spans = spans[::-1] if rules.order == "newest" else spans
            parts += [replace(run, tables=(table,), first=first, last=last) for first, last in spans]
    return _around(run, large, parts, specs)


def _around(run: PlannedRun, large: Sequence[str], parts: list[PlannedRun], specs: Specs) -> list[PlannedRun]:
    """Return the runs of the other tables and the parts of the large ones, inputs first."""
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
    """Return the first reason of the run's days, and the number of the other reasons."""
    said: dict[str, None] = {}
    for table in run.tables:
        for day in days(run.first, run.last):
            said |= dict.fromkeys(wanted[table, day][1] if (table, day) in wanted else ())
    first, *more = said
    return first[: LONGEST_REASON - 40] + (f" (and {len(more)} more like it)" if more else "")
