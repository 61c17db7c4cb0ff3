"""Check ``set_aside``: observations that a provider gave and that were not stored, by subject, reason and count."""

from __future__ import annotations

from datetime import date

import polars as pl

from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.dates import DAY, days
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.registry import CONTRACTS, provider_tables

RECENT_DAYS = 7  # a live check includes these days
SHOWN = 3


def set_aside(table: Contract) -> Measure:
    """Find observations that were not stored as given: their cell is null or their row is left out.

    WARN: the other observations are stored, and the provider may correct these.
    """

    def measure(scope: Scope) -> Outcome:
        looked_at = _looked_at(scope)
        rows = scope.warehouse.read("set_aside", start=looked_at[0], end=looked_at[-1]).filter(
            pl.col("table_name") == table.table, pl.col("date").is_in(looked_at)
        )
        if rows.is_empty():
            span = _span([day for day in looked_at if _recent(day, scope)] or looked_at)
            return Outcome(True, "nothing was set aside", "WARN", {"observations": 0, "subjects": 0, **span})
        total = int(rows["count"].sum())
        reasons = rows.group_by("column_name", "reason").agg(
            pl.col("count").sum(), pl.col("subject").unique().sort(), pl.col("example").first()
        ).sort("count", "reason", "column_name", descending=[True, False, False])  # fmt: skip
        bad = sorted(set(rows["date"]))
        more = f"; and {reasons.height - SHOWN} more reason(s)" if reasons.height > SHOWN else ""
        return Outcome(
            False,
            f"{total} observation(s) of {rows['subject'].n_unique()} subject(s) on {len(bad)} day(s) set aside, the rest "
            f"is stored: {'; '.join(_said(row) for row in reasons.head(SHOWN).iter_rows(named=True))}{more}; see them with "
            f"crypto-assets sql \"select * from set_aside where table_name = '{table.table}'\"",
            "WARN",
            {
                "observations": total,
                "subjects": rows["subject"].n_unique(),
                "days": len(bad),
                "by_reason": dict(rows.group_by("reason").agg(pl.col("count").sum()).sort("reason").rows()),
                **_span([day for day in bad if _recent(day, scope)] or bad),
            },
        )

    return measure


def _said(row: dict[str, object]) -> str:
    subjects = [str(name) for name in row["subject"]]  # type: ignore[attr-defined]
    who = ", ".join(subjects[:4]) + ("…" if len(subjects) > 4 else "")
    what = row["column_name"] or "row"
    example = f", e.g. {row['example']}" if row["example"] else ""
    return f"{row['count']} × {what} {row['reason']} ({who}{example})"


def _looked_at(scope: Scope) -> list[date]:
    """Return the days to check: those of the range, and for a live check also the last days."""
    today = scope.now.date()
    recent = days(max(today - DAY * RECENT_DAYS, scope.settings.start), today) if scope.live else []
    return sorted({*days(scope.start, scope.end), *recent})


def _recent(day: date, scope: Scope) -> bool:
    return day >= scope.now.date() - DAY * RECENT_DAYS


def _span(found: list[date]) -> dict[str, str]:
    """Return the first and last day of the outcome, for alerts."""
    return {"first_day": found[0].isoformat(), "last_day": found[-1].isoformat()}


FAMILY = {"set_aside": set_aside}
MEASURES: dict[str, dict[str, Measure]] = {
    table: {"set_aside": set_aside(CONTRACTS[table])} for table in provider_tables()
}
