"""Measures of derivatives: do the tables with a history agree with the snapshot of all venues, and does each venue answer?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl

from crypto_assets.catalog import select
from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.checks.parts import parts
from crypto_assets.dates import DAY

AGREEING_SHARE = 0.95
RATE_APART = 1e-3  # an interval: the snapshot's mean runs ahead of the settlement, and a percent is a hundred fractions
WHOLE = 1.2  # a venue's open interest is part of that of all venues; their clocks differ by an hour
SNAPSHOT = "derivatives"
COMPARED = ("symbol", "venue", "available_at")


def agrees_with_snapshot(table: str, column: str, known_for: timedelta, agrees: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Measure:  # fmt: skip
    """Build the measure of a table whose ``column`` the snapshot of all venues has too.

    Args:
        table: the table with a history.
        column: the column, of the same name in both.
        known_for: how long a row of it is compared with snapshots.
        agrees: whether the snapshot's value and the venue's can both be right.
    """

    def measure(scope: Scope) -> Outcome:
        """Compare the first venue's numbers with the snapshot over all venues, hour by hour.

        WARN: a person must say which of the two is wrong, and whether it is a unit or a name.
        """
        both = _compared(scope, table, column, known_for)
        if both.is_empty():
            return Outcome(True, "no hour that the snapshot and the table both have", "WARN", {"compared": 0})
        judged = both.with_columns(agree=agrees(pl.col("snapshot"), pl.col("venue_value")))
        share = float(judged["agree"].mean() or 0.0)  # type: ignore[arg-type]
        text = f"{share:.2%} of {both.height} coin-hours agree with the snapshot of all venues"
        strange = judged.filter(~pl.col("agree"))
        if strange.height:
            worst = strange.group_by("symbol").len().sort("len", "symbol", descending=[True, False]).row(0)
            example = strange.filter(pl.col("symbol") == worst[0]).row(0, named=True)
            text += (
                f"; most apart: {worst[0]} in {worst[1]} hour(s), e.g. at {example['known']:%Y-%m-%d %H:%M} the snapshot has "
                f"{example['snapshot']:g} and {example['venue']} {example['venue_value']:g}"
            )
        return Outcome(share >= AGREEING_SHARE, text, "WARN", {"compared": both.height, "share_agreeing": share})

    return measure


def _compared(scope: Scope, table: str, column: str, known_for: timedelta) -> pl.DataFrame:
    """symbol, known (the snapshot's instant), snapshot, venue, venue_value: the newest row of the venue known by then."""
    found = [_compared_days(scope, table, column, known_for, *days) for days in parts(scope, table, len(COMPARED))]
    return pl.concat(found)


def _compared_days(
    scope: Scope, table: str, column: str, known_for: timedelta, first: date, last: date
) -> pl.DataFrame:
    snapshots = scope.warehouse.read(
        SNAPSHOT, start=first, end=last, columns=["symbol", "available_at", column], in_order=False
    ).select("symbol", known="available_at", snapshot=column)
    start = first - DAY if len(snapshots) else last  # nothing is compared with no snapshot
    rows = scope.warehouse.read(table, start=start, end=last, columns=[*COMPARED, column], in_order=False)
    rows = rows.filter(pl.col("venue") == scope.settings.derivative_sources[0])
    rows = rows.select("symbol", "venue", known="available_at", venue_value=column).sort("known")
    joined = snapshots.sort("known").join_asof(
        rows, on="known", by="symbol", tolerance=known_for, check_sortedness=False
    )
    return joined.drop_nulls(["snapshot", "venue_value"])


def venues_answer(table: str) -> Measure:
    """Build the measure of a table with a row for each venue."""

    def measure(scope: Scope) -> Outcome:
        """Look for rows of each venue in DERIVATIVE_SOURCES in the range.

        WARN: a venue that refuses this place is left out without failing a run. The spread between venues is empty until
        it answers or is taken out of the order.
        """
        found = scope.warehouse.summarise(
            table, lambda rows: rows.group_by("venue").len(), start=scope.start, end=scope.end, columns=["venue"]
        )
        counts = dict(found.rows())
        coins = select(scope.settings.coins)
        listing = [v for v in scope.settings.derivative_sources if any(getattr(c, f"{v}_perpetual") for c in coins)]
        silent = [venue for venue in listing if counts and not counts.get(venue)]
        text = ", ".join(f"{venue} {counts.get(venue, 0)} row(s)" for venue in listing) or "no coin has a contract"
        if silent:
            text += f"; {', '.join(silent)} gave none: see not_given of the newest materialisation"
        return Outcome(not silent, text, "WARN", {f"rows_of_{venue}": counts.get(venue, 0) for venue in listing})

    return measure


MEASURES: dict[str, dict[str, Measure]] = {
    "funding_rates": {
        "agrees_with_snapshot": agrees_with_snapshot(
            "funding_rates", "funding_rate", timedelta(hours=10), lambda all_, one: (all_ - one).abs() <= RATE_APART
        ),
        "venues_answer": venues_answer("funding_rates"),
    },
    "open_interest": {
        "agrees_with_snapshot": agrees_with_snapshot(
            "open_interest", "open_interest_usd", timedelta(hours=2), lambda all_, one: one <= all_ * WHOLE
        ),
        "venues_answer": venues_answer("open_interest"),
    },
}
