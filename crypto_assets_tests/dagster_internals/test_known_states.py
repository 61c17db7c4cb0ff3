"""The states that are read without Dagster are Dagster's own, in every state of a run; else there is no answer."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest
from dagster import AssetKey, DagsterEvent, DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.events import AssetMaterializationPlannedData
from sqlalchemy import text

from crypto_assets.dagster_internals.core import partition_windows
from crypto_assets.dagster_internals.known_states import UNFINISHED, KnownStates, known_states

ASSET = "one"
CALENDAR = dg.DailyPartitionsDefinition("2025-01-01", timezone="UTC")
QUEUED = DagsterRunStatus.QUEUED  # Dagster makes no such run without a code location; it is unfinished like the others
DAY = ["2025-01-01", "2025-01-02", "2025-01-03", "2025-01-04"]


def read(instance: DagsterInstance) -> KnownStates | None:
    return known_states(instance.event_log_storage.postgres_url, [ASSET])  # type: ignore[attr-defined]


def asked(instance: DagsterInstance) -> dict[dg.AssetPartitionStatus, frozenset[date]]:
    """What Dagster answers, which it also keeps."""
    found = partition_windows(instance, AssetKey(ASSET), CALENDAR)
    return {
        state: frozenset(
            date.fromisoformat(key)
            for window in windows
            for key in CALENDAR.get_partition_keys_in_time_window(dg.TimeWindow(window.start, window.end))
        )
        for state, windows in found.items()
    }


def materialize(instance: DagsterInstance, key: str, *, fails: bool = False) -> None:
    @dg.asset(name=ASSET, partitions_def=CALENDAR)
    def one() -> None:
        if fails:
            raise ValueError("no rows")

    assert dg.materialize([one], instance=instance, partition_key=key, raise_on_error=False).success is not fails


def plan(instance: DagsterInstance, key: str, status: DagsterRunStatus, asset: str = ASSET) -> None:
    """A run that was to materialise the day and is in this state."""

    @dg.op
    def nothing() -> None: ...

    @dg.job(name="planned")
    def planned() -> None:
        nothing()

    run = instance.create_run_for_job(planned, status=status)
    data = AssetMaterializationPlannedData(AssetKey(asset), partition=key)
    event = DagsterEvent(DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value, "planned", event_specific_data=data)
    instance.report_dagster_event(event, run.run_id)


def test_without_news_they_are_dagsters_own(instance: DagsterInstance) -> None:
    for key in DAY[:2]:
        materialize(instance, key)
    materialize(instance, DAY[1], fails=True)
    materialize(instance, DAY[2], fails=True)
    said = asked(instance)
    found = read(instance)
    assert found is not None
    assert (
        found.materialized[ASSET] == said[dg.AssetPartitionStatus.MATERIALIZED] == {date(2025, 1, 1), date(2025, 1, 2)}
    )
    assert found.failed[ASSET] == said[dg.AssetPartitionStatus.FAILED] == {date(2025, 1, 2), date(2025, 1, 3)}


def test_news_are_left_to_dagster_until_it_was_asked(instance: DagsterInstance) -> None:
    assert read(instance) is None, "an asset that Dagster does not know"
    materialize(instance, DAY[0])
    assert read(instance) is None
    asked(instance)
    assert read(instance) is not None
    for fails in (False, True):
        materialize(instance, DAY[1], fails=fails)
        assert read(instance) is None, "a new day, and one that failed since"
        said = asked(instance)
        found = read(instance)
        assert found is not None and found.failed[ASSET] == said[dg.AssetPartitionStatus.FAILED]
    instance.wipe_assets([AssetKey(ASSET)])
    assert read(instance) is None


@pytest.mark.parametrize("status", [state for state in DagsterRunStatus if state is not QUEUED])
def test_a_run_in_each_state(instance: DagsterInstance, status: DagsterRunStatus) -> None:
    """While a run is unfinished Dagster is asked, and afterwards nothing differs from what it says."""
    materialize(instance, DAY[0])
    plan(instance, DAY[1], status)
    said = asked(instance)
    found = read(instance)
    if status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED):
        assert found is not None and status.value not in UNFINISHED
        assert found.materialized[ASSET] == said[dg.AssetPartitionStatus.MATERIALIZED]
        assert found.failed[ASSET] == said[dg.AssetPartitionStatus.FAILED]
        assert (found.failed[ASSET] == {date(2025, 1, 2)}) == (status == DagsterRunStatus.FAILURE)
        assert not said[dg.AssetPartitionStatus.IN_PROGRESS]
    else:
        assert found is None and said[dg.AssetPartitionStatus.IN_PROGRESS] == {date(2025, 1, 2)}


def test_a_run_of_other_assets_that_may_have_died_is_left_to_dagster(instance: DagsterInstance) -> None:
    materialize(instance, DAY[0])
    asked(instance)

    @dg.op
    def nothing() -> None: ...

    @dg.job
    def other() -> None:
        nothing()

    instance.create_run_for_job(other, status=DagsterRunStatus.STARTED)
    assert read(instance) is None


def test_no_postgres_no_tables_and_an_asset_that_was_never_planned_are_no_answer(instance: DagsterInstance) -> None:
    assert known_states("postgresql+psycopg2://nobody:x@127.0.0.1:1/none", [ASSET]) is None
    materialize(instance, DAY[0])
    asked(instance)
    storage = instance.event_log_storage
    assert read(instance) is not None and known_states(storage.postgres_url, [ASSET, "two"]) is None  # type: ignore[attr-defined]
    with storage.index_connection() as connection:  # type: ignore[attr-defined]
        connection.execute(text("ALTER TABLE runs RENAME TO gone"))
    assert read(instance) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [(r"\"version\": 1", r"\"version\": 9"), ("time_windows", "keys"), ("latest_storage_id", "newest"), ("{", "")],
)
def test_a_form_that_is_not_known_is_no_answer(instance: DagsterInstance, old: str, new: str) -> None:
    """A later Dagster may keep its states in another form."""
    materialize(instance, DAY[0])
    asked(instance)
    change = text("UPDATE asset_keys SET cached_status_data = replace(cached_status_data, :old, :new)")
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        connection.execute(change, {"old": old, "new": new})
    assert read(instance) is None
