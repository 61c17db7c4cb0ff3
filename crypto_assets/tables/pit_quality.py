"""How far a stored value can be trusted to be the one that was known at ``available_at``: the column ``pit_quality``.

``available_at`` says when a row could be known. A provider may revise the row later, and then a value that is fetched
today is not the one that could be read at ``available_at``. Each contract declares its case, with the reason:
:class:`Always`, :class:`SeenInTime`, :class:`SaidByRow` or :class:`WorstOfInputs`. ``docs/decisions/pit-quality.md`` explains the choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import polars as pl

PIT_QUALITY = "pit_quality"
# Best first. A row that is made from others carries the worst of theirs.
QUALITIES = FINAL, VINTAGE, FIRST_SEEN, BACKFILLED = ("final", "vintage", "first_seen", "backfilled")
MEANINGS = {
    FINAL: "the provider does not revise it",
    VINTAGE: "as published at available_at; the provider says when it published each revision",
    FIRST_SEEN: "stored when it became known",
    BACKFILLED: "fetched later from a provider that revises, or nobody knows when",
}


@dataclass(frozen=True)
class Always:
    """Every row of the table has the same quality.

    Attributes:
        quality: One of :data:`QUALITIES`.
        reason: Why, as a clause without a full stop.

    Raises:
        TypeError: At import: there is no such quality.
    """

    quality: str
    reason: str

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise TypeError(f"pit_quality of a contract is {self.quality!r}; it is one of {', '.join(QUALITIES)}")

    @property
    def allowed(self) -> tuple[str, ...]:
        """The qualities that a row may have."""
        return (self.quality,)

    @property
    def unsaid(self) -> str:
        """The quality of a row that does not say it."""
        return self.quality

    @property
    def said(self) -> str:
        """The rule as one sentence."""
        return f"Always {self.quality}: {self.reason}."


@dataclass(frozen=True)
class SeenInTime:
    """The provider may revise its rows: what counts is how soon after ``available_at`` a row's values were stored.

    A row whose values were stored within ``within`` is ``first_seen``, any other is ``backfilled``. A row keeps its quality
    for as long as its values stay the same: a later fetch of the same values makes it no worse.

    Attributes:
        within: The longest time from ``available_at`` until the fetch. It covers the table's schedules, not more.
        reason: Why, as a clause without a full stop.
        trained_on: Whether training sets keep the features of ``backfilled`` rows by default. True for tables that training
            sets had before ``pit_quality`` was there; a later table says False.
    """

    within: timedelta
    reason: str
    trained_on: bool = False

    @property
    def allowed(self) -> tuple[str, ...]:
        """The qualities that a row may have."""
        return (FIRST_SEEN, BACKFILLED)

    @property
    def unsaid(self) -> str:
        """The quality of a row that does not say it."""
        return BACKFILLED

    @property
    def said(self) -> str:
        """The rule as one sentence."""
        hours = f"{self.within / timedelta(hours=1):g} h"
        return (
            f"first_seen where the values were stored within {hours} of available_at, else backfilled: {self.reason}."
        )

    def of_rows(self, fetched_at: datetime) -> pl.Expr:
        """Build the expression of the quality of rows that were fetched at an instant.

        Args:
            fetched_at: The instant, UTC.

        Returns:
            An expression over ``available_at``.
        """
        late = pl.lit(fetched_at) - pl.col("available_at") > self.within
        return pl.when(late).then(pl.lit(BACKFILLED)).otherwise(pl.lit(FIRST_SEEN)).alias(PIT_QUALITY)


@dataclass(frozen=True)
class SaidByRow:
    """The source says the quality of each row, because the providers of the table differ.

    Attributes:
        allowed: The qualities that a row may have.
        reason: Which row has which, as a clause without a full stop.
    """

    allowed: tuple[str, ...]
    reason: str

    @property
    def unsaid(self) -> str:
        """The quality of a row that does not say it: the worst that it may have."""
        return max(self.allowed, key=QUALITIES.index)

    @property
    def said(self) -> str:
        """The rule as one sentence."""
        return f"Said by the source: {self.reason}."


@dataclass(frozen=True)
class WorstOfInputs:
    """A row of a derived table carries the worst quality among the input rows that it may rest on.

    These are the rows of the days that it looks back over (``inputs`` of its ``DerivedFrom``) that were known at its own
    ``available_at``. :mod:`crypto_assets.tables.worst_quality` finds it.

    Attributes:
        by: A row rests only on input rows with the same value in this column, e.g. ``symbol``; input rows of the whole market
            count for every row. None: it may rest on every row.
    """

    by: str | None

    @property
    def allowed(self) -> tuple[str, ...]:
        """The qualities that a row may have."""
        return QUALITIES

    @property
    def unsaid(self) -> str:
        """The quality of a row that does not say it."""
        return BACKFILLED

    @property
    def said(self) -> str:
        """The rule as one sentence."""
        which = f" of the same {self.by}, or of the whole market," if self.by else ""
        return f"The worst of the input rows{which} in its look-back that were known at available_at."


PitQuality: TypeAlias = Always | SeenInTime | SaidByRow | WorstOfInputs
