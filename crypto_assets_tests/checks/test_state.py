"""One definition of how a table stands: every reader of it says the same of tables in every state we could think of.

The states are made for real: rows in Delta tables, partitions that failed on a real Dagster instance. What they are to
say is counted here from the description of each state, day by day, and not with the code that is tested.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster import DagsterInstance

from crypto_assets.assets.providers import Providers
from crypto_assets.assets.shell import DAILY
from crypto_assets.automation.schedules import FRESHNESS
from crypto_assets.catalog.business_days import is_business_day
from crypto_assets.checks import state
from crypto_assets.checks.measures import ROW_RULES, rule_of
from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.shells import RANGE, every_measure, scope_of
from crypto_assets.dates import DAY, today
from crypto_assets.errors import WarehouseError
from crypto_assets.monitoring import history_report, slo
from crypto_assets.monitoring.metrics import ServiceCollector
from crypto_assets.monitoring.page import render
from crypto_assets.monitoring.quality import figures, gather
from crypto_assets.monitoring.watch.late_tables import late_tables
from crypto_assets.operate.status import status
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Column
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets.tables.spec import TableSpec

NOW = datetime(2024, 5, 10, 12, 20, tzinfo=timezone.utc)
TODAY = date(2024, 5, 10)
START = TODAY - timedelta(days=45)
MINUTE = timedelta(minutes=1)
KRAKEN_SHOWS = timedelta(hours=720)
MONTH_SHOWN = {"kraken_ohlc", "funding_rates", "open_interest", "perpetual_bars", "implied_volatility"}
AFTER_BUSINESS_DAYS = {"macro_series"}
OWN_PAST_ONLY = {
    "derivatives", "social_metrics", "developer_activity", "defi_protocols", "defi_yields", "social_posts", "api_usage",
}  # fmt: skip


def last(count: int, before: date = TODAY) -> list[date]:
    """That many days before a day, oldest first."""
    return [before - timedelta(days=n) for n in range(count, 0, -1)]


def end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), timezone.utc)


@dataclass(frozen=True)
class Made:
    """A state of a table: its rows as (day, when known), their source, and the days whose newest run failed."""

    rows: list[tuple[date, datetime]] = field(default_factory=list)
    source: str = "test"
    failed: list[date] = field(default_factory=list)
    healed: list[date] = field(default_factory=list)  # failed, and materialised since


def closed_rows(found: list[date]) -> list[tuple[date, datetime]]:
    return [(day, end_of(day)) for day in found]


def fresh_rows(found: list[date], age: timedelta) -> list[tuple[date, datetime]]:
    return [*closed_rows(found), (TODAY, NOW - age)]


def states_for(limit: timedelta) -> dict[str, Made]:
    """Every kind of state, for a table with this freshness limit."""
    week = last(7)
    return {
        "empty": Made(),
        "all failed": Made(failed=last(45)),
        "failed, one day with rows": Made(closed_rows(week[-1:]), failed=week[:-1]),
        "failed today": Made(fresh_rows(week, MINUTE), failed=[TODAY]),
        "failed and mended": Made(fresh_rows(week, MINUTE), healed=week[:3]),
        "whole": Made(fresh_rows(last(45), MINUTE)),
        "a gap": Made(fresh_rows([*last(45)[:20], *last(45)[23:]], MINUTE)),
        "only the day in progress": Made([(TODAY, NOW - MINUTE)]),
        "one old row": Made(closed_rows([date(2021, 3, 1)])),
        "old rows, many": Made(closed_rows(last(60, date(2023, 6, 1)))),
        "one row of 2036": Made([(date(2036, 1, 1), datetime(2036, 1, 1, 1, tzinfo=timezone.utc))]),
        "a row of 2036 above late ones": Made([*closed_rows(last(9)[:2]), (date(2036, 1, 1), end_of(date(2036, 1, 1)))]),
        "today's row known in 2036": Made([*closed_rows(last(9)[:2]), (TODAY, end_of(date(2036, 1, 1)))]),
        "at the limit": Made(fresh_rows(week, limit)) if limit < timedelta(hours=12) else Made(fresh_rows(week, MINUTE)),
        "a minute above": Made([(NOW.date() - (limit + MINUTE + timedelta(days=1)) // DAY * DAY, NOW - limit - MINUTE)]),
        "a minute below": Made([(NOW.date() - (limit + timedelta(days=1)) // DAY * DAY, NOW - limit + MINUTE)]),
        "stopped five days ago": Made(closed_rows(last(20)[:15])),
        "stopped 41 days ago": Made(closed_rows(last(45)[:3])),
        "recorded": Made(closed_rows(last(9)[:3]), source="sandbox-replay/x"),
        "a demonstration of long ago": Made(closed_rows(last(5, date(2023, 6, 1))), source="sandbox/x"),
        "begun yesterday": Made(closed_rows(week[-1:])),
        "the first half of the range": Made(closed_rows(last(45)[:20])),
    }  # fmt: skip


def cell(column: Column) -> Any:
    """A value that the contract takes."""
    if column.nullable:
        return None
    if column.allowed:
        return "failed" if "failed" in column.allowed else next(iter(column.allowed))  # no row of a model that serves
    if column.name == "config":  # of a model
        return '{"horizon_hours": 24}'
    if column.dtype == pl.String:
        return "BTC"
    if column.dtype == pl.Boolean:
        return False
    if isinstance(column.dtype, pl.List):
        return []
    return max(1, column.lower or 1)


def write(warehouse: Warehouse, table: str, made: Made) -> None:
    contract = CONTRACTS[table]
    rows = [
        {
            **{column.name: cell(column) for column in contract.columns},
            **({"ts": datetime.combine(day, time(), timezone.utc)} if "ts" in contract.by_name else {}),
            **(
                {"published_at": datetime.combine(day, time(), timezone.utc)}
                if "published_at" in contract.by_name
                else {}
            ),
            # What makes the row of a day another than that of the day before, in tables without ts.
            **{name: f"{day}" for name in ("article_id", "post_id", "event_id", "series") if name in contract.key},
            "date": day,
            "available_at": at,
            "source": made.source,
        }
        for day, at in made.rows
    ]
    if rows:
        frame = pl.DataFrame(rows, schema={name: contract.polars_schema[name] for name in contract.names})
        warehouse.write(contract, frame, [day for day, _ in made.rows])


def fail(instance: DagsterInstance, table: str, found: list[date]) -> None:
    """Runs of these days that end as failures."""

    @dg.asset(name=table, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def hollow() -> None: ...

    job = dg.Definitions(assets=[hollow]).resolve_implicit_global_asset_job_def()
    spans: list[list[date]] = []
    for day in sorted(found):
        if spans and day - spans[-1][-1] == DAY:
            spans[-1].append(day)
        else:
            spans.append([day])
    for span in spans:
        tags = {RANGE[0]: span[0].isoformat(), RANGE[1]: span[-1].isoformat()}
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
        instance.report_run_failed(run, "for the test")


def due_by_hand(table: str, made: Made, start: date, end: date) -> list[date]:
    """Days due, one after the other."""
    found, day = [], start
    stored = sorted(d for d, _ in made.rows if d <= TODAY)
    while day <= end:
        over = end_of(day) <= NOW
        begun = bool(stored) and day >= stored[0]
        shown = table in MONTH_SHOWN and NOW - datetime.combine(day, time(), timezone.utc) <= KRAKEN_SHOWS
        owed = table not in AFTER_BUSINESS_DAYS or is_business_day(day - timedelta(days=1))
        if over and owed and (table not in OWN_PAST_ONLY | MONTH_SHOWN or begun or shown):
            found.append(day)
        day += timedelta(days=1)
    return found


def fresh_by_hand(made: Made, limit: timedelta) -> bool | None:
    ages = sorted(NOW - at for day, at in made.rows if at <= NOW)
    if not ages:
        return False
    if made.source.startswith("sandbox-replay") or (made.source.startswith("sandbox") and ages[0].days > 40):
        return None
    return ages[0] <= limit


WORLDS = 3  # each table is in another state in each of them


def world(number: int) -> dict[str, tuple[str, Made]]:
    chosen = {}
    like_others = {table: limit for table, limit in FRESHNESS.items() if table not in state.FROM_FIRST_ROW}
    for place, (table, limit) in enumerate(like_others.items()):
        kinds = states_for(limit.late_after)
        name = list(kinds)[(place + 7 * number) % len(kinds)]
        chosen[table] = (name, kinds[name])
    return chosen


def test_the_worlds_hold_more_than_thirty_states() -> None:
    every = {(name, table) for number in range(WORLDS) for table, (name, _) in world(number).items()}
    assert len(every) >= 30
    assert {name for name, _ in every} == set(states_for(timedelta(hours=1)))


@pytest.mark.parametrize("number", range(WORLDS))
def test_every_reader_says_the_same_of_a_table(
    number: int, instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "CRYPTO_ASSETS_HOME": str(tmp_path), "CRYPTO_ASSETS_COINS": "BTC", "CRYPTO_ASSETS_START": START.isoformat(),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    settings = Settings.from_env()
    warehouse = Warehouse(settings.warehouse)
    made = world(number)
    for table, (_, one) in made.items():
        write(warehouse, table, one)
        if one.failed or one.healed:
            fail(instance, table, [*one.failed, *one.healed])
        for day in one.healed:
            instance.report_runless_asset_event(dg.AssetMaterialization(table, partition=day.isoformat()))

    monkeypatch.setattr(Providers, "now", lambda self: NOW)
    looked = dg.materialize(
        [*slo.ASSETS, *history_report.ASSETS], instance=instance, resources={"providers": Providers()}
    )
    assert looked.success
    yesterday = TODAY - DAY
    said = status(instance, settings, START, yesterday, now=NOW)["assets"]
    past = status(instance, settings, START, TODAY - DAY * 10, now=NOW)["assets"]
    report = gather(settings, NOW, instance)
    recent = status(instance, settings, report.start, report.end, now=NOW)["assets"]
    observed = warehouse.read("freshness_observations")
    observed_fresh = dict(observed.select("asset", "fresh").rows())
    level = {
        row["asset"]: row["share_fresh"]
        for row in warehouse.read("slo_report").filter(pl.col("window") == "24h").iter_rows(named=True)
    }
    gauges: dict[str, dict[tuple[str, ...], float]] = {
        metric.name: {tuple(sample.labels.values()): sample.value for sample in metric.samples}
        for metric in ServiceCollector(settings, lambda: NOW).collect()
    }
    noted = history_report.newest(warehouse.read("history_report"))
    alerts = {sighting.subject: sighting.trouble for sighting in late_tables(warehouse, NOW)}
    seen = {one.table: one for one in report.fresh}
    live = Scope(warehouse, settings, yesterday, yesterday, NOW, live=True, instance=instance)
    page = render(report)
    coverages = []

    for table, (name, one) in made.items():
        where = f"{table}, {name}"
        limit = FRESHNESS[table].late_after
        due = due_by_hand(table, one, START, yesterday)
        having = {day for day, _ in one.rows}
        covered = len([day for day in due if day in having]) / len(due) if due else None
        fresh = fresh_by_hand(one, limit)
        ages = [NOW - at for _, at in one.rows if at <= NOW]
        kept = bool(ages) and min(ages) <= timedelta(days=40)
        # Days
        assert said[table]["coverage"] == covered, where
        assert noted[table]["share_with_rows"] == covered, where
        assert gauges["crypto_assets_history_share"].get((table, "with_rows")) == covered, where
        assert said[table]["rows"] == len([day for day in having if START <= day <= yesterday]), where
        wanted = due_by_hand(table, one, report.start, min(report.end, yesterday))
        share = len([day for day in wanted if day in having]) / len(wanted) if wanted else None
        assert recent[table]["coverage"] == report.covered[table] == share, where
        assert ("coverage_30d/" + table in figures(report)) == (share is not None), where
        coverages += [share] if share is not None else []
        # Failed partitions
        failed = sorted(one.failed)
        assert said[table]["partitions"]["failed"] == len([day for day in failed if day <= yesterday]), where
        assert (report.failed or {}).get(table, []) == failed, where
        shown = said[table]["checks"]["no_failed_partitions"]
        assert shown["passed"] == (not [day for day in failed if day <= yesterday]), where
        now_failed = every_measure()[table]["no_failed_partitions"](live)
        assert (now_failed.passed, now_failed.numbers["partitions_failed"]) == (not failed, len(failed)), where
        assert (f"<b>{table}</b>: {len(failed)} day(s)" in page) == bool(failed), where
        # Words
        word = said[table]["state"]
        assert (word == "failed") == bool([day for day in failed if day <= yesterday]), where
        if not failed or word != "failed":
            if covered is None:
                assert word == (
                    "not shown" if table in (OWN_PAST_ONLY | MONTH_SHOWN) - set(state.RECORDS) else "none due"
                ), where
            else:
                assert word == ("empty" if covered == 0 else "whole" if covered == 1 else "gaps"), where
        if covered == 0 and table in ROW_RULES:
            assert not said[table]["checks"]["rows_expected"]["passed"], where
        green = all(check["passed"] for check in said[table]["checks"].values())
        assert not (green and covered is not None and covered < 0.98 and table not in state.RECORDS), where
        assert not (green and failed and word == "failed"), where
        # Freshness
        assert said[table]["fresh"] is fresh, where
        assert past[table]["fresh"] is None, where
        assert seen[table].fresh is fresh, where
        assert observed_fresh.get(table) is fresh, where
        assert gauges["crypto_assets_table_fresh"].get((table,)) == (None if fresh is None else float(fresh)), where
        newest = gauges["crypto_assets_table_newest_available_timestamp_seconds"].get((table,))
        assert newest == ((NOW - min(ages)).timestamp() if ages else None), where
        assert level.get(table) == (float(bool(fresh)) if kept and fresh is not None else None), where
        check = every_measure()[table].get("fresh")
        if check is not None:
            outcome = check(live)
            assert outcome.passed is (fresh is not False), where
            assert (outcome.severity == "ERROR" and not outcome.passed) == (fresh is False and kept), where
        assert (alerts.get(table) is not None) == (fresh is False and kept), where
        if ages and fresh is False and not kept:
            assert seen[table].status == "not kept up", where
        assert (seen[table].status == "no rows") == (not ages), where
        # The heat map shows every month of the calendar that has rows of closed days
        months = {day.replace(day=1) for day in having if START <= day < TODAY}
        drawn = {m for a, m, s in report.by_month.rows() if a == table and s}
        assert months == drawn, where
    numbers = figures(report)
    assert numbers["coverage_30d"] == pytest.approx(sum(coverages) / len(coverages), abs=1e-5)
    assert numbers["tables_fresh"] == sum(observed_fresh.values())
    assert numbers["partitions_failed"] == sum(len(one.failed) for _, one in made.values())


def test_a_table_without_a_rule_of_its_own_is_an_error() -> None:
    """Not the row rule of ml_features, as before. That a spec without ``expected`` is one: tables/test_registry.py."""

    class Unheard:
        """A kind of expectation that no function counts."""

    fields = {name: getattr(TABLES["prices"], name) for name in TABLES["prices"].__dataclass_fields__}
    with pytest.raises(TypeError, match=r"prices: .* no function for Unheard"):
        rule_of(TableSpec(**{**fields, "expected": Unheard()}))
    assert set(ROW_RULES) | set(state.RECORDS) == set(CONTRACTS)
    assert set(state.HISTORY) == set(FRESHNESS)


@pytest.mark.parametrize("filled", [False, True])
def test_the_first_day_is_today(
    filled: bool, instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is due yet: no check breaks, none of the readers divides by nothing, and nobody says 100 %."""
    for name, value in {
        "CRYPTO_ASSETS_HOME": str(tmp_path), "CRYPTO_ASSETS_COINS": "BTC", "CRYPTO_ASSETS_START": today().isoformat(),
        "DAGSTER_POSTGRES_URL": "",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    settings, now = Settings.from_env(), datetime.now(timezone.utc)
    if filled:
        for table in FRESHNESS:
            write(Warehouse(settings.warehouse), table, Made([(now.date(), now - MINUTE)]))
    scope = scope_of({}, settings)
    assert scope.start > scope.end
    for table, named in every_measure().items():
        for name, measure in named.items():
            if name != "budget_projection":  # it asks the provider's book of calls
                assert measure(scope).description, f"{table}.{name}"
    found = status(instance, settings, settings.start, max(settings.start, now.date() - DAY))["assets"]
    assert {one["coverage"] for one in found.values()} == {None}
    assert {one["state"] for one in found.values()} == {"none due"}
    report = gather(settings, now, instance)
    assert report.mean_covered is None
    assert "none due" in render(report)
    look: Callable[..., Any] = history_report.count_history
    assert set(look(instance, settings, now)[0]["share_with_rows"]) <= {None}


def test_freshness_is_remembered_only_while_the_files_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, reads = Warehouse(str(tmp_path / "warehouse")), []
    table, yesterday = "prices", TODAY - DAY

    def newest(now: datetime = NOW) -> datetime | None:
        return state.freshness_of(warehouse, table, now).newest

    read = Warehouse.read
    monkeypatch.setattr(Warehouse, "read", lambda *a, **k: reads.append(a) or read(*a, **k))
    write(warehouse, table, Made([(yesterday, NOW - timedelta(hours=2))]))
    assert newest() == newest(NOW + MINUTE) == NOW - timedelta(hours=2)
    assert len(reads) == 1
    assert newest(NOW - timedelta(hours=3)) is None  # an earlier instant is asked anew
    write(warehouse, table, Made([(TODAY, NOW + MINUTE * 5)]))
    assert newest() == NOW - timedelta(hours=2)  # a row that becomes known later is not remembered as all there is
    assert newest(NOW + MINUTE * 6) == NOW + MINUTE * 5

    (replaced := tmp_path / "replaced").mkdir()
    other = Warehouse(str(replaced))
    for _ in range(2):  # as many commits as the table has
        write(other, table, Made([(TODAY, NOW - MINUTE)]))
        write(other, table, Made([(TODAY, NOW - MINUTE * 2)]))
    shutil.rmtree(tmp_path / "warehouse" / table)
    shutil.copytree(replaced / table, tmp_path / "warehouse" / table)
    assert newest(NOW + MINUTE * 7) == NOW - MINUTE * 2

    for path in (tmp_path / "warehouse" / table).glob("date=*/*.parquet"):
        path.unlink()
    with pytest.raises(WarehouseError):
        newest(NOW + MINUTE * 8)
