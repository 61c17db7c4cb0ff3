"""Reason: late values. An input was written after a derived partition had read it, and would change the partition.

The commit logs show which days of which inputs are new. The look-back gives the derived days that use them. A dry run
(``automation/dry_run.py``) finds the days whose rows would change, and only these are wanted. No provider is called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone

from dagster import DagsterInstance

from crypto_assets.assets.providers import Providers
from crypto_assets.automation.dry_run import DryRun
from crypto_assets.automation.planner.observed_state import under_way
from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import UnderWay, WantedDay
from crypto_assets.automation.staleness import inputs_read_at
from crypto_assets.dates import DAY, today
from crypto_assets.storage.warehouse import Warehouse

Reasons = dict[date, str]


@dataclass
class Findings:
    """The derived days that late values change, by table, inputs first.

    Attributes:
        changing: Derived table -> days to derive again -> why.
        left: Derived table -> stale days that a run under way will derive -> why.
        newest_write: Epoch seconds of the newest write of the inputs; a later write is another change.
        busy: What is under way.
    """

    changing: dict[str, Reasons] = field(default_factory=dict)
    left: dict[str, Reasons] = field(default_factory=dict)
    newest_write: float = 0.0
    busy: UnderWay = field(default_factory=UnderWay)

    @property
    def wanted(self) -> dict[str, list[date]]:
        """Derived table -> days to derive again."""
        return {table: sorted(found) for table, found in self.changing.items() if found}

    @property
    def wanted_days(self) -> list[WantedDay]:
        """Every stale day, including the days that a run under way will derive."""
        return [
            WantedDay(table, day, f"late values: {why}")
            for group in (self.changing, self.left)
            for table, found in group.items()
            for day, why in sorted(found.items())
        ]


def find_late_values(
    instance: DagsterInstance, warehouse: Warehouse, providers: Providers, specs: Specs, since: float = 0.0
) -> Findings:
    """Find the derived days that changed inputs affect, through all derived tables.

    Args:
        instance: Has the materialisations.
        warehouse: The tables.
        providers: Settings and coins for the dry run.
        specs: The tables.
        since: Epoch seconds; only inputs written later are read.

    Returns:
        The days.

    Raises:
        WarehouseError: A table cannot be read.
    """
    findings = Findings(busy=under_way(instance, specs, datetime.now(timezone.utc)))
    dry_run = DryRun(warehouse, providers)
    unknown: dict[str, set[date]] = {}  # days without a dry run: their new rows are unknown
    for table, inputs in specs.look_back.items():
        if table in specs.monthly:
            continue  # the models that served stay; a command trains again
        written = {name: _written(warehouse, name, since) for name in inputs}
        for moments in written.values():
            findings.newest_write = max([findings.newest_write, *moments.values()])
        due = _due(instance, table, inputs, written, findings.changing)
        left = {day for day in due if findings.busy.covers(table, day)}
        findings.left[table] = {day: due[day] for day in left}
        possible = set(due) - left
        blind = possible & _reached(inputs, unknown)
        tried = possible - blind
        if not dry_run.affordable(table, tried):
            blind, tried = possible, set()
        unknown[table] = blind
        findings.changing[table] = {day: due[day] for day in sorted(blind | set(dry_run.changed(table, tried)))}
    return findings


def _written(warehouse: Warehouse, name: str, since: float) -> dict[date, float]:
    """Return day -> epoch seconds, for the days of an input that were written after ``since``."""
    return {day: moment for day, moment in warehouse.written_at(name, date.min, date.max).items() if moment > since}


def _reached(inputs: Mapping[str, int], changed: Mapping[str, Collection[date]]) -> set[date]:
    """Return the days of a table with this look-back whose windows contain the changed days."""
    return {day + DAY * n for name, far in inputs.items() for day in changed.get(name, ()) for n in range(far + 1)}


def _due(
    instance: DagsterInstance,
    table: str,
    inputs: Mapping[str, int],
    written: Mapping[str, Mapping[date, float]],
    changing: Mapping[str, Mapping[date, str]],
) -> Reasons:
    """Return day -> why, for materialised days that read an input before it was written or will be derived again."""
    possible = {day for day in _reached(inputs, written) | _reached(inputs, changing) if day <= today()}
    if not possible:
        return {}
    found: Reasons = {}
    for day, read_at in inputs_read_at(instance, table, min(possible), max(possible)).items():
        window = [(name, day - DAY * n) for name, far in inputs.items() for n in range(far + 1)]
        late = next(((name, other) for name, other in window if written[name].get(other, 0.0) > read_at), None)
        if late is not None:
            found[day] = f"{late[0]} {late[1]} was written after {table} read it"
            continue
        above = next(((name, other) for name, other in window if other in changing.get(name, ())), None)
        if above is not None:
            found[day] = f"{above[0]} {above[1]} is derived again, and {table} depends on it"
    return found
