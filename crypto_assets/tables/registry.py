"""Every table by name, inputs before what is derived from them, and the lists that follow from the specs.

The only place that may list tables: a test looks for other lists. A new table is a :class:`TableSpec` in the ``SPECS`` of
its group's file; a new group is one line here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from types import ModuleType

from crypto_assets.tables import context, ml, news, onchain, operations, prices
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.spec import (
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

GROUPS: tuple[ModuleType, ...] = (prices, onchain, context, news, ml, operations)


def in_order(specs: Iterable[TableSpec]) -> dict[str, TableSpec]:
    """The specs by table, inputs first, else in the order given.

    Raises:
        TypeError: two specs have one name, an input has no spec or comes to rest on itself, or a lineage names a column
            that its input does not have.
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
                f"{spec.table}: rows_from of its TableSpec comes back to itself: {' <- '.join((*above, spec.table))}"
            )
        rows = spec.rows_from
        for name in rows.inputs if isinstance(rows, DerivedFrom) else ():
            if name not in given:
                raise TypeError(
                    f"{spec.table}: rows_from of its TableSpec names {name}, of which there is no TableSpec"
                )
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
                raise TypeError(f"{spec.table}: rows_from.columns of its TableSpec says {column} comes from {origin}; "
                                "that is no column of an input")  # fmt: skip


TABLES: dict[str, TableSpec] = in_order(spec for group in GROUPS for spec in group.SPECS)
CONTRACTS: dict[str, Contract] = {name: spec.contract for name, spec in TABLES.items()}


def look_back() -> dict[str, dict[str, int]]:
    """Derived table -> input table -> days that it looks back, inputs first."""
    return {n: dict(s.rows_from.inputs) for n, s in TABLES.items() if isinstance(s.rows_from, DerivedFrom)}


def required_inputs() -> dict[str, tuple[str, ...]]:
    """Derived table -> the inputs of which any one is enough for it to have rows; the others only fill columns."""
    return {n: s.rows_from.required for n, s in TABLES.items() if isinstance(s.rows_from, DerivedFrom)}


def dry_run_tables() -> tuple[str, ...]:
    """Derived tables that can be derived for trial, inputs first."""
    return tuple(n for n, s in TABLES.items() if isinstance(s.rows_from, DerivedFrom) and s.rows_from.dry_run)


def provider_tables() -> tuple[str, ...]:
    """Tables whose rows a provider gives."""
    return tuple(name for name, spec in TABLES.items() if isinstance(spec.rows_from, FromProvider))


def settles_after() -> dict[str, timedelta]:
    """Table -> how long after a day's end its provider has the whole of it.

    Tables that are not named show the present only, or follow their inputs.
    """
    found = {n: s.rows_from.settles_after for n, s in TABLES.items() if isinstance(s.rows_from, FromProvider)}
    return {name: lag for name, lag in found.items() if lag is not None}


def freshness() -> dict[str, Freshness]:
    """Table -> when it is late, of the tables that somebody owes rows: those with days."""
    return {name: spec.freshness for name, spec in TABLES.items() if spec.freshness is not None}


def filled(when: When) -> tuple[str, ...]:
    """Tables that the schedules fill at this moment."""
    return tuple(name for name, spec in TABLES.items() if when in spec.when)


def of_the_moment() -> tuple[str, ...]:
    """Tables that are observed as time goes by: nothing of them can be backfilled."""
    return tuple(n for n, s in TABLES.items() if s.layer == "operations" and not s.by_day and s.is_asset)


def each_coin() -> dict[str, EachCoin]:
    """Table -> its rule, where each coin has the same number of rows a day."""
    return {name: spec.expected for name, spec in TABLES.items() if isinstance(spec.expected, EachCoin)}


def newest_only() -> tuple[str, ...]:
    """Tables of providers whose answers hold the newest rows only."""
    return tuple(n for n, s in TABLES.items() if isinstance(s.rows_from, FromProvider) and s.rows_from.newest_only)


def enhanced() -> dict[str, str]:
    """Enhanced table -> base table: the enhanced table has the same key, and a row for each row of the base table."""
    bases = {name: spec.expected.table for name, spec in TABLES.items() if isinstance(spec.expected, RowsOf)}
    return {name: base for name, base in bases.items() if CONTRACTS[name].key == CONTRACTS[base].key}


def snapshots() -> tuple[str, ...]:
    """Tables of providers whose past cannot be fetched: a day is due from the first one that was stored on."""
    return tuple(name for name, spec in TABLES.items() if isinstance(spec.expected, FromFirstRow))


def records() -> tuple[str, ...]:
    """The platform's own records, of which no rows are due."""
    return tuple(name for name, spec in TABLES.items() if isinstance(spec.expected, NothingDue))


def demo_warm_up() -> tuple[str, ...]:
    """Tables of which the demo fetches the history that its first day's features need."""
    return tuple(name for name, spec in TABLES.items() if spec.demo_warm_up)


def own_pods() -> dict[str, int]:
    """Table -> days of a run from which its step earns a pod of its own in a cluster."""
    return {n: s.own_pod_from_days for n, s in TABLES.items() if s.own_pod_from_days is not None}


# Derived table -> input table -> days it reaches back, in topological order.
LOOK_BACK: dict[str, dict[str, int]] = look_back()

# Derived table -> the inputs of which any one is enough for it to have rows; the others only fill columns.
REQUIRED_INPUTS: dict[str, tuple[str, ...]] = required_inputs()
