"""The batching event log writes what the stock one writes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import dagster as dg
import pytest
from dagster import AssetCheckKey, AssetKey, AssetMaterialization, AssetObservation, DagsterInstance
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationPlanned,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    AssetObservationData,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.base import PartitionKeyFilter
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.utils import make_new_run_id
from dagster_postgres.event_log import PostgresEventLogStorage
from sqlalchemy import select, text
from sqlalchemy.event import listen

from crypto_assets.runtime.event_log import BatchingPostgresEventLogStorage

DAYS = [f"2025-01-{day:02d}" for day in range(1, 29)]
TABLES = ["ohlc", "prices"]
CALENDAR = dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-02-01")
Storages = tuple[BatchingPostgresEventLogStorage, PostgresEventLogStorage]


def planned(run_id: str) -> list[EventLogEntry]:
    """What a ranged run announces: every partition of two tables, then a check each."""
    events = [
        (DagsterEventType.ASSET_MATERIALIZATION_PLANNED, AssetMaterializationPlannedData(AssetKey(table), day))
        for table in TABLES
        for day in DAYS
    ] + [
        (
            DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
            AssetCheckEvaluationPlanned(asset_key=AssetKey(table), check_name="contract"),
        )
        for table in TABLES
    ]
    return entries(run_id, events)


def done(run_id: str) -> list[EventLogEntry]:
    """What a step reports of its days: each with metadata, and with the tags that Dagster indexes."""
    tags = {"dagster/data_version": "7", "dagster/code_version": "2"}
    return entries(
        run_id,
        [
            (
                DagsterEventType.ASSET_MATERIALIZATION,
                StepMaterializationData(
                    AssetMaterialization("prices", partition=day, metadata={"dagster/row_count": 24}, tags=tags)
                ),
            )
            for day in DAYS
        ],
    )


def entries(run_id: str, events: list[tuple[DagsterEventType, object]]) -> list[EventLogEntry]:
    now = time.time()
    return [
        EventLogEntry(
            error_info=None,
            level="debug",
            user_message="",
            run_id=run_id,
            timestamp=now + number / 1000,
            step_key=None,
            job_name="all",
            dagster_event=DagsterEvent(kind.value, "all", event_specific_data=data),  # type: ignore[arg-type]
        )
        for number, (kind, data) in enumerate(events)
    ]


@pytest.fixture
def storages(new_instance: Callable[[], DagsterInstance]) -> Iterator[Storages]:
    """Ours and the stock one, each on a database of its own."""
    with ExitStack() as stack:
        ours, other = new_instance().event_log_storage, new_instance().event_log_storage
        assert isinstance(ours, BatchingPostgresEventLogStorage), "the instance's own configuration names ours"
        assert isinstance(other, BatchingPostgresEventLogStorage)
        stock = PostgresEventLogStorage(other.postgres_url, should_autocreate_tables=False)
        stack.callback(stock.dispose)
        yield ours, stock


def content(storage: PostgresEventLogStorage) -> dict[str, list[tuple[object, ...]]]:
    """Every column of the four tables but clocks and numbers that the database gives."""
    log, keys, checks = SqlEventLogStorageTable.c, AssetKeyTable.c, AssetCheckExecutionsTable.c
    tags = AssetEventTagsTable.c
    queries = {
        "event_logs": select(
            log.run_id, log.event, log.dagster_event_type, log.timestamp, log.step_key, log.asset_key, log.partition
        ).order_by(log.id),
        "asset_keys": select(keys.asset_key, keys.last_run_id, keys.last_materialization).order_by(keys.asset_key),
        "checks": select(
            checks.asset_key,
            checks.check_name,
            checks.partition,
            checks.run_id,
            checks.execution_status,
            checks.evaluation_event,
            checks.evaluation_event_timestamp,
            checks.evaluation_event_storage_id,
            checks.materialization_event_storage_id,
        ).order_by(checks.asset_key, checks.id),
        "tags": select(tags.asset_key, tags.key, tags.value, log.partition)
        .join(SqlEventLogStorageTable, log.id == tags.event_id)
        .order_by(log.id, tags.key),
    }
    with storage.index_connection() as connection:
        return {name: [tuple(row) for row in connection.execute(query)] for name, query in queries.items()}


def test_a_batch_leaves_the_rows_that_stock_leaves(storages: Storages) -> None:
    events = planned(make_new_run_id())
    for storage in storages:
        storage.store_event_batch(events)
    ours, stock = map(content, storages)
    assert ours == stock
    assert len(ours["event_logs"]) == len(TABLES) * (len(DAYS) + 1)
    assert [row[0] for row in ours["checks"]] == ['["ohlc"]', '["prices"]']


def test_materialisations_leave_the_rows_that_stock_leaves(storages: Storages) -> None:
    run_id = make_new_run_id()
    plan, events = planned(run_id), done(run_id)
    for storage in storages:
        storage.store_event_batch(plan)
        storage.store_event_batch(events)
    ours, stock = map(content, storages)
    assert ours == stock
    assert [row[-1] for row in ours["tags"]] == DAYS, "each tag belongs to its own day's event"


def checked(run_id: str) -> list[EventLogEntry]:
    """The plans of two checks of a ranged run, as Dagster makes them: each names the run's partitions."""
    days = CALENDAR.subset_with_partition_keys(DAYS).to_serializable_subset()
    return entries(
        run_id,
        [
            (
                DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
                AssetCheckEvaluationPlanned(
                    asset_key=AssetKey("prices"), check_name=name, partitions_subset=days if by_day else None
                ),
            )
            for name, by_day in (("contract", True), ("fresh", False))
        ],
    )


def reports(run_id: str, partitions: Iterable[str | None], check: str = "contract") -> list[EventLogEntry]:
    """What a step says of its days: every fifth fails."""
    target = AssetCheckEvaluationTargetMaterializationData(storage_id=7, run_id=run_id, timestamp=1.0)
    return entries(
        run_id,
        [
            (
                DagsterEventType.ASSET_CHECK_EVALUATION,
                AssetCheckEvaluation(
                    AssetKey("prices"), check, number % 5 != 0, {"rows": number},
                    target if number % 2 else None, partition=day,
                ),
            )
            for number, day in enumerate(partitions)
        ],
    )  # fmt: skip


def test_reports_of_days_leave_the_rows_that_stock_leaves(storages: Storages) -> None:
    """Planned rows are filled, a day that was not planned gets one; only the log names the partition besides."""
    run_id = make_new_run_id()
    plan, found = checked(run_id), reports(run_id, [*DAYS, "2025-01-31"])
    ours, stock = storages
    ours.store_event_batch(plan)
    ours.store_event_batch(found)
    for event in [*plan, *found]:
        stock.store_event(event)
    mine, theirs = content(ours), content(stock)
    assert mine["checks"] == theirs["checks"]
    assert [row[:-1] for row in mine["event_logs"]] == [row[:-1] for row in theirs["event_logs"]]
    assert [row[-1] for row in mine["event_logs"]] == [None, None, *DAYS, "2025-01-31"]
    keys = [AssetCheckKey(AssetKey("prices"), "contract")]
    for day in (DAYS[0], DAYS[7], "2025-01-31"):
        read = [
            storage.get_latest_asset_check_execution_by_key(keys, PartitionKeyFilter(key=day))[keys[0]]
            for storage in storages
        ]
        assert read[0].evaluation == read[1].evaluation and read[0].status == read[1].status
        assert read[0].evaluation is not None and read[0].evaluation.partition == day


@pytest.mark.parametrize("together", [True, False])
def test_a_report_of_no_day_takes_away_what_was_planned_for_days(instance: DagsterInstance, together: bool) -> None:
    """Dagster plans a row for each partition of a run, also for a check that has none."""
    storage, run_id = instance.event_log_storage, make_new_run_id()
    assert isinstance(storage, BatchingPostgresEventLogStorage)
    storage.store_event_batch(checked(run_id))
    (whole,) = reports(run_id, [None])
    found = [*reports(run_id, DAYS[:3]), whole]
    storage.store_event_batch(found if together else found[:3])
    if not together:
        storage.store_event(whole)
    (other,) = checked(make_new_run_id())[:1]
    storage.store_event(other)
    rows = content(storage)["checks"]
    assert sorted((str(row[2]), row[4]) for row in rows if row[3] == run_id and row[1] == "contract") == [
        (DAYS[0], "FAILED"), (DAYS[1], "SUCCEEDED"), (DAYS[2], "SUCCEEDED"), ("None", "FAILED"),
    ]  # fmt: skip
    assert sum(row[3] == other.run_id for row in rows) == len(DAYS), "another run's plan stays"


def test_a_ranged_run_is_batched_and_its_partitions_are_shown(
    new_instance: Callable[[], DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage switches batching on by itself, and nothing of the run takes the stock way."""
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    instance = new_instance()
    assert int(os.environ["DAGSTER_EVENT_BATCH_SIZE"]) > 0
    calendar = CALENDAR

    @dg.asset(partitions_def=calendar, backfill_policy=dg.BackfillPolicy.single_run())
    def prices() -> None: ...

    one_by_one: list[DagsterEventType] = []
    stock = PostgresEventLogStorage.store_event

    def watched(storage: PostgresEventLogStorage, event: EventLogEntry) -> None:
        one_by_one.append(event.get_dagster_event().event_type)
        stock(storage, event)

    monkeypatch.setattr(PostgresEventLogStorage, "store_event", watched)
    tags = {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[-1]}
    assert dg.materialize([prices], instance=instance, tags=tags).success
    assert not {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_MATERIALIZATION_PLANNED} & {*one_by_one}
    keys = calendar.get_partition_keys()
    statuses = instance.get_status_by_partition(AssetKey("prices"), keys, calendar) or {}
    assert [key for key in keys if (status := statuses[key]) and status.value == "MATERIALIZED"] == DAYS


def test_events_of_another_kind_among_them_take_the_stock_way(storages: Storages) -> None:
    events = planned(make_new_run_id())[:3]
    seen = AssetObservationData(AssetObservation("prices", partition=DAYS[0]))
    observation = DagsterEvent(DagsterEventType.ASSET_OBSERVATION.value, "all", event_specific_data=seen)
    mixture = [events[0]._replace(dagster_event=observation), *events]
    for storage in storages:
        storage.store_event_batch(mixture)
    ours, stock = map(content, storages)
    assert ours == stock
    assert len(ours["event_logs"]) == 4


def test_a_failing_batch_leaves_nothing_and_the_next_one_works(storages: Storages) -> None:
    ours, _ = storages
    events = planned(make_new_run_id())
    with ours.index_connection() as connection:
        connection.execute(text("ALTER TABLE asset_keys RENAME TO hidden"))
        connection.commit()
    with pytest.raises(Exception, match="asset_keys"):
        ours.store_event_batch(events)
    with ours.index_connection() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO asset_keys"))
        connection.commit()
    assert content(ours)["event_logs"] == []
    ours.store_event_batch(events)
    assert len(content(ours)["event_logs"]) == len(events)


def test_nothing_is_no_event(storages: Storages) -> None:
    ours, _ = storages
    ours.store_event_batch([])
    assert content(ours)["event_logs"] == []


def test_a_pool_that_another_process_made_meanwhile_is_there(instance: DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert storage.initialize_concurrency_limit_to_default("provider")
    assert storage.initialize_concurrency_limit_to_default("provider"), "the second one finds it"
    assert [limit.name for limit in storage.get_pool_limits()] == ["provider"]


def test_a_column_that_comes_later_is_seen_and_one_that_is_there_is_asked_for_once(instance: DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, BatchingPostgresEventLogStorage)
    asked: list[str] = []
    listen(storage._engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    assert not storage.has_asset_key_col("of_tomorrow")
    with storage.index_connection() as connection:
        connection.execute(text("ALTER TABLE asset_keys ADD COLUMN of_tomorrow TEXT"))
    assert storage.has_asset_key_col("of_tomorrow"), "a migration while the process runs"
    assert storage.has_table("asset_keys")
    asked.clear()
    assert storage.has_asset_key_col("of_tomorrow")
    assert storage.has_table("asset_keys")
    assert asked == []
    assert not storage.has_table("of_tomorrow")
