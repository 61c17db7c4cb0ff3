"""Collect the numbers of the quality report from the tables. Drawing and wording belong to ``page.py``."""

from __future__ import annotations

from calendar import monthrange
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from dagster import DagsterInstance

from crypto_assets.assets.partition_states import one_look
from crypto_assets.checks import calls, enhanced_rows, population, sources, state
from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.state import FRESHNESS
from crypto_assets.dates import DAY
from crypto_assets.errors import InstanceError, WarehouseError
from crypto_assets.features.all_features import GROUPS
from crypto_assets.monitoring import freshness, history_report
from crypto_assets.monitoring.alerts.incidents import Incident
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.monitoring.slo import observed
from crypto_assets.settings import Settings
from crypto_assets.storage.lenient import LenientWarehouse
from crypto_assets.transforms import service_level

RECENT_DAYS = 30
HOUR = timedelta(hours=1)
# Figure -> the tables it is counted in. Where one cannot be read the figure is not known, and 0 would be good news.
COUNTED_IN = {
    "quarantined": ("quarantine",),
    "api_calls_30d": ("api_usage",),
    "api_errors_30d": ("api_usage",),
    "articles_30d": ("news_articles",),
    "articles_by_model_30d": ("news_articles", "article_narratives"),
}


@dataclass(frozen=True)
class Quality:
    """The content of the report. A row of a frame is what the frame's name says; shares are fractions."""

    made_at: datetime
    start: date  # first of the recent days: 30 up to the newest day with rows
    end: date
    by_month: pl.DataFrame  # asset, month (first day), share of days with rows; null where none is due
    states: dict[str, state.TableState]  # asset -> its recent days
    groups: dict[str, float]  # feature group -> share of cells that are not null
    populated: float
    feature_rows: int
    enhanced: float
    fresh: list[state.TableFreshness]
    agreement: Outcome
    agreeing: pl.DataFrame  # date, share of coin-hours within 1 %
    held: Outcome
    calls: pl.DataFrame  # date, provider, calls, errors
    budget: Outcome | None
    articles: pl.DataFrame  # date, outcome, articles
    level: pl.DataFrame  # transforms.slo.service_level
    history: pl.DataFrame  # newest look of each day: asset, date, counts and shares of history_report
    not_readable: dict[str, str] = field(default_factory=dict)  # table -> why; it counts as a table without rows
    incidents: list[Incident] | None = None  # None: Postgres was not reached
    notes: list[str] = field(default_factory=list)
    failed: dict[str, list[date]] | None = None  # asset -> partitions still failed, of any age; None: Dagster not asked

    @property
    def covered(self) -> dict[str, float | None]:
        """Asset -> days with rows ÷ days due, recently; None where none was due."""
        return {table: found.coverage for table, found in self.states.items()}

    @property
    def mean_covered(self) -> float | None:
        """The mean over the tables that had days due; None where none had any."""
        shares = [share for share in self.covered.values() if share is not None]
        return sum(shares) / len(shares) if shares else None


def gather(settings: Settings, now: datetime, instance: DagsterInstance | None = None) -> Quality:
    """Collect everything that the report shows. In a folder, a broken table does not hide the others.

    Args:
        settings: the warehouse.
        now: the instant, UTC.
        instance: knows which partitions are still failed; without it the report says that Dagster was not asked.

    Returns:
        The numbers.

    Raises:
        WarehouseError: a table cannot be read, and no other table has a row.
    """
    warehouse = LenientWarehouse(settings.warehouse)
    while True:
        known = len(warehouse.not_readable)
        with nullcontext() if instance is None else one_look(instance, FRESHNESS):
            found = _gather(warehouse, settings, now, instance)
        if len(warehouse.not_readable) == known:
            return found  # else a table was counted before one of its files was found missing


def _gather(
    warehouse: LenientWarehouse, settings: Settings, now: datetime, instance: DagsterInstance | None
) -> Quality:
    days = {t: warehouse.days_with_rows(t, settings.start, now.date()) for t in FRESHNESS}
    if warehouse.not_readable and not any(days.values()):
        raise WarehouseError(next(iter(warehouse.not_readable.values())))
    end = max((max(found) for found in days.values() if found), default=now.date())
    start = max(end - DAY * (RECENT_DAYS - 1), settings.start)  # days before the first partition are not due
    scope = Scope(warehouse, settings, start, end, now)
    filled = population.measure_population(scope)
    columns = filled.columns()
    enhanced, base = enhanced_rows.enhanced_ratio(scope)
    incidents, notes = _incidents(settings)
    failed = None
    if instance is None:
        notes.append("failed partitions are not shown: Dagster was not asked")
    else:
        looked_at = {table: state.failed_days(instance, table, settings.start, now.date()) for table in FRESHNESS}
        failed = {table: found for table, found in looked_at.items() if found}
    return Quality(
        made_at=now, start=start, end=end,
        by_month=by_month(warehouse, settings, days, now),
        states={table: _state(warehouse, settings, table, start, end, now, instance) for table in days},
        failed=failed,
        groups={name: sum(columns[f.name] for f in found) / len(found) for name, found in GROUPS.items()},
        populated=filled.overall, feature_rows=filled.rows, enhanced=enhanced / base if base else 0.0,
        fresh=freshness.observe(warehouse, now),
        agreement=sources.agreement(scope), agreeing=_agreeing(scope), held=sources.nothing_held(scope),
        calls=_calls(scope), budget=_budget(scope), articles=_articles(scope),
        level=service_level.service_level(observed(warehouse, now), now), history=history_report.by_day(warehouse, now),
        incidents=incidents, notes=notes, not_readable=warehouse.not_readable,
    )  # fmt: skip


def by_month(
    warehouse: LenientWarehouse, settings: Settings, stored: dict[str, dict[date, int]], now: datetime
) -> pl.DataFrame:
    """Compute the share of each month's due days that have rows, from the first stored day of any table on.

    Args:
        warehouse: the tables.
        settings: the start of the calendar.
        stored: table -> day -> rows.
        now: the instant, UTC.

    Returns:
        asset, month (its first day), share; null where no day is due.
    """
    rows: list[tuple[str, date, float | None]] = []
    yesterday = now.date() - DAY
    earliest = min((min(found) for found in stored.values() if found), default=now.date())
    months = _months(earliest, now.date())
    for table, found in stored.items():
        due = _state(warehouse, settings, table, earliest, yesterday, now).due
        for month in months:
            last = month.replace(day=monthrange(month.year, month.month)[1])
            mine = [day for day in due if month <= day <= last]
            rows.append((table, month, sum(day in found for day in mine) / len(mine) if mine else None))
    order = {table: n for n, table in enumerate(stored)}
    rows.sort(key=lambda row: (row[1], order[row[0]]))
    return pl.DataFrame(rows, schema={"asset": pl.String, "month": pl.Date, "share": pl.Float64}, orient="row")


def _months(first: date, last: date) -> list[date]:
    found, month = [], first.replace(day=1)
    while month <= last:
        found.append(month)
        month = (month + timedelta(days=31)).replace(day=1)
    return found


def _state(
    warehouse: LenientWarehouse,
    settings: Settings,
    table: str,
    start: date,
    end: date,
    now: datetime,
    instance: DagsterInstance | None = None,
) -> state.TableState:
    """Return the days of a table. If it cannot be read, every closed day is due, because its first row is unknown."""
    found = state.state_of(warehouse, settings, table, start, end, now, instance)
    return replace(found, due=found.closed, with_rows=[]) if table in warehouse.not_readable else found


def _agreeing(scope: Scope) -> pl.DataFrame:
    both = sources.compared(scope)
    return both.group_by("date").agg(share=(pl.col("off") <= sources.AGREEMENT).mean()).sort("date")


def _calls(scope: Scope) -> pl.DataFrame:
    usage = scope.warehouse.read("api_usage", start=scope.start, end=scope.end)
    return usage.group_by("date", "provider").agg(pl.col("calls", "errors").sum()).sort("date", "provider")


def _budget(scope: Scope) -> Outcome | None:
    try:
        return calls.budget_projection(scope)
    except InstanceError:
        return None


def _articles(scope: Scope) -> pl.DataFrame:
    """Count articles by day and by who judged them: the model, the lexicon alone, or nobody."""
    key = ["article_id", "analyzer", "date", "status"]
    rows = scope.warehouse.read("article_narratives", start=scope.start, end=scope.end, columns=key)
    known = scope.warehouse.read("news_articles", start=scope.start, end=scope.end, columns=["article_id", "date"])
    good = rows.filter(pl.col("status") == "ok").with_columns(
        rank=pl.when(pl.col("analyzer").str.starts_with("lexicon")).then(1).otherwise(2)
    )
    best = good.group_by("article_id").agg(pl.col("rank").max())
    outcome = pl.col("rank").replace_strict({2: "model", 1: "lexicon"}, default="nobody", return_dtype=pl.String)
    return (
        known.unique("article_id").join(best, on="article_id", how="left")
        .group_by("date", outcome.alias("outcome")).agg(articles=pl.len()).sort("date", "outcome")
    )  # fmt: skip


def _incidents(settings: Settings) -> tuple[list[Incident] | None, list[str]]:
    if settings.postgres_url is None:
        return None, ["incidents are not shown: Dagster's Postgres was not named"]
    try:
        return Ledger(settings.postgres_url.get_secret_value()).open(), []
    except InstanceError:
        return None, ["incidents are not shown: Dagster's Postgres does not answer"]


def figures(found: Quality) -> dict[str, Any]:
    """Return the numbers of the report under fixed names, so that the UI plots them over time."""
    numbers: dict[str, Any] = {
        "tables_fresh": sum(seen.fresh is True for seen in found.fresh),
        "tables": sum(seen.fresh is not None for seen in found.fresh),
        "tables_not_readable": len(found.not_readable),
        "population": round(found.populated, 5),
        "enhanced_over_base": round(found.enhanced, 5),
        "feature_rows_30d": found.feature_rows,
        "api_calls_30d": int(found.calls["calls"].sum()),
        "api_errors_30d": int(found.calls["errors"].sum()),
        "quarantined": found.held.numbers["held"],
        "articles_30d": int(found.articles["articles"].sum()),
        "articles_by_model_30d": int(found.articles.filter(pl.col("outcome") == "model")["articles"].sum()),
    }
    numbers |= {f"population/{name}": round(share, 5) for name, share in found.groups.items()}
    numbers |= {f"coverage_30d/{name}": round(share, 5) for name, share in found.covered.items() if share is not None}
    if found.mean_covered is not None:
        numbers["coverage_30d"] = round(found.mean_covered, 5)
    if found.failed is not None:
        numbers["partitions_failed"] = sum(len(days) for days in found.failed.values())
    if "share_agreeing" in found.agreement.numbers:
        numbers["sources_agreeing"] = round(found.agreement.numbers["share_agreeing"], 5)
    if found.budget is not None and "projected_share" in found.budget.numbers:
        numbers["budget_projected"] = round(found.budget.numbers["projected_share"], 5)
    if found.incidents is not None:
        numbers["open_incidents"] = len(found.incidents)
    whole = history_report.newest(found.history).get(history_report.ALL, {})
    for name, share in (("history_partitions", "share_with_rows"), ("history_rows", "share_rows")):
        if whole.get(share) is not None:
            numbers[name] = round(whole[share], 5)
    for row in found.level.filter(pl.col("asset") == service_level.ALL).iter_rows(named=True):
        numbers[f"slo_{row['window']}"] = round(row["share_fresh"], 5)
    unknown = {name for name, tables in COUNTED_IN.items() if set(tables) & set(found.not_readable)}
    return {name: value for name, value in numbers.items() if name not in unknown}
