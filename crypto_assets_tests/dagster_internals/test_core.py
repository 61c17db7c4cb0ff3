"""What is relied on of dagster's internals: each test names what moved or changed when it fails."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus
from dagster._core.definitions.executor_definition import execute_in_process_executor
from dagster._core.snap import JobSnap

from crypto_assets.dagster_internals import core
from crypto_assets.runtime.launcher import LocalRunLauncher
from crypto_assets_tests.ports import free_port

CALENDAR = dg.DailyPartitionsDefinition("2025-01-01", timezone="UTC")


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("ASSET_PARTITION_RANGE_START_TAG", "dagster/asset_partition_range_start"),
        ("ASSET_PARTITION_RANGE_END_TAG", "dagster/asset_partition_range_end"),
        ("BACKFILL_ID_TAG", "dagster/backfill"),
        ("GRPC_INFO_TAG", ".dagster/grpc_info"),
        ("PARENT_RUN_ID_TAG", "dagster/parent_run_id"),
        ("PARTITION_NAME_TAG", "dagster/partition"),
        ("SCHEDULED_EXECUTION_TIME_TAG", ".dagster/scheduled_execution_time"),
        ("SCHEDULE_NAME_TAG", "dagster/schedule_name"),
        ("SENSOR_NAME_TAG", "dagster/sensor_name"),
        ("WILL_RETRY_TAG", "dagster/will_retry"),
    ],
)
def test_tags_keep_the_names_that_stored_runs_carry(name: str, tag: str) -> None:
    assert getattr(core, name) == tag


def test_a_partitioned_run_carries_the_tag_of_its_partition() -> None:
    @dg.asset(partitions_def=CALENDAR)
    def one() -> None: ...

    result = dg.materialize([one], partition_key="2025-01-02")
    assert result.dagster_run.tags[core.PARTITION_NAME_TAG] == "2025-01-02"


def ended_badly(body: str) -> list[dg.DagsterEvent]:
    @dg.asset
    def one() -> None:
        if body == "failure":
            raise dg.Failure("said", metadata={"days": ["2025-01-01"]})
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise KeyError("outer") from error

    result = dg.materialize([one], raise_on_error=False)
    return [event for event in result.all_events if event.is_step_failure]


def test_a_failed_step_has_its_description_and_metadata() -> None:
    (event,) = ended_badly("failure")
    data = event.step_failure_data
    assert isinstance(data, core.StepFailureData)
    assert data.user_failure_data is not None
    assert data.user_failure_data.description == "said"
    assert data.user_failure_data.metadata["days"].value == ["2025-01-01"]


def test_a_failed_step_has_the_chain_of_causes() -> None:
    (event,) = ended_badly("error")
    error = event.step_failure_data.error
    chain = []
    while error is not None:
        assert isinstance(error, core.SerializableErrorInfo)
        chain.append((error.cls_name, error.message.strip()))
        error = error.cause
    assert chain[-2:] == [("KeyError", "KeyError: 'outer'"), ("ValueError", "ValueError: inner")]


def test_an_interrupted_run_names_the_interruption(instance: DagsterInstance) -> None:
    @dg.op
    def one() -> None:
        raise dg.DagsterExecutionInterruptedError

    @dg.job
    def job() -> None:
        one()

    result = job.execute_in_process(instance=instance, raise_on_error=False)
    (step,) = [event for event in result.all_events if event.is_step_failure]
    assert step.step_failure_data.error is not None
    assert step.step_failure_data.error.cls_name == "DagsterExecutionInterruptedError"
    (run,) = [event for event in result.all_events if event.is_run_failure]
    assert isinstance(run.event_specific_data, core.JobFailureData)
    assert run.event_specific_data.error is None or run.event_specific_data.error.cls_name


def test_states_of_partitions_are_ranges(instance: DagsterInstance) -> None:
    key = AssetKey("one")
    assert core.partition_windows(instance, key, CALENDAR) == {}
    for day in ("2025-01-01", "2025-01-02", "2025-01-05"):
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=day))
    found = core.partition_windows(instance, key, CALENDAR)
    spans = [(window.start.date(), window.end.date()) for window in found[dg.AssetPartitionStatus.MATERIALIZED]]
    assert spans == [(date(2025, 1, 1), date(2025, 1, 3)), (date(2025, 1, 5), date(2025, 1, 6))]
    assert found[dg.AssetPartitionStatus.FAILED] == found[dg.AssetPartitionStatus.IN_PROGRESS] == []


def test_a_subset_without_ranges_is_read_by_its_keys(instance: DagsterInstance) -> None:
    class ByKey(dg.DailyPartitionsDefinition):
        @property
        def partitions_subset_class(self):  # type: ignore[no-untyped-def]
            return dg.StaticPartitionsDefinition(["x"]).partitions_subset_class

    assert core._windows(ByKey("2025-01-01").empty_subset(), CALENDAR) == []


def test_a_launcher_knows_its_instance(instance: DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, LocalRunLauncher)
    assert core.instance_of(instance.run_launcher) is instance
    with pytest.raises(dg.DagsterInvariantViolationError):
        core.instance_of(LocalRunLauncher())


def test_records_of_many_assets_are_read_by_one_query(instance: DagsterInstance) -> None:
    calendar = dg.DailyPartitionsDefinition(start_date="2024-01-01")
    keys = [AssetKey("prices"), AssetKey("ohlc"), AssetKey("never_filled")]
    for key in keys[:2]:
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="2024-01-02"))
    apart = [core.partition_windows(instance, key, calendar) for key in keys]
    storage = instance.event_log_storage
    with patch.object(storage, "get_asset_records", wraps=storage.get_asset_records) as asked:
        records = core.Records(instance, keys)
        assert [core.partition_windows(instance, key, calendar, records) for key in keys] == apart
    assert asked.call_count == 1
    assert len(apart[0][dg.AssetPartitionStatus.MATERIALIZED]) == 1


def test_health_has_the_states_and_words_that_a_launcher_answers() -> None:
    found = core.CheckRunHealthResult(core.WorkerStatus.FAILED, "why")
    assert (found.status, found.msg) == (core.WorkerStatus.FAILED, "why")
    assert core.CheckRunHealthResult(core.WorkerStatus.RUNNING).msg is None
    assert {status.name for status in core.WorkerStatus} >= {"RUNNING", "SUCCESS", "FAILED", "UNKNOWN"}


@pytest.mark.parametrize("context", [core.LaunchRunContext, core.ResumeRunContext])
def test_a_launcher_is_given_the_run(context: type) -> None:
    run = dg.DagsterRun("job", status=DagsterRunStatus.STARTING)
    more = {"resume_attempt_number": 1} if context is core.ResumeRunContext else {}
    assert context(run, workspace=None, **more).dagster_run is run


def test_a_compute_log_manager_says_where_its_files_lie(tmp_path: Path) -> None:
    source = core.ConfigurableClassData("module", "Class", "{}")
    stock = core.LocalComputeLogManager(base_dir=str(tmp_path), inst_data=source)
    assert stock.inst_data is source
    kinds = {core.ComputeIOType.STDOUT: "out", core.ComputeIOType.STDERR: "err"}
    assert kinds == dict(core.IO_TYPE_EXTENSION)
    for kind, ending in kinds.items():
        path = Path(stock.get_captured_local_path(["run", "compute_logs", "key"], ending))
        assert path == tmp_path / "run" / "compute_logs" / f"key.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("said")
        assert stock.get_log_data_for_type(["run", "compute_logs", "key"], kind, 0, None)[0] == b"said"
    assert not stock.is_capture_complete(["run", "compute_logs", "key"])
    Path(stock.complete_artifact_path(["run", "compute_logs", "key"])).touch()
    assert stock.is_capture_complete(["run", "compute_logs", "key"])
    assert core.CapturedLogContext(["key"]).log_key == ["key"]


def test_the_daemon_is_a_module_that_runs_a_workspace() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", core.DAEMON, "run", "--help"], capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    assert "-w, --workspace" in ended.stdout


def test_partitions_get_metadata_of_their_own_and_reports_of_checks_are_batched(instance: DagsterInstance) -> None:
    """add_by_partition, newest_materialisation(s), CheckTarget, check_reports and reports_of_ranges in one run over days."""
    days = ["2025-01-02", "2025-01-03"]

    @dg.asset(partitions_def=CALENDAR, backfill_policy=dg.BackfillPolicy.single_run())
    def one(context) -> None:
        step = context.op_execution_context.get_step_execution_context()
        core.add_by_partition(step, AssetKey("one"), {days[0]: {"b": 1}, days[1]: {"b": 2}})
        core.add_by_partition(step, AssetKey("one"), {days[1]: {"a": 3}})

    @dg.multi_asset_check(specs=[dg.AssetCheckSpec("good", asset=one, partitions_def=CALENDAR)])
    def check(context):
        newest = core.newest_materialisations(context.instance, AssetKey("one"), [*days, "2025-01-04"])
        assert set(newest) == set(days) and all(isinstance(found, core.CheckTarget) for found in newest.values())
        last = core.newest_materialisation(context.instance, AssetKey("one"))
        assert last is not None and last.storage_id == newest[days[-1]].storage_id
        assert core.newest_materialisation(context.instance, AssetKey("another")) is None
        reports = [
            dg.AssetCheckEvaluation(
                AssetKey("one"), "good", True, partition=day, target_materialization_data=newest[day]
            )
            for day in days
        ]
        step = context.op_execution_context.get_step_execution_context()
        yield from core.check_reports(step, [(report, "said") for report in reports])
        yield dg.Output(None, output_name="one_good")
        yield dg.AssetCheckEvaluation(AssetKey("one"), "good", True)

    tags = dict(zip((core.ASSET_PARTITION_RANGE_START_TAG, core.ASSET_PARTITION_RANGE_END_TAG), days, strict=True))
    job = dg.Definitions(assets=[one], asset_checks=[check]).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, tags=tags)
    found = {
        event.partition: event.materialization.metadata for event in result.all_events if event.is_step_materialization
    }
    assert {day: {name: value.value for name, value in said.items()} for day, said in found.items()} == {
        days[0]: {"b": 1}, days[1]: {"a": 3, "b": 2},
    }  # fmt: skip
    assert list(found[days[1]]) == ["a", "b"], "what is added later stands first"
    (whole,) = core.reports_of_ranges(instance, None, 10)
    assert whole.event_log_entry.get_dagster_event().asset_check_evaluation_data.partition is None
    assert core.reports_of_ranges(instance, str(whole.storage_id), 10) == []
    partitions = {report.partition for report in result.get_asset_check_evaluations()}
    assert partitions == {*days, None}


def test_runs_of_the_same_assets_share_a_subset_and_are_recorded_as_without_it(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset
    def one() -> None: ...

    @dg.asset
    def other() -> None: ...

    def recorded(job: dg.JobDefinition, *assets: str) -> tuple[object, ...]:
        keys = [AssetKey(asset) for asset in assets]
        result = job.execute_in_process(instance=instance, asset_selection=keys)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None and result.success
        done = {event.asset_key for event in result.all_events if event.is_step_materialization}
        return run.asset_selection, done, run.job_snapshot_id, run.execution_plan_snapshot_id

    built: list[object] = []
    build = JobSnap.from_job_def
    job = dg.Definitions(assets=[one, other]).resolve_implicit_global_asset_job_def()
    without = recorded(job, "one")
    core.keep_subsets(job, execute_in_process_executor)
    monkeypatch.setattr(JobSnap, "from_job_def", lambda found: built.append(found) or build(found))
    assert recorded(job, "one") == without
    assert without[:2] == ({AssetKey("one")}, {AssetKey("one")})
    known = len(built)
    assert recorded(job, "one") == without and len(built) == known, "nothing is built again"
    assert recorded(job, "other")[:2] == ({AssetKey("other")}, {AssetKey("other")})


def test_a_code_server_that_is_not_there_says_nothing_of_a_run() -> None:
    """What one that is there says: ``runtime/test_launcher_containers.py``."""
    assert core.is_executing({"host": "127.0.0.1", "port": free_port()}, "a-run", 5) is None


def test_the_days_of_a_run_are_those_of_its_tags() -> None:
    tags = {core.ASSET_PARTITION_RANGE_START_TAG: "2024-02-28", core.ASSET_PARTITION_RANGE_END_TAG: "2024-03-01"}
    assert core.days_of_run(tags) == 3
    assert core.days_of_run({"dagster/partition": "2024-03-01"}) == core.days_of_run({}) == 1
