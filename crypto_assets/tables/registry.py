"""Every table by name, inputs before the tables derived from them, and the lists that follow from the specs.

This is the only place that may list tables; a test looks for other lists. A new table is a :class:`TableSpec` in the
``SPECS`` of its group's file. A new group is one line here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from types import ModuleType

from crypto_assets.tables import (
    context,
    derivatives,
    digests,
    event_narratives,
    events,
    macro,
    ml,
    models,
    network,
    news,
    onchain,
    operations,
    prices,
    social,
    universe,
)
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.pit_quality import BACKFILLED, SeenInTime
from crypto_assets.tables.spec import (
    COINGECKO_RANGE_DAYS,
    Cadence,
    DerivedFrom,
    EachCoin,
    Freshness,
    FromFirstRow,
    FromProvider,
    NothingDue,
    RowsOf,
    TableSpec,
    When,
)

GROUPS: tuple[ModuleType, ...] = (
    prices,
    universe,
    derivatives,
    onchain,
    network,
    context,
    macro,
    news,
    events,
    event_narratives,
    digests,
    social,
    ml,
    models,
    operations,
)


def in_order(specs: Iterable[TableSpec]) -> dict[str, TableSpec]:
    """Sort specs so that inputs come first; otherwise the given order stays.

    Args:
        specs: The specs of all tables.

    Returns:
        Table -> its spec.

    Raises:
        TypeError: Two specs have the same name, an input has no spec, a table depends on itself, or a lineage names a
            column that its input does not have.
    """
    given: dict[str, TableSpec] = {}
    for spec in specs:
        if spec.table in given:
            raise TypeError(f"{spec.table}: two TableSpecs have this name; remove one from crypto_assets/tables/")
        given[spec.table] = spec
    found: dict[str, TableSpec] = {}

    def add(spec: TableSpec, above: tuple[str, ...]) -> None:
        if spec.table in above:
            raise TypeError(
                f"{spec.table}: rows_from of its TableSpec makes the table depend on itself: {' <- '.join((*above, spec.table))}"
            )
        rows = spec.rows_from
        for name in rows.inputs if isinstance(rows, DerivedFrom) else ():
            if name not in given:
                raise TypeError(f"{spec.table}: rows_from of its TableSpec names {name}, which has no TableSpec")
            add(given[name], (*above, spec.table))
        found.setdefault(spec.table, spec)

    for spec in given.values():
        add(spec, ())
    for spec in found.values():
        _columns_exist(spec, found)
    return found


def _columns_exist(spec: TableSpec, known: dict[str, TableSpec]) -> None:
    if not isinstance(spec.rows_from, DerivedFrom):
        return
    for column, origins in spec.rows_from.columns.items():
        for origin in origins:
            table, _, name = origin.partition(".")
            if table not in spec.rows_from.inputs or name not in known[table].contract.by_name:
                raise TypeError(f"{spec.table}: rows_from.columns of its TableSpec says {column} comes from {origin}, "
                                "which is no column of an input")  # fmt: skip


TABLES: dict[str, TableSpec] = in_order(spec for group in GROUPS for spec in group.SPECS)
CONTRACTS: dict[str, Contract] = {name: spec.contract for name, spec in TABLES.items()}


def look_back() -> dict[str, dict[str, int]]:
    """Return derived table -> input table -> days that it looks back, inputs first."""
    return {n: dict(s.rows_from.inputs) for n, s in TABLES.items() if isinstance(s.rows_from, DerivedFrom)}


def monthly() -> frozenset[str]:
    """Return the tables whose partitions are months."""
    return frozenset(name for name, spec in TABLES.items() if spec.cadence is Cadence.MONTH)


def required_inputs() -> dict[str, tuple[str, ...]]:
    """Return derived table -> the inputs of which any one is enough to give it rows; the others only fill columns."""
    return {n: s.rows_from.required for n, s in TABLES.items() if isinstance(s.rows_from, DerivedFrom)}


def dry_run_tables() -> tuple[str, ...]:
    """Return the derived tables that can be derived without side effects, inputs first."""
    return tuple(n for n, s in TABLES.items() if isinstance(s.rows_from, DerivedFrom) and s.rows_from.dry_run)


def provider_tables() -> tuple[str, ...]:
    """Return the tables whose rows come from a provider."""
    return tuple(name for name, spec in TABLES.items() if isinstance(spec.rows_from, FromProvider))


def settles_after() -> dict[str, timedelta]:
    """Return table -> how long after the end of a day its provider has the whole day.

    Tables that show the present only and derived tables are left out.
    """
    found = {n: s.rows_from.settles_after for n, s in TABLES.items() if isinstance(s.rows_from, FromProvider)}
    return {name: lag for name, lag in found.items() if lag is not None}


def freshness() -> dict[str, Freshness]:
    """Return table -> when it is late, for the tables with days."""
    return {name: spec.freshness for name, spec in TABLES.items() if spec.freshness is not None}


def filled(when: When) -> tuple[str, ...]:
    """Return the tables that the schedules fill at this moment."""
    return tuple(name for name, spec in TABLES.items() if when in spec.when)


def unpartitioned() -> tuple[str, ...]:
    """Return the tables without partitions: they observe the present and cannot be backfilled."""
    return tuple(n for n, s in TABLES.items() if s.layer == "operations" and not s.by_day and s.is_asset)


def each_coin() -> dict[str, EachCoin]:
    """Return table -> its rule, for the tables in which each coin has the same number of rows a day."""
    return {name: spec.expected for name, spec in TABLES.items() if isinstance(spec.expected, EachCoin)}


def wide_chunks() -> dict[str, int]:
    """Table of a provider -> days of one run, where a longer run than those of the others makes fewer requests."""
    days = {n: s.chunk.days for n, s in TABLES.items() if s.chunk is not None and isinstance(s.rows_from, FromProvider)}
    return {name: longest for name, longest in days.items() if longest is not None and longest > COINGECKO_RANGE_DAYS}


def newest_only() -> tuple[str, ...]:
    """Tables of providers whose answers hold the newest rows only."""
    return tuple(n for n, s in TABLES.items() if isinstance(s.rows_from, FromProvider) and s.rows_from.newest_only)


def enhanced() -> dict[str, str]:
    """Enhanced table -> base table: the enhanced table has the same key, and a row for each row of the base table."""
    bases = {name: spec.expected.table for name, spec in TABLES.items() if isinstance(spec.expected, RowsOf)}
    return {name: base for name, base in bases.items() if CONTRACTS[name].key == CONTRACTS[base].key}


def may_be_backfilled(table: str) -> bool:
    """Whether rows of a table may have the quality ``backfilled``."""
    return BACKFILLED in CONTRACTS[table].pit_quality.allowed


def trained_on(table: str) -> bool:
    """Whether training sets keep features of a table by default, also where its rows are backfilled.

    A derived table is kept if each of its inputs that may be backfilled is.
    """
    rule, rows = CONTRACTS[table].pit_quality, TABLES[table].rows_from
    if isinstance(rows, DerivedFrom):
        return all(trained_on(name) for name in rows.inputs)
    return rule.trained_on if isinstance(rule, SeenInTime) else not may_be_backfilled(table)


def snapshots() -> tuple[str, ...]:
    """Return the tables whose past cannot be fetched. Days are due from the first stored day on."""
    return tuple(name for name, spec in TABLES.items() if isinstance(spec.expected, FromFirstRow))


def records() -> tuple[str, ...]:
    """Return the platform's own records; no rows are due in them."""
    return tuple(name for name, spec in TABLES.items() if isinstance(spec.expected, NothingDue))


def demo_history() -> dict[str, int]:
    """Return table -> days before its own first day for which the demo fetches rows, inputs first.

    These are the days that the derived tables look back from the demo's days, and from the history that they have
    themselves. Trainings are left out: the demo says itself how far they look back. Tables that are not read further back than the features read share one range: one run fetches them.
    """
    needed = {name: 0 for name, spec in TABLES.items() if spec.demo_warm_up}
    shared = 0
    for derived, inputs in reversed(look_back().items()):
        for table in inputs.keys() & needed.keys() if derived not in monthly() else ():
            needed[table] = max(needed[table], inputs[table] + needed.get(derived, 0))
            if derived not in needed:
                shared = max(shared, inputs[table])
    return {table: max(days, shared) for table, days in needed.items()}


def own_pods() -> dict[str, int]:
    """Return table -> the number of days from which a run of it gets a pod of its own in a cluster."""
    return {n: s.own_pod_from_days for n, s in TABLES.items() if s.own_pod_from_days is not None}


# Derived table -> input table -> days that it looks back, in topological order.
LOOK_BACK: dict[str, dict[str, int]] = look_back()

# Derived table -> the inputs of which any one is enough to give it rows; the others only fill columns.
REQUIRED_INPUTS: dict[str, tuple[str, ...]] = required_inputs()
