"""The contract of a table: grain, key, columns, bounds, write mode. Each ``TableSpec`` holds one.

Column metadata in the UI, the validation before every write, the contract check and the data dictionary all read the
same :class:`Contract`, so they cannot disagree. The tables themselves are declared in one file per group beside this one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from functools import cached_property
from typing import TypeAlias

import pandas as pd
import pandera.polars as pa
import polars as pl

from crypto_assets.errors import ContractError

TIMESTAMP = pl.Datetime("us", "UTC")
TEXTS = pl.List(pl.String)

Frame: TypeAlias = pd.DataFrame | pl.DataFrame


class WriteMode(Enum):
    """What a materialisation does with the rows that its partitions already hold."""

    REPLACE = "replace"  # derived tables: the partition becomes exactly the new rows
    MERGE = "merge"  # tables of providers: a new row replaces the stored one of its key; stored rows that the answer lacks stay
    KEEP = "keep"  # snapshots of the present: the first row of a key stays, because it is what was known then


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

    def checks(self) -> list[pa.Check]:
        """Build the pandera checks of the bounds. Floats must also be finite."""
        found = []
        if self.lower is not None:
            found.append(pa.Check.ge(self.lower))
        if self.above is not None:
            found.append(pa.Check.gt(self.above))
        if self.upper is not None:
            found.append(pa.Check.le(self.upper))
        if self.allowed is not None:
            found.append(pa.Check.isin(self.allowed))
        if self.dtype in (pl.Float64, pl.Float32):
            found.append(pa.Check(lambda data: data.lazyframe.select(~pl.col(data.key).is_infinite()), name="finite"))
        return found

    def broken_rules(self) -> list[pl.Expr]:
        """Build the rules of :meth:`checks` and nullability as Polars aggregates. Each is true where its rule is broken."""
        value = pl.col(self.name)
        found = [] if self.nullable else [value.null_count() > 0]
        floating = self.dtype in (pl.Float64, pl.Float32)
        if self.lower is not None or floating:
            found.append(value.min() < self.lower if self.lower is not None else value.min() == float("-inf"))
        if self.upper is not None or floating:
            found.append(value.max() > self.upper if self.upper is not None else value.max() == float("inf"))
        if self.above is not None:
            found.append(value.min() <= self.above)
        if self.allowed is not None:
            found.append((~value.drop_nulls().is_in(self.allowed)).any())
        return found


@dataclass(frozen=True)
class Contract:
    """What the rows of one table are. Every table has ``date`` (the partition, a UTC day) and ``available_at``.

    Attributes:
        table: The name; also the asset key.
        description: One or two sentences for the UI and the data dictionary.
        grain: What one row is, for example ``coin x hour``.
        key: The columns that identify a row.
        columns: All columns, in table order.
        available_at_rule: When a row becomes known, in words.
        write_mode: What a materialisation does with stored rows.
        reference: The provider's documentation.
        time_column: The timestamp whose UTC day is ``date``; None where ``date`` is the time of the key.
        metadata_columns: Columns that describe the row and are no values.
        keeps: Columns that keep their first stored value under ``MERGE``, because it is what was known then.
        ordered: Pairs of columns; the first is never above the second.
    """

    table: str
    description: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    available_at_rule: str
    write_mode: WriteMode = WriteMode.REPLACE
    reference: str = ""
    time_column: str | None = "ts"
    metadata_columns: tuple[str, ...] = field(default=("date", "available_at", "source"))
    keeps: tuple[str, ...] = ()
    ordered: tuple[tuple[str, str], ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def names(self) -> list[str]:
        """The names of the columns, in table order."""
        return [column.name for column in self.columns]

    @cached_property
    def value_columns(self) -> list[str]:
        """The columns that are neither key nor metadata. Population counts these."""
        return [n for n in self.names if n not in self.key and n not in self.metadata_columns]

    @cached_property
    def polars_schema(self) -> pl.Schema:
        """The names and types of the columns, in table order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @cached_property
    def rules(self) -> pa.DataFrameSchema:
        """The contract as a pandera schema: types, bounds, unique key, no other columns."""
        columns = {
            c.name: pa.Column(c.dtype, checks=c.checks(), nullable=c.nullable, required=True) for c in self.columns
        }
        return pa.DataFrameSchema(columns, unique=list(self.key), strict=True, name=self.table)

    def empty(self) -> pl.DataFrame:
        """Return a frame with the columns of the contract and no rows."""
        return pl.DataFrame(schema=self.polars_schema)

    def conform(self, frame: Frame) -> pl.DataFrame:
        """Bring a frame into the shape of the contract. NaN becomes null, because unknown is null.

        Args:
            frame: The rows, as pandas or Polars. Nullable columns may be absent; they become null.

        Returns:
            The rows with the contract's columns, types and order, sorted by key.

        Raises:
            ContractError: A column is missing, a column is not in the contract, or a value does not fit its type.
        """
        data = pl.from_pandas(frame.reset_index(drop=True)) if isinstance(frame, pd.DataFrame) else frame
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
        """Describe each broken rule in one sentence; empty if the contract holds.

        Args:
            data: Conformed rows.

        Returns:
            The sentences, in the order of the columns.
        """
        problems: list[str] = []
        try:
            if not self._holds(data):  # one fast pass; pandera is slower, but names the broken rule
                self.rules.validate(data, lazy=True)
        except pa.errors.SchemaErrors as error:
            cases = error.failure_cases
            for (column, check), group in cases.group_by(["column", "check"], maintain_order=True):
                example = str(group["failure_case"][0])[:120]
                problems.append(
                    f"{column if column in self.by_name else '/'.join(self.key)} breaks {check} in {group.height} row(s), e.g. {example}"
                )
        problems.extend(self._time_violations(data))
        for low, high in self.ordered:
            crossed = data.filter(pl.col(low) > pl.col(high))
            if not crossed.is_empty():
                problems.append(f"{low} is above {high} in {crossed.height} row(s), e.g. {crossed.row(0)[:2]}")
        return problems

    def _holds(self, data: pl.DataFrame) -> bool:
        """Whether no rule is broken, in one pass. Pandera takes one pass for every check of every column."""
        if data.columns != self.names or data.schema != self.polars_schema:
            return False
        if data.is_empty():
            return True
        broken = [expression for column in self.columns for expression in column.broken_rules()]
        if any(data.select(**{str(n): expression for n, expression in enumerate(broken)}).row(0)):
            return False
        keys = data.select(self.key)
        # In key order equal keys are neighbours; a null key is caught above.
        same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in self.key)
        return self._sorted(keys).select(same.any()).item() is not True

    def _time_violations(self, data: pl.DataFrame) -> Iterable[str]:
        if self.time_column is None or data.is_empty():
            return
        astray = data.filter(pl.col(self.time_column).dt.date() != pl.col("date")).height
        if astray:
            yield f"date is not the UTC day of {self.time_column} in {astray} row(s)"


def _without_nan(data: pl.DataFrame) -> pl.DataFrame:
    """Replace NaN by null. Columns without NaN are not copied."""
    floats = [name for name, kind in data.schema.items() if kind == pl.Float64]
    if not floats or data.is_empty():
        return data
    has = data.select(pl.col(floats).is_nan().any()).row(0, named=True)
    return data.with_columns(pl.col(name).fill_nan(None) for name in floats if has[name])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
