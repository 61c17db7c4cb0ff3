"""The worst ``pit_quality`` among the input rows of derived rows, point-in-time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.tables.contract import Contract
from crypto_assets.tables.pit_quality import BACKFILLED, PIT_QUALITY, QUALITIES, Always, WorstOfInputs

MARKET = "MARKET"  # the symbol of rows about the whole market
NEVER = np.iinfo(np.int64).max
RANKS = {quality: rank for rank, quality in enumerate(QUALITIES)}


@dataclass(frozen=True)
class Input:
    """The rows of one input, and how far derived rows look back over them.

    Attributes:
        contract: The contract of the input.
        rows: ``date``, ``available_at``, and ``pit_quality`` where the rows say it.
        look_back: Days before the day of a derived row.
    """

    contract: Contract
    rows: pl.DataFrame
    look_back: int


def with_worst_quality(rule: WorstOfInputs, rows: pl.DataFrame, inputs: Mapping[str, Input]) -> pl.DataFrame:
    """Add ``pit_quality`` to derived rows: the worst of the input rows that they may rest on, see :class:`WorstOfInputs`.

    An input row counts for a derived row if its day is the derived row's or at most ``look_back`` days before, and it was
    known at the derived row's ``available_at``. So it depends neither on the days that are derived together nor on
    rows that became known later.

    Args:
        rule: The rule of the derived table's contract.
        rows: Derived rows with ``date`` and ``available_at``.
        inputs: Table -> its rows.

    Returns:
        The rows with ``pit_quality``; ``final`` where no input row counts.
    """
    codes = np.zeros(rows.height, np.int8)
    if rows.height:
        place = _Place.of(rule, rows)
        for given in inputs.values():
            _raise(codes, place, given)
    quality = pl.Series(PIT_QUALITY, QUALITIES, dtype=pl.String).gather(codes)
    return rows.with_columns(quality)


def backfilled_inputs(inputs: Mapping[str, Input], days: Sequence[date]) -> dict[date, list[str]]:
    """Find the inputs of each day that have backfilled rows in its look-back.

    Args:
        inputs: Table -> its rows.
        days: The days of a derived table.

    Returns:
        Day -> the names of these inputs, in the order of ``inputs``.
    """
    of = {table: _backfilled_days(given) for table, given in inputs.items()}
    return {
        day: [
            table
            for table, given in inputs.items()
            if any(day - timedelta(days=back) in of[table] for back in range(given.look_back + 1))
        ]
        for day in days
    }


def _backfilled_days(given: Input) -> set[date]:
    return set(_coded(given, None).filter(pl.col("code") == RANKS[BACKFILLED])["day"].cast(pl.Date))


@dataclass(frozen=True)
class _Place:
    """Where derived rows stand: the number of their subject, their day and the instant at which they were known."""

    by: str | None
    subjects: pl.Series
    subject: NDArray[np.int64]
    day: NDArray[np.int64]
    known: NDArray[np.int64]

    @staticmethod
    def of(rule: WorstOfInputs, rows: pl.DataFrame) -> _Place:
        by = rule.by if rule.by in rows.columns else None
        subjects = rows[by].unique().sort() if by else pl.Series([], dtype=pl.String)
        subject = _numbers(rows[by], subjects) if by else np.zeros(rows.height, np.int64)
        return _Place(by, subjects, subject, _days(rows["date"]), _micros(rows["available_at"]))


def _raise(codes: NDArray[np.int8], place: _Place, given: Input) -> None:
    """Raise the codes of the rows for which the input has a worse row that counts."""
    known, rule = int(codes.min()), given.contract.pit_quality
    if max(RANKS[quality] for quality in rule.allowed) <= known:  # e.g. prices, all of them final: the largest tables
        return
    rows = _coded(given, place.by)
    first, last = int(place.day.min()) - given.look_back, int(place.day.max())
    rows = rows.filter((pl.col("day") >= first) & (pl.col("day") <= last), pl.col("code") > known)
    own = place.by in rows.columns
    everyone = (pl.col(str(place.by)) == MARKET) if own else pl.lit(value=True)
    for shared, part in ((True, rows.filter(everyone)), (False, rows.filter(~everyone))):
        for code in sorted(part["code"].unique(), reverse=True):
            worse = part.filter(pl.col("code") >= code)
            if shared:
                subject, count = np.zeros(worse.height, np.int64), 1
            else:
                worse = worse.filter(pl.col(str(place.by)).is_in(place.subjects.implode()))
                subject, count = _numbers(worse[str(place.by)], place.subjects), place.subjects.len()
            earliest = np.full((count, last - first + 1), NEVER)
            np.minimum.at(earliest, (subject, worse["day"].to_numpy() - first), _micros(worse["available_at"]))
            earliest = _trailing_minimum(earliest, given.look_back + 1)
            at = (0 if shared else place.subject, place.day - first)
            np.maximum(codes, np.where(earliest[at] <= place.known, np.int8(code), np.int8(0)), out=codes)


def _coded(given: Input, by: str | None) -> pl.DataFrame:
    """Return the rows with ``day`` (since 1970) and ``code``: the place of their quality in :data:`QUALITIES`."""
    rule = given.contract.pit_quality
    if isinstance(rule, Always) or PIT_QUALITY not in given.rows.columns:
        code = pl.lit(RANKS[rule.unsaid], pl.Int64)
    else:
        said = pl.col(PIT_QUALITY).fill_null(rule.unsaid)  # comparing each is several times faster than looking all up
        code = pl.sum_horizontal((said == quality).cast(pl.Int64) * rank for quality, rank in RANKS.items())
    names = [name for name in (by, "available_at") if name in given.rows.columns]
    return given.rows.select(
        *names,
        day=pl.col("date").cast(pl.Date).to_physical().cast(pl.Int64),
        code=code,
    )


def _trailing_minimum(values: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """Return the minimum of each element and those before it in a window, row by row, in log(window) passes."""
    span = 1
    while span < window:
        step = min(span, window - span)
        shifted = np.full_like(values, NEVER)
        shifted[:, step:] = values[:, :-step] if step < values.shape[1] else values[:, :0]
        values, span = np.minimum(values, shifted), span + step
    return values


def _numbers(names: pl.Series, known: pl.Series) -> NDArray[np.int64]:
    """Return the place of each name in the sorted names ``known``."""
    return names.cast(pl.String).cast(pl.Enum(known)).to_physical().cast(pl.Int64).to_numpy()


def _days(days: pl.Series) -> NDArray[np.int64]:
    return days.cast(pl.Date).to_physical().cast(pl.Int64).to_numpy()


def _micros(instants: pl.Series) -> NDArray[np.int64]:
    return instants.cast(pl.Datetime("us", "UTC")).to_physical().cast(pl.Int64).to_numpy()
