"""Pruning frees what nothing rests on: what the UI, ``status`` and the planner say is the same before and after."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.tags import BACKFILL_ID_TAG
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster_graphql.test.utils import execute_dagster_graphql

from crypto_assets.automation import prune as module
from crypto_assets.automation.prune import Pruned, prune
from crypto_assets.automation.staleness import newest_metadata
from crypto_assets.automation.tidy import tidy_up
from crypto_assets.checks import health
from crypto_assets.errors import InstanceError
from crypto_assets.operate.status import status
from crypto_assets.settings import Settings
from crypto_assets_tests import scenario
from crypto_assets_tests.dagster_internals.test_known_states import plan
from crypto_assets_tests.platform import Platform

CALENDAR = dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-01-08")
KEYS = CALENDAR.get_partition_keys()
ALL = datetime.now(timezone.utc) + timedelta(days=2)  # everything that a test makes is older
SHOWN = """query {
  assetNodes(loadMaterializations: true) {
    assetKey { path }
    assetPartitionStatuses { __typename ... on TimePartitionStatuses { ranges { startKey endKey status } } }
    partitionStats { numMaterialized numFailed numMaterializing numPartitions }
    latestMaterializationByPartition { runId timestamp partition metadataEntries { __typename label
      ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue } ... on JsonMetadataEntry { jsonString } } }
    assetChecksOrError { ... on AssetChecks { checks { name
      partitionStatuses { __typename ... on AssetCheckTimePartitionStatuses { ranges { startKey endKey status } } }
      executionForLatestMaterialization { runId status partition evaluation { description severity success } } } } }
  }
  assetsOrError { ... on AssetConnection { nodes { key { path }
    assetHealth { assetHealth materializationStatus assetChecksStatus freshnessStatus } } } } }"""
RUN = """query($id: ID!) {
  runOrError(runId: $id) { __typename ... on Run { status jobName tags { key value }
    stepStats { stepKey status materializations { partition } } executionPlan { steps { key } } } }
  logsForRun(runId: $id) { ... on EventConnection { events { __typename ... on MessageEvent { message timestamp } } } } }"""


def run_of(instance: DagsterInstance, first: str, last: str, *, fails: bool = False, **tags: str) -> str:
    """A run over some days; returns its id."""

    @dg.asset(partitions_def=CALENDAR, backfill_policy=dg.BackfillPolicy.single_run())
    def prices(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        if fails:
            raise RuntimeError("refused")
        return dg.MaterializeResult(metadata={"run": context.run_id}, data_version=dg.DataVersion(context.run_id))

    tags |= {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return dg.materialize([prices], instance=instance, tags=tags, raise_on_error=False).run_id


def coverage(instance: DagsterInstance) -> dict[str, str | None]:
    """The states of the days, from the events alone."""
    instance.wipe_asset_cached_status([AssetKey("prices")])
    found = instance.get_status_by_partition(AssetKey("prices"), KEYS, CALENDAR) or {}
    return {key: status.value if status else None for key, status in found.items()}


def freed(instance: DagsterInstance, before: datetime = ALL, **options: Any) -> Pruned:
    found = prune(instance, before, **options)
    assert found is not None
    return found


def rows(instance: DagsterInstance, table: str, column: str = "id") -> list[Any]:
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        return [value for (value,) in connection.exec_driver_sql(f"SELECT {column} FROM {table} ORDER BY id").all()]


@contextmanager
def ui(instance: DagsterInstance) -> Iterator[Any]:
    """The webserver's own resolvers over the real graph, without a socket."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="crypto_assets.definitions")
    origin = InProcessCodeLocationOrigin(loadable_target_origin=target, location_name="crypto_assets.definitions")
    with WorkspaceProcessContext(instance, InProcessTestWorkspaceLoadTarget(origin)) as workspace:
        yield lambda query, **variables: _asked(workspace, query, variables)


def _asked(workspace: WorkspaceProcessContext, query: str, variables: dict[str, Any]) -> Any:
    answer = execute_dagster_graphql(workspace.create_request_context(), query, variables=variables)
    assert not answer.errors, answer.errors
    return answer.data


def test_what_is_shown_is_the_same_before_and_after(filled: Platform) -> None:
    """The whole graph, days made several times, a failed day: every table, check and kept run as the UI asks for them."""
    filled.activate()
    instance, now = filled.instance, datetime.now(timezone.utc)
    for _ in range(2):
        filled.backfill(scenario.START, scenario.START + timedelta(days=1), tables=["market_sentiment"])
    plan_failed(instance, "prices", scenario.END)

    def said() -> dict[str, Any]:
        found = status(instance, filled.settings, scenario.START, scenario.END, now=now)
        assert found["assets"]["prices"]["partitions"]["failed"] == 1
        return found

    before, runs = said(), [run.run_id for run in instance.get_runs()]
    with ui(instance) as ask:
        shown, pages = ask(SHOWN), {run: ask(RUN, id=run) for run in runs}
        done = freed(instance)
        assert done.rows["runs"] > 0
        assert done.rows["events"] > 0
        assert done.bytes["events"] > 0
        assert done.done
        assert ask(SHOWN) == shown
        kept = [run.run_id for run in instance.get_runs()]
        assert len(kept) == len(runs) - done.rows["runs"]
        assert {run: ask(RUN, id=run) for run in kept} == {run: pages[run] for run in kept}
        instance.wipe_asset_cached_status([AssetKey(name) for name in before["assets"]])
        assert ask(SHOWN) == shown, "from the events alone"
    assert said() == before
    again = freed(instance)
    assert set(again.rows.values()) == {0}, "nothing is left for a second duty"
    assert filled.backfill(scenario.END, scenario.END, tables=["prices"]).ok
    assert (
        status(instance, filled.settings, scenario.START, scenario.END)["assets"]["prices"]["partitions"]["failed"] == 0
    )


def plan_failed(instance: DagsterInstance, table: str, day: date) -> None:
    """A run that failed before it materialised the day."""
    plan(instance, day.isoformat(), DagsterRunStatus.FAILURE, table)


def test_coverage_is_the_same_after_pruning(instance: DagsterInstance) -> None:
    """Days materialised twice, days that failed last, days never asked for; then everything old is pruned."""
    first_run = run_of(instance, KEYS[0], KEYS[3])
    run_of(instance, KEYS[0], KEYS[2])
    run_of(instance, KEYS[0], KEYS[3])
    failed = run_of(instance, KEYS[2], KEYS[4], fails=True)
    first, last = date.fromisoformat(KEYS[0]), date.fromisoformat(KEYS[-1])
    before, notes = coverage(instance), newest_metadata(instance, "prices", first, last)
    assert set(before.values()) == {"MATERIALIZED", "FAILED", None}
    young = freed(instance, datetime.now(timezone.utc) - timedelta(days=1))
    assert set(young.rows.values()) == {0}
    done = freed(instance)
    assert done.rows["runs"] > 0
    assert done.rows["events"] > 0
    assert done.rows["event_tags"] > 0
    assert coverage(instance) == before
    assert newest_metadata(instance, "prices", first, last) == notes
    kept = {run.run_id for run in instance.get_runs()}
    assert failed in kept, "else its days would not be failed any more"
    assert first_run not in kept
    run_of(instance, KEYS[4], KEYS[5])
    assert coverage(instance) == {**before, KEYS[4]: "MATERIALIZED", KEYS[5]: "MATERIALIZED"}


def test_a_kept_run_has_its_plan_and_graph(instance: DagsterInstance) -> None:
    for n in range(3):
        run_of(instance, KEYS[n], KEYS[n], colour=str(n))
    snapshots = len(rows(instance, "snapshots"))
    freed(instance)
    assert len(rows(instance, "snapshots")) <= snapshots
    for run in instance.get_runs():
        assert instance.get_execution_plan_snapshot(str(run.execution_plan_snapshot_id)).steps
        assert instance.get_historical_job(str(run.job_snapshot_id)).name


def test_snapshots_that_no_run_has_are_freed(instance: DagsterInstance) -> None:
    run_of(instance, KEYS[0], KEYS[0])
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql(
            "INSERT INTO snapshots (snapshot_id, snapshot_body, snapshot_type) VALUES ('old', 'x', 'PIPELINE')"
        )
    assert freed(instance).rows["snapshots"] == 1


@pytest.mark.parametrize("state", [DagsterRunStatus.STARTED, DagsterRunStatus.QUEUED, DagsterRunStatus.CANCELING])
def test_a_run_that_goes_on_keeps_all_it_has(instance: DagsterInstance, state: DagsterRunStatus) -> None:
    runs = [run_of(instance, KEYS[0], KEYS[1]) for _ in range(2)]
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("UPDATE runs SET status = %s", (state.value,))
    logs = {run: instance.all_logs(run) for run in runs}
    assert set(freed(instance).rows.values()) == {0}
    assert {run: instance.all_logs(run) for run in runs} == logs


def test_a_backfill_keeps_its_runs_until_it_ends(instance: DagsterInstance) -> None:
    backfill = PartitionBackfill(
        backfill_id="growing",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=time.time(),
        asset_selection=[AssetKey("prices")],
    )
    instance.add_backfill(backfill)
    runs = [run_of(instance, KEYS[0], KEYS[1], **{BACKFILL_ID_TAG: "growing"}) for _ in range(3)]
    assert freed(instance).rows["runs"] == 0
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    assert freed(instance).rows["runs"] == 2
    assert instance.get_backfill("growing") is not None, "its newest run is kept, and leads to it"
    assert [run.run_id for run in instance.get_runs()] == runs[-1:]


KILLED = """
import sys, time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from dagster import DagsterInstance
from crypto_assets.automation import prune as module
from crypto_assets.dagster_internals import run_history
run_history.FREED = tuple(replace(kind, page=1) for kind in run_history.FREED)
free = module._free
def slowly(cursor, kind, *rest):
    free(cursor, kind, *rest)
    print(kind.table, flush=True)
    time.sleep(60 if kind.table == sys.argv[1] else 0)
module._free = slowly
with DagsterInstance.get() as instance:
    module.prune(instance, datetime.now(timezone.utc) + timedelta(days=2))
"""


@pytest.mark.parametrize("table", ["runs", "event_logs"])
def test_a_duty_that_is_killed_loses_nothing_and_the_next_one_ends_it(instance: DagsterInstance, table: str) -> None:
    for _ in range(3):
        run_of(instance, KEYS[0], KEYS[3])
    run_of(instance, KEYS[4], KEYS[4], fails=True)
    before = coverage(instance)
    child = subprocess.Popen([sys.executable, "-c", KILLED, table], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == table:
            break
    assert prune(instance, ALL) is None, "two at once"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert coverage(instance) == before
    deadline, done = time.monotonic() + 120, None
    while done is None and time.monotonic() < deadline:  # until the server has noticed that its client is gone
        done = prune(instance, ALL)
        time.sleep(0.2)
    assert done is not None
    assert done.rows["event_tags" if table == "event_logs" else "events"] > 0
    assert coverage(instance) == before
    orphans = set(rows(instance, "event_logs", "run_id")) - {run.run_id for run in instance.get_runs()}
    newest = newest_metadata(instance, "prices", date.fromisoformat(KEYS[0]), date.fromisoformat(KEYS[-1]))
    assert orphans <= {str(metadata["run"].value) for metadata in newest.values()}


def test_a_duty_without_time_leaves_the_rest_to_the_next(instance: DagsterInstance) -> None:
    for _ in range(3):
        run_of(instance, KEYS[0], KEYS[1])
    done = freed(instance, seconds=-1)
    assert not done.done
    assert set(done.rows.values()) == {0}
    assert freed(instance).rows["runs"] == 2


def test_a_database_that_takes_no_writes_is_a_sentence(instance: DagsterInstance, url: str) -> None:
    for _ in range(2):
        run_of(instance, KEYS[0], KEYS[1])
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET default_transaction_read_only = on")
        with pytest.raises(InstanceError, match=r"could not be deleted.*read-only transaction.*takes writes"):
            prune(instance, ALL)
        cursor.execute(f"ALTER DATABASE {url.rsplit('/', 1)[1]} RESET default_transaction_read_only")
    connection.close()
    assert len(instance.get_runs()) == 2
    assert freed(instance).rows["runs"] == 1


def test_indexes_are_built_anew_also_after_an_interrupted_time(instance: DagsterInstance, url: str) -> None:
    for _ in range(3):
        run_of(instance, KEYS[0], KEYS[3])
    before = coverage(instance)
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX idx_step_key_ccnew ON event_logs (step_key)")
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_step_key_ccnew'::regclass")
        names = "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = 'event_logs'::regclass"
        cursor.execute(f"{names} ORDER BY 1")
        known = cursor.fetchall()
        done = freed(instance, rebuild=True)
        assert done.rows["events"] > 0
        cursor.execute(f"{names} AND indisvalid ORDER BY 1")
        assert cursor.fetchall() == [name for name in known if name != ("idx_step_key_ccnew",)]
    connection.close()
    assert coverage(instance) == before


def test_what_the_steps_of_freed_runs_printed_goes_too(instance: DagsterInstance) -> None:
    runs = [run_of(instance, KEYS[0], KEYS[1]) for _ in range(2)]
    folders = [Path(os.environ["CRYPTO_ASSETS_LOGS"]) / run for run in runs]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    assert freed(instance).log_folders == 1
    assert [folder.exists() for folder in folders] == [False, True]


def test_the_job_says_what_it_freed(instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", str(tmp_path / "warehouse"))
    monkeypatch.setenv("CRYPTO_ASSETS_HISTORY_DAYS", "9")
    runs = [run_of(instance, KEYS[0], KEYS[1]) for _ in range(3)]
    aged(instance, 10)
    done = tidy_up.execute_in_process(instance=instance)
    (output,) = [e for e in done.all_events if e.is_successful_output and e.step_key == "tidy_event_log"]
    metadata = {name: value.value for name, value in output.step_output_data.metadata.items()}
    assert metadata["runs_freed"] == 0, "they are listed for 30 days"
    assert metadata["events_freed"] > 0
    assert metadata["bytes_freed"] > 0
    assert metadata["days_kept"] == 9
    assert metadata["done"] is True
    kinds = {event.dagster_event_type for event in instance.all_logs(runs[0])}
    assert kinds == {dg.DagsterEventType.PIPELINE_START, dg.DagsterEventType.PIPELINE_SUCCESS}


def test_a_database_that_nobody_prunes_is_noticed(instance: DagsterInstance) -> None:
    settings = Settings.from_env()
    assert health.history_pruned(instance, settings).passed, "nothing is old"
    run_of(instance, KEYS[0], KEYS[1])
    aged(instance, 40)
    found = health.history_pruned(instance, settings)
    assert not found.passed
    assert "tidy_up never ended well, so 1 run(s) older than 30 days" in found.description

    @dg.job(name="tidy_up")
    def ended() -> None: ...

    assert ended.execute_in_process(instance=instance).success
    assert health.history_pruned(instance, settings).passed


def aged(instance: DagsterInstance, days: int) -> None:
    """Everything so far happened that many days earlier."""
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        for table, columns in {
            "runs": ("create_timestamp", "update_timestamp"),
            "event_logs": ("timestamp",),
            "asset_check_executions": ("create_timestamp",),
        }.items():
            for column in columns:
                connection.exec_driver_sql(f"UPDATE {table} SET {column} = {column} - interval '{days} days'")


def test_every_freed_kind_has_a_name() -> None:
    assert set(module.NAMES) == {kind.table for kind in module.run_history.FREED}
