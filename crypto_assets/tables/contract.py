"""What a table promises about its rows: the contract in each :class:`~crypto_assets.tables.spec.TableSpec`.

One :class:`Contract` drives four things, so that they cannot disagree: column metadata in the UI, validation before
every write, the contract check, and the generated data dictionary. Rows of data live elsewhere; so do the
declarations of the tables (one file a group beside this one).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from crypto_assets.errors import ContractError
from crypto_assets.lazy import lazy

if TYPE_CHECKING:
    import pandas as pd
    import pandera.polars as pa
else:
    pd = lazy("pandas")
    pa = lazy("pandera.polars")

TIMESTAMP = pl.Datetime("us", "UTC")
TEXTS = pl.List(pl.String)

Frame: TypeAlias = "pd.DataFrame | pl.DataFrame"


class WriteMode(Enum):
    """How a materialisation meets the rows already in its partitions."""

    REPLACE = "replace"  # derived tables: the partition becomes exactly the new rows
    MERGE = "merge"  # tables fed by providers: new rows win by key, rows that the answer lacks stay (a failed fetch writes nothing)
    KEEP = "keep"  # snapshots of the present: the first row of a key stays, since that is what was known then


@dataclass(frozen=True)
class Column:
    """One column: its type, unit and bounds. Bounds are inclusive and apply to non-null values."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    unit: str
    description: str
    nullable: bool = True
    lower: float | None = None
    upper: float | None = None
    above: float | None = None  # exclusive lower bound
    allowed: tuple[str, ...] | None = None
    max_staleness: timedelta | None = None  # as-of joins look back no further than this after ``available_at``
    placeholder: str | None = None  # what the provider writes for "unknown"; stored as null

    def checks(self) -> list[pa.Check]:
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

    def broken(self) -> list[pl.Expr]:
        """The same rules as :meth:`checks` and nullability, each as an aggregate that is true where one is broken."""
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
    """One table: grain, key, columns, when a row becomes known, how it is written.

    ``date`` (the partition: the UTC day of the key's time) and ``available_at`` are part of every table.
    """

    table: str
    description: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    available_at_rule: str
    write_mode: WriteMode = WriteMode.REPLACE
    reference: str = ""
    time_column: str | None = "ts"  # the timestamp whose UTC day is ``date``; None where ``date`` is the key's time
    metadata_columns: tuple[str, ...] = field(default=("date", "available_at", "source"))
    keeps: tuple[str, ...] = ()  # under MERGE: columns that stay as they were first stored (what was known then)
    ordered: tuple[tuple[str, str], ...] = ()  # pairs of columns of which the first is never above the second

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @cached_property
    def value_columns(self) -> list[str]:
        """Columns that carry values: neither key nor metadata. Population counts these."""
        return [n for n in self.names if n not in self.key and n not in self.metadata_columns]

    @cached_property
    def polars_schema(self) -> pl.Schema:
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @cached_property
    def rules(self) -> pa.DataFrameSchema:
        columns = {
            c.name: pa.Column(c.dtype, checks=c.checks(), nullable=c.nullable, required=True) for c in self.columns
        }
        return pa.DataFrameSchema(columns, unique=list(self.key), strict=True, name=self.table)

    def empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.polars_schema)

    def conform(self, frame: Frame) -> pl.DataFrame:
        """The frame with the contract's columns, types and order, sorted by key; absent nullable columns become null.

        NaN becomes null (unknown is null). Raises :class:`ContractError` for a missing or surplus column, or for a
        value that does not survive the cast.
        """
        data = frame if isinstance(frame, pl.DataFrame) else pl.from_pandas(frame.reset_index(drop=True))
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
        """The rows in key order; rows that are in order already are not copied."""
        keys = data.select(self.key)
        return data if keys.equals(keys.sort(self.key)) else data.sort(self.key)

    def validate(self, frame: Frame) -> pl.DataFrame:
        """The conformed frame, once every rule held. Raises :class:`ContractError` naming the first broken rules."""
        data = self.conform(frame)
        problems = self.violations(data)
        if problems:
            raise ContractError(
                f"{self.table}: {len(problems)} rule(s) broken, nothing was written: {'; '.join(problems[:3])}; "
                "see the contract in docs/data-dictionary.md"
            )
        return data

    def violations(self, data: pl.DataFrame) -> list[str]:
        """Broken rules as sentences, worst column first come; empty when the contract holds."""
        problems: list[str] = []
        try:
            if not self._holds(data):  # pandera names what is broken; that nothing is, one pass over the columns tells
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
        """Whether :attr:`rules` find nothing, in one pass: pandera takes a pass for every check of every column."""
        if data.columns != self.names or data.schema != self.polars_schema:
            return False
        if data.is_empty():
            return True
        broken = [expression for column in self.columns for expression in column.broken()]
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
    """NaN as null; columns without one are not copied."""
    floats = [name for name, kind in data.schema.items() if kind == pl.Float64]
    if not floats or data.is_empty():
        return data
    has = data.select(pl.col(floats).is_nan().any()).row(0, named=True)
    return data.with_columns(pl.col(name).fill_nan(None) for name in floats if has[name])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
