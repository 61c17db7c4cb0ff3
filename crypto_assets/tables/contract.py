"""The contract of a table: grain, key, columns, bounds, write mode. Each ``TableSpec`` holds one.

Column metadata in the UI, the validation before every write, the contract check and the data dictionary all read the
same :class:`Contract`, so they cannot disagree. The tables themselves are declared in one file per group beside this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from crypto_assets.errors import ContractError
from crypto_assets.lazy import lazy
from crypto_assets.tables.order import in_order
from crypto_assets.tables.pit_quality import PIT_QUALITY, PitQuality

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

TIMESTAMP = pl.Datetime("us", "UTC")
TEXTS = pl.List(pl.String)

Frame: TypeAlias = "pd.DataFrame | pl.DataFrame"


class WriteMode(Enum):
    """What a materialisation does with the rows that its partitions already hold."""

    REPLACE = "replace"  # derived tables: the partition becomes exactly the new rows
    MERGE = "merge"  # tables of providers: a new row replaces the stored one of its key; stored rows that the answer lacks stay
    KEEP = "keep"  # snapshots of the present: the first row of a key stays, because it is what was known then


@dataclass(frozen=True)
class Rule:
    """One rule of a column.

    Attributes:
        name: its name where a write is refused.
        reason: what a cell that breaks it is, where the cell is set aside.
        broken: an expression over the column, true in the rows that break the rule, false or null in the others.
    """

    name: str
    reason: str
    broken: pl.Expr


@dataclass(frozen=True)
class Column:
    """One column of a table. Bounds apply to non-null values only.

    Attributes:
        name: Its name in the table.
        dtype: The Polars type.
        unit: For example ``USD``; ``fraction`` for shares.
        description: One sentence for the UI and the data dictionary.
        nullable: Whether the value may be unknown.
        lower: The smallest allowed value.
        upper: The largest allowed value.
        above: Values must be greater than this one.
        allowed: The allowed texts; None allows every text.
        max_staleness: As-of joins use a value for at most this long after its ``available_at``.
        placeholder: What the provider writes for "unknown"; it is stored as null.
    """

    name: str
    dtype: pl.DataType | type[pl.DataType]
    unit: str
    description: str
    nullable: bool = True
    lower: float | None = None
    upper: float | None = None
    above: float | None = None
    allowed: tuple[str, ...] | None = None
    max_staleness: timedelta | None = None
    placeholder: str | None = None

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of this column. Null breaks only ``not_nullable``."""
        value, rules = pl.col(self.name), []
        if self.dtype in (pl.Float64, pl.Float32):
            rules.append(Rule("finite", "not finite", value.is_infinite()))
        if not self.nullable:
            rules.append(Rule("not_nullable", "not given", value.is_null()))
        if self.lower is not None:
            rules.append(Rule(f"greater_than_or_equal_to({self.lower})", f"below {self.lower:g}", value < self.lower))
        if self.above is not None:
            rules.append(Rule(f"greater_than({self.above})", f"not above {self.above:g}", value <= self.above))
        if self.upper is not None:
            rules.append(Rule(f"less_than_or_equal_to({self.upper})", f"above {self.upper:g}", value > self.upper))
        if self.allowed is not None:
            rules.append(Rule(f"isin({self.allowed})", "not one of the allowed values", ~value.is_in(self.allowed)))
        return tuple(rules)


def _quality_column(quality: PitQuality) -> Column:
    return Column(
        PIT_QUALITY, pl.String, "name", f"How the row is known. {quality.said}", nullable=False, allowed=quality.allowed
    )


@dataclass(frozen=True)
class Violation:
    """A broken rule.

    Attributes:
        rule: What is broken, in words.
        rows: How many rows break it; 0 where it is about columns.
        example: The first broken value; empty where there is none to show.
    """

    rule: str
    rows: int = 0
    example: str = ""

    def __str__(self) -> str:
        """Return the sentence."""
        example = f", e.g. {self.example}" if self.example else ""
        return f"{self.rule} in {self.rows} row(s){example}" if self.rows else self.rule


@dataclass(frozen=True)
class Contract:
    """What the rows of one table are.

    Every table has ``date`` (the partition, a UTC day), ``available_at`` and, from ``pit_quality``, a column of that name.

    Attributes:
        table: The name; also the asset key.
        description: One or two sentences for the UI and the data dictionary.
        grain: What one row is, for example ``coin x hour``.
        key: The columns that identify a row.
        columns: All columns, in table order; ``pit_quality`` is added after ``available_at``.
        available_at_rule: When a row becomes known, in words.
        pit_quality: Whether its values are those that were known then, and why.
        write_mode: What a materialisation does with stored rows.
        reference: The provider's documentation.
        time_column: The timestamp whose UTC day is ``date``; None where ``date`` is the time of the key.
        metadata_columns: Columns that describe the row and are no values.
        keeps: Columns that keep their first stored value under ``MERGE``, because it is what was known then.
        ordered: Pairs of columns; the first is never above the second.
        before: Pairs of instants; the first is always before the second.
    """

    table: str
    description: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    available_at_rule: str
    pit_quality: PitQuality = field(default=None)  # type: ignore[assignment]  # refused below, by the table's name
    write_mode: WriteMode = WriteMode.REPLACE
    reference: str = ""
    time_column: str | None = "ts"
    metadata_columns: tuple[str, ...] = field(default=("date", "available_at", PIT_QUALITY, "source"))
    keeps: tuple[str, ...] = ()
    ordered: tuple[tuple[str, str], ...] = ()
    before: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Add ``pit_quality``. Raises TypeError where it is not declared, or the contract names a column that it lacks."""
        if self.pit_quality is None:
            raise TypeError(
                f"{self.table}: its contract does not say pit_quality; crypto_assets/tables/pit_quality.py has the choices"
            )
        own = [column for column in self.columns if column.name != PIT_QUALITY]
        place = next((n + 1 for n, column in enumerate(own) if column.name == "available_at"), len(own))
        object.__setattr__(self, "columns", (*own[:place], _quality_column(self.pit_quality), *own[place:]))
        named = {
            "key": self.key,
            "time_column": () if self.time_column is None else (self.time_column,),
            "keeps": self.keeps,
            "ordered": tuple(name for pair in self.ordered for name in pair),
            "before": tuple(name for pair in self.before for name in pair),
        }
        for what, columns in named.items():
            if absent := [name for name in columns if name not in {column.name for column in self.columns}]:
                way_out = "; write time_column=None for a table without a timestamp" if what == "time_column" else ""
                raise TypeError(
                    f"{self.table}: {what} of its contract names {', '.join(absent)}, which is no column{way_out}"
                )

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def names(self) -> list[str]:
        """The names of the columns, in table order."""
        return [column.name for column in self.columns]

    @cached_property
    def given_names(self) -> list[str]:
        """The names of the columns that a source or a transform gives: all but ``pit_quality``, which the asset adds."""
        return [name for name in self.names if name != PIT_QUALITY]

    @property
    def key_names_the_day(self) -> bool:
        """Whether rows of one key are rows of one day, because the key has the day or the instant."""
        return "date" in self.key or self.time_column in self.key

    @cached_property
    def value_columns(self) -> list[str]:
        """The columns that are neither key nor metadata. Population counts these."""
        return [n for n in self.names if n not in self.key and n not in self.metadata_columns]

    @cached_property
    def polars_schema(self) -> pl.Schema:
        """The names and types of the columns, in table order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def empty(self) -> pl.DataFrame:
        """Return a frame with the columns of the contract and no rows."""
        return pl.DataFrame(schema=self.polars_schema)

    def conform(self, frame: Frame) -> pl.DataFrame:
        """Bring a frame into the shape of the contract. NaN becomes null, because unknown is null.

        Args:
            frame: The rows, as pandas or Polars. Nullable columns may be absent; they become null. A row that does not say its
                ``pit_quality`` has the one that the contract gives such rows.

        Returns:
            The rows with the contract's columns, types and order, sorted by key.

        Raises:
            ContractError: A column is missing, a column is not in the contract, or a value does not fit its type.
        """
        data = frame if isinstance(frame, pl.DataFrame) else pl.from_pandas(frame.reset_index(drop=True))
        data = self._with_quality(data)
        surplus = [name for name in data.columns if name not in self.by_name]
        missing = [c.name for c in self.columns if c.name not in data.columns and not c.nullable]
        if surplus or missing:
            raise ContractError(
                f"{self.table}: columns do not match the contract (missing: {missing or 'none'}, "
                f"not in the contract: {surplus or 'none'}); nothing was written; "
                "change the asset or the contract in crypto_assets/tables/"
            )
        try:
            data = data.select(
                pl.col(c.name).cast(c.dtype, strict=True)
                if c.name in data.columns
                else pl.lit(None, dtype=c.dtype).alias(c.name)
                for c in self.columns
            )
        except pl.exceptions.PolarsError as error:
            raise ContractError(
                f"{self.table}: a value does not fit its column's type ({_one_line(error)}); nothing was written; "
                "parse it in the source"
            ) from error
        return self._sorted(_without_nan(data))

    def _with_quality(self, data: pl.DataFrame) -> pl.DataFrame:
        """Give rows that do not say their ``pit_quality`` the one of the contract."""
        unsaid = pl.lit(self.pit_quality.unsaid)
        if PIT_QUALITY not in data.columns:
            return data.with_columns(unsaid.alias(PIT_QUALITY))
        return data.with_columns(pl.col(PIT_QUALITY).cast(pl.String).fill_null(unsaid))

    def _sorted(self, data: pl.DataFrame) -> pl.DataFrame:
        """Sort the rows by key. Rows that are sorted already are not copied."""
        keys = data.select(self.key)
        return data if keys.equals(keys.sort(self.key)) else data.sort(self.key)

    def validate(self, frame: Frame) -> pl.DataFrame:
        """Conform a frame and check every rule of the contract.

        Args:
            frame: The rows, as pandas or Polars.

        Returns:
            The conformed rows, see :meth:`conform`.

        Raises:
            ContractError: A rule is broken; the message names the first three.
        """
        data = self.conform(frame)
        problems = self.violations(data)
        if problems:
            raise ContractError(
                f"{self.table}: {len(problems)} rule(s) broken, nothing was written: {'; '.join(problems[:3])}; "
                "see the contract in docs/data-dictionary.md"
            )
        return data

    def violations(self, data: pl.DataFrame) -> list[str]:
        """Find the broken rules.

        Args:
            data: rows with the columns and types of the contract.

        Returns:
            A sentence for each broken rule, in the order of the columns; rules about several columns come last. If
            columns or types are not those of the contract, the sentences are about these only.
        """
        return self.violations_of([data])

    def violations_of(self, parts: Iterable[pl.DataFrame]) -> list[str]:
        """Find the broken rules of rows that come in parts, because all of them would not fit the memory.

        Args:
            parts: rows as in :meth:`violations`; the rows of a key are in one part.

        Returns:
            The sentences, as of all rows together.
        """
        found: dict[str, Violation] = {}
        for part in parts:
            for one in self._structure(part) or self._broken_rules(part):
                known = found.get(one.rule)
                found[one.rule] = one if known is None else replace(known, rows=known.rows + one.rows)
        return [str(one) for one in found.values()]

    def _broken_rules(self, data: pl.DataFrame) -> list[Violation]:
        return [
            *self._cells(data),
            *self._repeated_keys(data),
            *self._wrong_days(data),
            *self._crossed(data),
        ]

    def _structure(self, data: pl.DataFrame) -> list[Violation]:
        missing = [f"{name} is missing" for name in self.names if name not in data.columns]
        surplus = [f"{name} is not in the contract" for name in data.columns if name not in self.by_name]
        other = [
            f"{name} is {kind}, not {self.polars_schema[name]}"
            for name, kind in data.schema.items()
            if name in self.by_name and kind != self.polars_schema[name]
        ]
        return [Violation(said) for said in missing + surplus + other]

    def _cells(self, data: pl.DataFrame) -> Iterator[Violation]:
        """Yield the broken rules of single columns: one pass counts them all, another finds the examples."""
        rules = [(column.name, rule) for column in self.columns for rule in column.rules]
        counts = data.select(**{str(n): rule.broken.sum() for n, (_, rule) in enumerate(rules)}).row(0)
        for (name, rule), count in zip(rules, counts, strict=True):
            if count:
                yield _broken(name, rule.name, count, self._first(data.filter(rule.broken))[name])

    def _repeated_keys(self, data: pl.DataFrame) -> Iterator[Violation]:
        orders = [self.key]
        if self.key_names_the_day:
            orders.append(("date", *(name for name in self.key if name != "date")))
        keys = data.select(*dict.fromkeys(orders[-1])).drop_nulls(self.key)  # a null key breaks another rule
        # In order equal keys are neighbours: by key, or as files have them, where the rows of a key are of one day. This is
        # several times faster than hashing keys that are sorted already.
        same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in self.key)
        if (keys if any(in_order(keys, order) for order in orders) else keys.sort(self.key)).select(same.any()).item():
            twice = keys.filter(pl.struct(self.key).is_duplicated())
            yield _broken(
                "/".join(self.key),
                "unique",
                twice.height,
                tuple(map(str, self._first(twice.select(self.key)).values())),
            )

    def _wrong_days(self, data: pl.DataFrame) -> Iterator[Violation]:
        if self.time_column is None:
            return
        wrong = data.filter(pl.col(self.time_column).dt.date() != pl.col("date")).height
        if wrong:
            yield Violation(f"date is not the UTC day of {self.time_column}", wrong)

    def _crossed(self, data: pl.DataFrame) -> Iterator[Violation]:
        for low, high in self.ordered:
            crossed = data.filter(pl.col(low) > pl.col(high))
            if not crossed.is_empty():
                yield Violation(f"{low} is above {high}", crossed.height, self._example(crossed))
        for early, late in self.before:
            wrong = data.filter(pl.col(early) >= pl.col(late))
            if not wrong.is_empty():
                yield Violation(f"{early} is not before {late}", wrong.height, self._example(wrong))

    def _example(self, rows: pl.DataFrame) -> str:
        return str(tuple(self._first(rows).values())[:2])

    def _first(self, rows: pl.DataFrame) -> dict[str, Any]:
        """Return the first row in the order of the key, whatever order the rows have."""
        return rows.sort(self.key).row(0, named=True)


def _broken(where: str, rule: str, count: int, example: object) -> Violation:
    return Violation(f"{where} breaks {rule}", count, str(example)[:120])


def _without_nan(data: pl.DataFrame) -> pl.DataFrame:
    """Replace NaN by null. Columns without NaN are not copied."""
    floats = [name for name, kind in data.schema.items() if kind == pl.Float64]
    if not floats or data.is_empty():
        return data
    has = data.select(pl.col(floats).is_nan().any()).row(0, named=True)
    return data.with_columns(pl.col(name).fill_nan(None) for name in floats if has[name])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
