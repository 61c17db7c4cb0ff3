"""What is relied on of Dagster's tables: each test names what moved or changed when it fails."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import dagster as dg
import psycopg2
from dagster import AssetKey, DagsterInstance
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata

from crypto_assets.dagster_internals import run_history

# Tables that no duty touches: a row for each asset, schedule, daemon or pool, so they do not grow with time.
BOUNDED = {
    "asset_keys", "dynamic_partitions", "concurrency_limits", "concurrency_slots", "pending_steps", "secondary_indexes",
    "daemon_heartbeats", "instance_info", "kvs", "jobs", "instigators", "run_tags", "asset_daemon_asset_evaluations",
}  # fmt: skip


def test_every_table_of_dagster_is_freed_or_bounded() -> None:
    """A table that a new version adds is noticed. ``run_tags`` go with their runs, evaluations by Dagster's own retention."""
    schemas = (SqlEventLogStorageMetadata, RunStorageSqlMetadata, ScheduleStorageSqlMetadata)
    known = {table.name: table for schema in schemas for table in schema.sorted_tables}
    freed = {kind.table: kind for kind in run_history.FREED}
    assert freed.keys() | BOUNDED == known.keys()
    assert not freed.keys() & BOUNDED
    for name, kind in freed.items():
        assert {"id", kind.body} <= set(known[name].columns.keys())
    (key,) = known["run_tags"].foreign_keys
    assert key.ondelete == "CASCADE"


def test_the_states_of_runs_and_backfills_are_dagsters() -> None:
    assert {status.value for status in FINISHED_STATUSES} == set(run_history.ENDED)
    still = set(BulkActionStatus) - set(BULK_ACTION_TERMINAL_STATUSES)
    assert {status.value for status in still} == set(run_history.OPEN_BACKFILLS)
    assert set(run_history.BY_PARTITION) <= {kind.value for kind in dg.DagsterEventType}


def test_the_parent_of_a_graph_is_kept_with_it(instance: DagsterInstance, url: str) -> None:
    @dg.asset
    def one() -> None: ...

    @dg.asset
    def two() -> None: ...

    job = dg.Definitions(assets=[one, two], jobs=[dg.define_asset_job("both")]).resolve_job_def("both")
    part = job.get_subset(asset_selection={AssetKey("one")})
    run = instance.create_run_for_job(part, asset_selection=frozenset([AssetKey("one")]))
    graph = instance.get_job_snapshot(str(run.job_snapshot_id))
    assert graph.lineage_snapshot is not None
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        run_history.keep_parents(cursor)
        cursor.execute("SELECT snapshot_id FROM kept_snapshots")
        kept = {name for (name,) in cursor.fetchall()}
    connection.close()
    assert kept == {run.job_snapshot_id, run.execution_plan_snapshot_id, graph.lineage_snapshot.parent_snapshot_id}


def test_each_statement_runs_on_dagsters_tables(instance: DagsterInstance, url: str) -> None:
    """Over an empty history: what is asked exists, and a page after the last one is null."""
    instants = dict.fromkeys(("before", "runs_before", "results_before"), datetime(2025, 1, 1))
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        for name, query in run_history.KEPT.items():
            cursor.execute(f"CREATE TEMPORARY TABLE {name} AS {query}", instants)
            cursor.execute(f"SELECT count(*) FROM {name} WHERE id IS NOT NULL" if "runs" not in name else "SELECT 0")
            assert cursor.fetchone() == (0,)
        run_history.keep_parents(cursor)
        for kind in run_history.FREED:
            assert isinstance(kind, run_history.Freed)
            cursor.execute(kind.last_of_page, {"after": 0})
            assert cursor.fetchone() == (None,)
            cursor.execute(kind.statement, {**instants, "after": 0, "last": 10})
            assert cursor.fetchone() == (0, 0)
            cursor.execute(run_history.UNFINISHED_INDEXES, (kind.table,))
            assert cursor.fetchall() == []
    connection.close()


def test_an_event_that_is_deleted_by_sql_is_gone_for_dagster(instance: DagsterInstance, url: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(AssetKey("one"), partition="2025-01-01"))
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, run_id, timestamp, asset_key, partition, dagster_event_type FROM event_logs")
        assert len(cursor.fetchall()) == 1
        cursor.execute("DELETE FROM event_logs")
        assert cursor.rowcount == 1
    connection.close()
    assert not instance.fetch_materializations(AssetKey("one"), limit=1).records


def test_the_history_has_one_address(instance: DagsterInstance, url: str) -> None:
    assert run_history.history_url(instance) == url


def test_logs_are_found_by_the_run(instance: DagsterInstance) -> None:
    gone = "0f1e2d3c-0000-4000-8000-000000000000"
    path = instance.compute_log_manager.get_captured_local_path([gone, "compute_logs", "step"], "out")  # type: ignore[attr-defined]
    Path(path).parent.mkdir(parents=True)
    (found,) = run_history.logs_of_gone_runs(instance, [])
    assert found.name == gone
    assert list(run_history.logs_of_gone_runs(instance, [gone])) == []
