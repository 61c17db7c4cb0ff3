"""The types of a table's declaration. :mod:`crypto_assets.tables.registry` holds the declarations.

A :class:`TableSpec` holds the contract and the rules that are not about columns: where rows come from, how often the
table is filled, when it is late, which rows are due, how much one run makes. Assets, checks, schedules, repairs, the
service level, the status and the data dictionary read it, and keep no lists of tables of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from datetime import date, timedelta
from enum import Enum
from typing import Any, Self, TypeAlias

from crypto_assets.tables.contract import Contract
from crypto_assets.tables.pit_quality import WorstOfInputs

OWNER = "team:market-data"

FULL_HISTORY, NO_HISTORY = None, timedelta()  # how far back a provider shows a table
# It shows a past that begins with each contract's listing, which no list says: the last month is due, and what is older
# from the first stored row on.
FROM_FIRST_ROW = timedelta(days=30)
COINGECKO_RANGE_DAYS = 100  # CoinGecko's hourly range limit, so that one coin is one call
PROVIDER_ROWS = 900_000  # coins x hours of one run of a provider: two venues' bars of so many take 2.5 GB on their way


class When(Enum):
    """When the schedules fill a table. No schedule fills a table without days."""

    TICK = "the day in progress every 15 minutes, and once more right after midnight"
    SETTLE = "the closed day once more in the morning, when its provider has the whole day"
    NOON = "the closed day at noon too, for rows that were missing in the morning"
    MONTH = "the month that has begun, each day at 13:00 until it is there"


class Cadence(Enum):
    """How much time one partition of a table covers."""

    DAY = "a UTC day"
    MONTH = "a UTC month; its date is the first day, and its window of inputs ends before that day"

    def has(self, day: date) -> bool:
        """Return whether a partition begins on this day."""
        return self is Cadence.DAY or day.day == 1


class _Declared:
    """Names each field that is missing, in one sentence, where the declaration stands."""

    def __new__(cls, **given: Any) -> Self:
        """Raises TypeError where a field is missing."""
        known: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]
        absent = [field.name for field in known if field.default is MISSING and field.name not in given]
        if absent:
            raise TypeError(
                f"{cls._whose(given)} lacks {', '.join(absent)}; crypto_assets/tables/spec.py says what to give"
            )
        return super().__new__(cls)

    @classmethod
    def _whose(cls, given: Mapping[str, Any]) -> str:
        return cls.__name__


@dataclass(frozen=True, kw_only=True)
class Freshness(_Declared):
    """How old the newest row may be.

    Attributes:
        warn_after: Without a materialisation for this long, Dagster's own freshness policy warns. The check ``fresh``, which
            reads the rows, does not use it.
        late_after: The newest ``available_at`` may be this old; older is late.
        by_coin: Whether each coin is checked separately too. Use it only where every coin has a row each hour or day.
    """

    warn_after: timedelta
    late_after: timedelta
    by_coin: bool


@dataclass(frozen=True, kw_only=True)
class Chunk(_Declared):
    """The largest part of a table that one run makes.

    Attributes:
        days: Days at most; None where only ``CRYPTO_ASSETS_CHUNK_DAYS`` bounds them.
        hourly_rows: Rows (coins x hours) at most, which bounds the memory; None where the limit of days is enough.
    """

    days: int | None
    hourly_rows: int | None


# Where rows come from ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FromProvider(_Declared):
    """A provider gives the rows.

    Attributes:
        pool: Dagster's concurrency pool of its calls.
        settles_after: How long after the end of a day the provider has the whole day. A later fetch settles the day. None
            for a provider that shows the present only: a past day cannot be fetched.
        history: How far back it shows the table: ``FULL_HISTORY``, ``NO_HISTORY`` or a span. Older days are due only from
            the first stored row on.
        newest_only: Whether an answer holds only the newest rows, as a news feed's does. That a row is not in a later
            answer says nothing about it then, and what was set aside of it stays on record.
    """

    pool: str
    settles_after: timedelta | None
    history: timedelta | None
    newest_only: bool


@dataclass(frozen=True, kw_only=True)
class DerivedFrom(_Declared):
    """Other tables give the rows.

    Attributes:
        inputs: Input table -> days that a derived day looks back over it; 0 is the day itself.
        required: Any one of these inputs is enough for the table to have rows; the others only fill columns.
        dry_run: Whether it can be derived without side effects: no provider, no model, nothing written.
        transform: ``package.module:function``, for a table whose asset needs no code of its own. The function takes each
            input as a keyword argument of the table's name, and ``start`` and ``end``; it returns the rows of these days.
        pool: Dagster's concurrency pool, where a model or a service does the work.
        history: How far back its inputs have rows; ``NO_HISTORY``: days are due from the first stored row on, where no rule
            says when it can be.
        columns: Column -> the input columns (``table.column``) that it is computed from, for the lineage in the UI.
        cadence: How much time one partition covers.
    """

    inputs: Mapping[str, int]
    required: tuple[str, ...]
    dry_run: bool
    columns: Mapping[str, tuple[str, ...]]
    transform: str | None = None
    pool: str | None = None
    history: timedelta | None = FULL_HISTORY
    cadence: Cadence = Cadence.DAY

    def window(self, name: str, day: date) -> tuple[date, date]:
        """Return the first and last day of an input that the partition of a day may rest on.

        Args:
            name: The input.
            day: The partition.
        """
        last = day if self.cadence is Cadence.DAY else day - timedelta(days=1)
        return day - timedelta(days=self.inputs[name]), last


@dataclass(frozen=True)
class Recorded:
    """The platform records the rows by day while it works."""


@dataclass(frozen=True, kw_only=True)
class Unpartitioned(_Declared):
    """The platform observes the present. The table has no partitions, because an observation cannot be made later.

    Attributes:
        late_after: How old the newest materialisation may be.
    """

    late_after: timedelta


@dataclass(frozen=True)
class WrittenAlongside:
    """Rows are written while other tables are materialised. The table itself is never materialised."""


RowsFrom: TypeAlias = FromProvider | DerivedFrom | Recorded | Unpartitioned | WrittenAlongside


# Which rows are due --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class EachCoin(_Declared):
    """Each coin has the same number of rows a day, from its first row on.

    Attributes:
        rows_per_day: Rows of a coin on a day.
        identifier: A field of the catalogue; the table lacks coins without it. None: the table has every coin.
        kept: Whether to report a coin as lost if it had rows and has none for two closed days.
        ends_at: A field of the catalogue: no row is due of hours in which the dated rows of this venue say that it did not
            trade the coin. None: the table has the coin all the same.
    """

    rows_per_day: int
    identifier: str | None
    kept: bool
    ends_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class EachDay(_Declared):
    """Each closed day has a fixed number of rows.

    Attributes:
        rows: Rows a day.
        where: (column, value) of the rows that count; None: all rows count.
        note: Remark for the check's report.
    """

    rows: int
    where: tuple[str, str] | None
    note: str


@dataclass(frozen=True, kw_only=True)
class DaysWithRows(_Declared):
    """Each closed day has at least one row.

    Attributes:
        note: Remark for the check's report.
        after: How long after its end a day owes its row, where the provider takes hours to publish it.
    """

    note: str
    after: timedelta = timedelta()


@dataclass(frozen=True, kw_only=True)
class BusinessDays(_Declared):
    """Each day after a business day of the United States has at least one row; other days may have rows and owe none.

    Attributes:
        note: Remark for the check's report.
    """

    note: str


@dataclass(frozen=True, kw_only=True)
class EachSeries:
    """Each coin, at each venue where the key names one, has at least so many rows a day, from its first row on.

    ``rows_per_day``: more rows than that make up for no other day.
    """

    rows_per_day: int


@dataclass(frozen=True)
class FromFirstRow:
    """Each closed day has at least one row, from the first stored day on. The past cannot be fetched."""


@dataclass(frozen=True, kw_only=True)
class RowsOf(_Declared):
    """One row for each row of another table.

    Attributes:
        table: The other table.
        distinct: Column whose distinct values are counted, those of each day; None: rows are counted.
        note: Remark for the check's report.
    """

    table: str
    distinct: str | None
    note: str


@dataclass(frozen=True, kw_only=True)
class DaysOf(_Declared):
    """One row on each day on which another table has a row with a positive value.

    Attributes:
        table: The other table.
        positive: Its column that must be above 0.
        note: Remark for the check's report.
    """

    table: str
    positive: str
    note: str


@dataclass(frozen=True, kw_only=True)
class HoursOf(_Declared):
    """One row for each coin and hour for which one of these hourly tables has a row.

    Attributes:
        tables: The hourly tables.
    """

    tables: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ScoresOf(_Declared):
    """From the first stored hour on, one row for each row of another table, and for each of its models where it has several.

    Attributes:
        table: The other table.
        models: Column of the model; None where an hour has one row for a coin.
    """

    table: str
    models: str | None


@dataclass(frozen=True)
class NothingDue:
    """No rows are due, because the table is the platform's own record."""


Expected: TypeAlias = (
    EachCoin
    | EachSeries
    | EachDay
    | BusinessDays
    | DaysWithRows
    | FromFirstRow
    | RowsOf
    | DaysOf
    | HoursOf
    | ScoresOf
    | NothingDue
)


# How features read it ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OnTheHour(_Declared):
    """Features read the row of the hour itself.

    Attributes:
        delay_hours: Hours from the row's ``ts`` to the hour mark at which features use it.
    """

    delay_hours: int


@dataclass(frozen=True, kw_only=True)
class AsOf(_Declared):
    """Features join the newest row that is known at the decision time.

    Attributes:
        known_within: The longest time from the start of a row's day (or hour) until the row is known.
    """

    known_within: timedelta


@dataclass(frozen=True, kw_only=True)
class TableSpec(_Declared):
    """The declaration of one table. No field has a default, so that each table states every rule.

    Attributes:
        contract: Grain, key, columns, units, bounds, ``available_at`` rule, write mode.
        group: Dagster's asset group.
        kinds: Dagster's kinds, e.g. the provider or the library that computes it.
        owner: The team that answers questions about it.
        rows_from: Where the rows come from.
        when: When the schedules fill it.
        freshness: When it is late; None where no rows are due.
        expected: Which rows are due.
        chunk: The largest part that one run makes; None for a table without days.
        read_by_features: How features read it; None where no feature does.
        own_pod_from_days: In a cluster, a run of this many days or more gets a pod of its own; None: never.
        demo_warm_up: Whether the demo fetches the history that its first day's features need.

    Raises:
        TypeError: At import: a field is missing or contradicts another one. The message names the table and the field.
    """

    contract: Contract
    group: str
    kinds: frozenset[str]
    owner: str
    rows_from: RowsFrom
    when: frozenset[When]
    freshness: Freshness | None
    expected: Expected
    chunk: Chunk | None
    read_by_features: OnTheHour | AsOf | None
    own_pod_from_days: int | None
    demo_warm_up: bool

    @classmethod
    def _whose(cls, given: Mapping[str, Any]) -> str:
        contract = given.get("contract")
        name = contract.table if isinstance(contract, Contract) else "a table without a contract"
        return f"{name}: its TableSpec"

    def __post_init__(self) -> None:
        for field, holds, why in _rules(self):
            if not holds:
                raise TypeError(f"{self.table}: {field} of its TableSpec is wrong: {why}")

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.contract.table

    @property
    def layer(self) -> str:
        """The value of its asset's tag ``layer``: source, derived or operations."""
        layers = {FromProvider: "source", DerivedFrom: "derived"}
        return layers.get(type(self.rows_from), "operations")

    @property
    def by_day(self) -> bool:
        """Whether runs fill it day by day."""
        return not isinstance(self.rows_from, Unpartitioned | WrittenAlongside)

    @property
    def is_asset(self) -> bool:
        """Whether an asset materialises it."""
        return not isinstance(self.rows_from, WrittenAlongside)

    @property
    def cadence(self) -> Cadence:
        """How much time one partition covers."""
        return self.rows_from.cadence if isinstance(self.rows_from, DerivedFrom) else Cadence.DAY

    @property
    def history(self) -> timedelta | None:
        """How far back rows can be obtained: ``FULL_HISTORY``, ``NO_HISTORY`` or a span before now."""
        return self.rows_from.history if isinstance(self.rows_from, FromProvider | DerivedFrom) else NO_HISTORY


def _rules(spec: TableSpec) -> list[tuple[str, bool, str]]:
    """Return (field, whether its rule holds, the rule) for every rule that one spec can break by itself."""
    rows, due, key = spec.rows_from, spec.expected, spec.contract.key
    derived, provider = isinstance(rows, DerivedFrom), isinstance(rows, FromProvider)
    needs = set(rows.required) - set(rows.inputs) if isinstance(rows, DerivedFrom) else set()
    strange = set(rows.columns) - set(spec.contract.by_name) if isinstance(rows, DerivedFrom) else set()
    rests_on = {
        *([due.table] if isinstance(due, RowsOf | DaysOf | ScoresOf) else []),
        *(due.tables if isinstance(due, HoursOf) else ()),
    }
    inputs = set(rows.inputs) if isinstance(rows, DerivedFrom) else set()
    past = spec.history != NO_HISTORY
    worst = spec.contract.pit_quality
    return [
        ("kinds", bool(spec.kinds), "give at least one"),
        ("rows_from", not derived or bool(inputs), "a derived table has inputs"),
        ("rows_from", not derived or bool(rows.required), "any one of `required` gives it its rows"),  # type: ignore[union-attr]
        ("rows_from", not needs, f"`required` names {', '.join(sorted(needs))}, which `inputs` does not"),
        ("rows_from", not strange, f"`columns` names {', '.join(sorted(strange))}, which the contract does not have"),
        ("contract", isinstance(worst, WorstOfInputs) == derived, "pit_quality is WorstOfInputs in derived tables, and only there"),
        ("contract", not isinstance(worst, WorstOfInputs) or worst.by in (None, *spec.contract.names),
         "pit_quality.by is a column of the contract"),
        ("when", bool(spec.when) == spec.by_day, "a table with days is filled by a schedule, one without has none"),
        ("when", When.NOON not in spec.when or When.SETTLE in spec.when, "NOON follows SETTLE"),
        ("when", (spec.when == {When.MONTH}) == (spec.cadence is Cadence.MONTH), "MONTH fills tables of months, and these alone"),
        ("freshness", (spec.freshness is not None) == spec.by_day, "a table with days is late at some time, another is not"),
        ("freshness", not (spec.freshness and spec.freshness.by_coin) or "symbol" in key, "by_coin needs symbol in the key"),
        ("expected", isinstance(due, NothingDue) == (spec.layer == "operations"), "rows are due of all but the platform's own"),
        ("expected", not (isinstance(due, FromFirstRow) and past), "FromFirstRow is for what has no past"),
        ("expected", isinstance(due, FromFirstRow) or past or not provider, "a provider that shows no past needs FromFirstRow"),
        ("expected", rests_on <= inputs, f"it counts {', '.join(sorted(rests_on - inputs))}, which is no input"),
        ("expected", not isinstance(due, EachCoin | EachSeries) or "symbol" in key, "it needs symbol in the key"),
        ("chunk", (spec.chunk is not None) == spec.by_day, "a table with days says what one run makes at most"),
        ("read_by_features", spec.read_by_features is None or provider or derived, "features read no platform record"),
    ]  # fmt: skip
