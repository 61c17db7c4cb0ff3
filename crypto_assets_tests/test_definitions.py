"""The graph as Dagster has it: every table an asset with what a reader of the UI needs, schedules that say their day."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.schedule_definition import ScheduleExecutionData
from dagster._core.storage.tags import SCHEDULED_EXECUTION_TIME_TAG
from dagster._core.test_utils import create_run_for_test

from crypto_assets.assets.documented import page
from crypto_assets.automation.schedules import UNPARTITIONED as OBSERVATIONS
from crypto_assets.definitions import build_defs, defs
from crypto_assets.demo_home import DemoHome
from crypto_assets.operate import graph
from crypto_assets.tables.registry import LOOK_BACK, TABLES
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets.tables.spec import Cadence
from crypto_assets_tests.forgotten import nothing_forgotten

SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
GROUPS = {"prices", "onchain", "context", "derivatives", "network", "macro", "news", "ml", "models", "operations"}
RECORDS = {
    "api_usage",
    "quarantine",
    "set_aside",
    "freshness_observations",
    "slo_report",
    "history_report",
    "model_trials",
}  # the platform's own: no rows are expected of them

PAGES = {"data_quality_report", "model_report", "ml_features_latest", "signals_latest"}  # no tables
WRITTEN_ALONGSIDE = {"quarantine", "set_aside", "model_trials"}  # rows get there while other tables are materialised
UNPARTITIONED = {*WRITTEN_ALONGSIDE, *OBSERVATIONS}  # an observation of the present cannot be backfilled


# A table of which there are checks only is in Dagster's graph too, as an asset that nothing fills.
FILLED = {key.to_user_string() for asset in defs.assets or () for key in getattr(asset, "keys", ())}


def test_every_contract_is_an_asset_and_every_asset_has_a_contract() -> None:
    nothing_forgotten(
        f"{table}: no asset fills it; name its transform in its TableSpec, or add an asset to ASSETS of a file in "
        "crypto_assets/assets/"
        for table in CONTRACTS.keys() - FILLED - WRITTEN_ALONGSIDE
    )
    nothing_forgotten(
        f"{asset}: an asset without a table; add a TableSpec to a file in crypto_assets/tables/"
        for asset in SPECS.keys() - CONTRACTS.keys() - PAGES
    )


@pytest.mark.parametrize("table", CONTRACTS)
def test_an_asset_tells_what_it_is(table: str) -> None:
    spec = SPECS[table]
    assert spec.group_name in GROUPS
    assert spec.owners
    assert spec.kinds
    assert spec.tags["layer"]
    assert spec.description
    if table not in WRITTEN_ALONGSIDE:
        assert spec.freshness_policy is not None
        assert CONTRACTS[table].grain in spec.description
    if table not in UNPARTITIONED:
        monthly = TABLES[table].cadence is Cadence.MONTH
        assert isinstance(
            spec.partitions_def, dg.MonthlyPartitionsDefinition if monthly else dg.DailyPartitionsDefinition
        )
    columns = {column.name for column in spec.metadata["dagster/column_schema"].columns}
    assert columns == {column.name for column in CONTRACTS[table].columns}


def test_one_calendar_for_the_whole_graph_and_one_for_trainings() -> None:
    calendars = {
        (TABLES[table].cadence, spec.partitions_def)
        for table, spec in SPECS.items()
        if table in TABLES and table not in UNPARTITIONED
    }
    assert len(calendars) == len(Cadence)


def test_every_table_has_its_checks() -> None:
    graph_of = defs.resolve_asset_graph()
    for table in CONTRACTS:
        names = {key.name for key in graph_of.asset_check_keys if key.asset_key == dg.AssetKey(table)}
        expected = {"contract"} if table in RECORDS else {"contract", "rows_expected", "fresh_partitions"}
        assert expected <= names, table


def test_lineage_is_what_the_data_do() -> None:
    parents = {
        table: {dep.asset_key.to_user_string() for dep in spec.deps if dep.asset_key.to_user_string() in CONTRACTS}
        for table, spec in SPECS.items()
    }
    for derived, inputs in LOOK_BACK.items():
        assert set(inputs) <= parents[derived] | set(parents[derived]), derived
    assert parents["prices"] == set()


def test_overrides_replace_resources() -> None:
    other = build_defs({"io_manager": dg.mem_io_manager})
    assert other.resources is not None
    assert other.resources["io_manager"] is dg.mem_io_manager


@pytest.mark.parametrize(
    ("schedule", "now", "day"),
    [
        ("every_15_minutes", datetime(2024, 5, 4, 10, 15, tzinfo=timezone.utc), "2024-05-04"),
        ("every_15_minutes", datetime(2024, 5, 4, 0, 0, tzinfo=timezone.utc), "2024-05-04"),
        ("close_yesterday", datetime(2024, 5, 4, 0, 10, tzinfo=timezone.utc), "2024-05-03"),
        ("settle_yesterday", datetime(2024, 5, 4, 9, 0, tzinfo=timezone.utc), "2024-05-03"),
    ],
)
def test_a_tick_asks_for_its_day(schedule: str, now: datetime, day: str, instance: dg.DagsterInstance) -> None:
    data = tick(schedule, now, instance)
    assert data.run_requests is not None
    assert [request.tags.get("dagster/partition") for request in data.run_requests] == [day]


def tick(schedule: str, now: datetime, instance: dg.DagsterInstance) -> ScheduleExecutionData:
    repository = defs.get_repository_def()
    with dg.build_schedule_context(instance, scheduled_execution_time=now, repository_def=repository) as context:
        return defs.resolve_schedule_def(schedule).evaluate_tick(context)


@pytest.mark.parametrize(
    ("schedule", "job"),
    [("every_15_minutes", "intraday"), ("close_yesterday", "close_day"), ("settle_yesterday", "settle")],
)
def test_ticks_do_not_pile_up(schedule: str, job: str, instance: dg.DagsterInstance) -> None:
    """While the former tick waits or runs, there is none; once it has ended, however it did, there is one again."""
    now = datetime(2024, 5, 4, 10, 15, tzinfo=timezone.utc)
    run = create_run_for_test(instance, job_name=job, status=dg.DagsterRunStatus.STARTED)
    assert not tick(schedule, now, instance).run_requests
    assert run.run_id in (tick(schedule, now, instance).skip_message or "")
    instance.report_run_failed(run)
    assert len(tick(schedule, now, instance).run_requests or []) == 1


def test_a_tick_does_not_wait_for_its_own_run(instance: dg.DagsterInstance) -> None:
    """Evaluated again after the daemon was killed, it asks again, and Dagster hands over the run that is there."""
    now = datetime(2024, 5, 4, 10, 17, tzinfo=timezone.utc)
    made = {SCHEDULED_EXECUTION_TIME_TAG: now.isoformat()}
    create_run_for_test(instance, job_name="intraday", status=dg.DagsterRunStatus.NOT_STARTED, tags=made)
    assert len(tick("every_15_minutes", now, instance).run_requests or []) == 1
    assert not tick("every_15_minutes", now + timedelta(minutes=15), instance).run_requests


def test_no_tick_asks_for_a_day_after_a_demos_recordings(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DemoHome(None, tmp_path, "BTC", date(2024, 5, 1), date(2024, 5, 3)).write(tmp_path)
    monkeypatch.setenv("CRYPTO_ASSETS_HOME", str(tmp_path))
    after, within = (datetime(2024, 5, day, 10, 17, tzinfo=timezone.utc) for day in (4, 3))
    assert "end on 2024-05-03" in (tick("every_15_minutes", after, instance).skip_message or "")
    assert len(tick("every_15_minutes", within, instance).run_requests or []) == 1


def test_the_checks_across_sources_are_there() -> None:
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().asset_check_keys}
    assert {
        "prices:agreement",
        "prices:coins_kept",
        "ohlc:coins_kept",
        "kraken_ohlc:coins_kept",
        "quarantine:nothing_held",
        "api_usage:premium_share",
        "api_usage:budget_projection",
    } <= keys


def test_tables_of_a_step() -> None:
    assert graph.tables_of_step("prices") == ("prices",)
    assert set(graph.tables_of_step("community")) == {"social_metrics", "developer_activity"}
    assert set(graph.tables()).isdisjoint(UNPARTITIONED), "no backfill fills them"


def test_everything_in_the_ui_says_what_it_is_whose_and_where_to_read_on() -> None:
    """Assets, checks, jobs, schedules and sensors, for who knows Dagster and not us."""
    found = build_defs()
    graph, repository = found.resolve_asset_graph(), found.get_repository_def()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description and node.owners and node.kinds and node.group_name, key
        assert "docs" in node.metadata, key
    for check in graph.asset_check_keys:
        assert graph.get(check).description and "docs" in graph.get(check).metadata, check
    jobs: list[Any] = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    for one in [*jobs, *repository.schedule_defs, *repository.sensor_defs]:
        assert one.description and "docs" in one.metadata, one.name
        assert one.owners or one.name == "derive_without_what_failed", one.name  # Dagster takes no owner of its kind


@pytest.mark.parametrize(
    ("base", "kind"), [("docs", dg.PathMetadataValue), ("https://docs.example/main/", dg.UrlMetadataValue)]
)
def test_the_documentation_is_a_path_or_an_address(
    base: str, kind: type[dg.MetadataValue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_ASSETS_DOCS", base)
    link = page("operations.md")
    assert isinstance(link, kind) and str(link.value) == f"{base.rstrip('/')}/operations.md"


def test_every_page_that_is_linked_is_there() -> None:
    docs = Path(__file__).parent.parent / "docs"
    graph, repository = build_defs().resolve_asset_graph(), build_defs().get_repository_def()
    linked: list[Any] = [
        graph.get(key).metadata.get("docs") for key in [*graph.get_all_asset_keys(), *graph.asset_check_keys]
    ]
    others: list[Any] = [*repository.get_all_jobs(), *repository.schedule_defs, *repository.sensor_defs]
    linked += [one.metadata.get("docs") for one in others]
    for name, anchor in {str(one.value).removeprefix("docs/").partition("#")[::2] for one in linked if one is not None}:
        text = (docs / name).read_text(encoding="utf-8")
        assert not anchor or f"## {anchor}" in text or f"## `{anchor}`" in text, (name, anchor)


def test_descriptions_are_written_for_the_ui_and_not_for_readers_of_the_code() -> None:
    """The lists of the UI show the first line as it is, without its markup."""
    repository = defs.get_repository_def()
    shown = {f"asset {name}": spec.description for name, spec in SPECS.items()}
    graph_of = defs.resolve_asset_graph()
    shown |= {f"check {key.to_user_string()}": graph_of.get(key).description for key in graph_of.asset_check_keys}
    shown |= {f"schedule {one.name}": one.description for one in repository.schedule_defs}
    shown |= {f"sensor {one.name}": one.description for one in repository.sensor_defs}
    shown |= {f"job {one.name}": one.description for one in repository.get_all_jobs() if not one.name.startswith("__")}
    for what, text in shown.items():
        assert text and text.strip() == text, what
        assert "`" not in text.splitlines()[0], f"{what}: {text.splitlines()[0]}"
        assert ".py" not in text, f"{what} names a file of the code: {text}"
