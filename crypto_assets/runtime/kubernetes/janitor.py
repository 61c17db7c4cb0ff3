"""Keep a cluster clean: a run whose pod can never work fails at once with the reason, and our dead Jobs are deleted.

The sensor runs in the code location itself, every half minute, because a cluster that cannot start pods must not need
one to report this. Its result is the asset ``cluster_health`` with the check ``zero_stuck_jobs``. Outside a cluster
(``CRYPTO_ASSETS_KUBE_NAMESPACE`` unset) none of this exists.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg
from dagster import DagsterInstance, RunsFilter

from crypto_assets.errors import CryptoAssetsError, InstanceError
from crypto_assets.runtime.kubernetes import sweep as logic
from crypto_assets.runtime.kubernetes.api import Cluster, labels
from crypto_assets.runtime.kubernetes.installation import installation_id
from crypto_assets.runtime.kubernetes.launcher import NO_RETRY
from crypto_assets.settings import Settings

HEALTH = dg.AssetKey("cluster_health")
CHECK = "zero_stuck_jobs"
EVERY_S = 30
RUNS_A_QUERY = 250
EXAMPLES = 10  # of what is being deleted, in the metadata
SINGLE_DELETES = 200  # the limit of single calls per sweep; the next sweep continues
SAY_AGAIN = timedelta(hours=1)  # how often an unchanged result is reported, so that the event log stays small


@dataclass(frozen=True)
class Sweep:
    """What a sweep found and did. ``left``: deletions that failed or were left to the next sweep."""

    plan: logic.Plan
    failed: int
    deleted: int
    left: int
    dry_run: bool
    trouble: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Reason -> number of problems, and the numbers of failed runs, postponed and lasting deletions."""
        found = {"failed_runs": self.failed, "left": self.left, "lasting": len(self.plan.lasting)}
        return {**dict(self.plan.found), **found}

    @property
    def well(self) -> bool:
        """Whether nothing is stuck, and no deletion has lasted for too long."""
        return not self.plan.stuck and not self.plan.lasting

    def sentence(self) -> str:
        """The sweep in one sentence."""
        seen = self.plan.seen
        text = f"{self.plan.stuck} stuck of {seen['jobs']} Job(s) and {seen['pods']} pod(s)"
        if self.plan.found:
            text += ": " + ", ".join(f"{reason} {count}" for reason, count in sorted(self.plan.found.items()))
        did = "would fail" if self.dry_run else "failed"
        text += f"; {did} {self.failed} run(s), {'would delete' if self.dry_run else 'deleted'} {self.deleted}"
        if self.plan.ending:
            text += f"; {len(self.plan.ending)} ending"
        if self.plan.lasting:
            example = self.plan.ending[self.plan.lasting[0]]
            text += f", {len(self.plan.lasting)} of them for too long, e.g. {example}"
        return text + (f"; {self.trouble}" if self.trouble else "")


def sweep(instance: DagsterInstance, cluster: Cluster, *, dry_run: bool, rules: logic.Rules | None = None) -> Sweep:
    """Check all our objects once, and act.

    Args:
        instance: knows the runs.
        cluster: the namespace.
        dry_run: whether to only report.
        rules: how long to wait before a state is trusted; by default those of :class:`Rules`.

    Returns:
        What was found and done.

    Raises:
        InstanceError: the API cannot be read.
    """
    now = datetime.now(timezone.utc)
    jobs, pods = cluster.jobs(), cluster.pods()
    run_ids = sorted({labels(found)[logic.RUN_LABEL] for found in [*jobs, *pods] if logic.RUN_LABEL in labels(found)})
    events, trouble = _events(cluster) if logic.needs_events(jobs, pods) else ([], None)
    runs, own = known_runs(instance, run_ids), installation_id(instance)
    made = logic.plan(jobs, pods, runs, now, rules, events=events, installation=own)
    doing = len(made.runs) + len(made.jobs) + len(made.pods)
    if dry_run:
        return Sweep(made, len(made.fail), doing, doing, dry_run, trouble)
    failed = sum(_fail(instance, run_id, problem) for run_id, problem in made.fail.items())
    for run_id, problem in made.explain.items():
        _explain(instance, run_id, problem)
    single_jobs, single_pods = made.jobs[:SINGLE_DELETES], made.pods[:SINGLE_DELETES]
    try:
        if made.runs:
            cluster.delete_jobs_of(made.runs)
        for name in single_jobs:
            cluster.delete_job(name)
        for name in single_pods:
            cluster.delete_pod(name)
    except InstanceError as error:
        return Sweep(made, failed, 0, doing, dry_run, str(error))
    done = len(made.runs) + len(single_jobs) + len(single_pods)
    return Sweep(made, failed, done, doing - done, dry_run, trouble)


def _events(cluster: Cluster) -> tuple[list[dict[str, Any]], str | None]:
    """Read why pods were refused; a Role of before this was asked must not stop the sweep."""
    try:
        return cluster.refusals(), None
    except InstanceError as error:
        return [], str(error)


def known_runs(instance: DagsterInstance, run_ids: Sequence[str]) -> dict[str, logic.Run]:
    """Look up runs in Dagster.

    Args:
        instance: knows the runs.
        run_ids: the ids; those that Dagster does not know are left out.

    Returns:
        Id -> the run.
    """
    found = {}
    for first in range(0, len(run_ids), RUNS_A_QUERY):
        chosen = RunsFilter(run_ids=list(run_ids[first : first + RUNS_A_QUERY]))
        for record in instance.get_run_records(chosen):
            over = record.dagster_run.is_finished
            ended = record.end_time and datetime.fromtimestamp(record.end_time, timezone.utc)
            found[record.dagster_run.run_id] = logic.Run((ended or record.update_timestamp) if over else None)
    return found


def _fail(instance: DagsterInstance, run_id: str, problem: logic.Problem) -> bool:
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:  # it ended meanwhile
        return False
    if not problem.heals:
        instance.add_run_tags(run_id, NO_RETRY)
    instance.report_run_failed(run, f"{problem.reason}: {problem.sentence}")
    return True


def _explain(instance: DagsterInstance, run_id: str, problem: logic.Problem) -> None:
    """Add the reason to a run that failed before it was known."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is dg.DagsterRunStatus.FAILURE:
        instance.report_engine_event(f"What became of its pod: {problem.reason}: {problem.sentence}", run)


def sweep_as_configured(instance: DagsterInstance) -> Sweep:
    """Sweep the cluster that the environment names.

    Args:
        instance: knows the runs.

    Returns:
        What was found and done.

    Raises:
        InstanceError: no cluster is configured, or its API cannot be read.
    """
    settings = Settings.from_env()
    if settings.kube_namespace is None:
        raise InstanceError(
            "there is no cluster to sweep; set CRYPTO_ASSETS_KUBE_NAMESPACE to the namespace of the runs"
        )
    return sweep(instance, Cluster(settings.kube_namespace, settings.kube_selector), dry_run=settings.kube_dry_run)


def report(done: Sweep) -> tuple[dict[str, dg.MetadataValue], dg.AssetCheckEvaluation]:
    """Describe a sweep.

    Args:
        done: the sweep.

    Returns:
        The metadata of ``cluster_health``, and its check.
    """
    metadata: dict[str, dg.MetadataValue] = {
        "stuck": dg.MetadataValue.int(done.plan.stuck),
        "reasons": dg.MetadataValue.json(dict(done.plan.found)),
        "examples": dg.MetadataValue.json(done.plan.examples),
        "ending": dg.MetadataValue.int(len(done.plan.ending)),
        "ending_examples": dg.MetadataValue.json(list(done.plan.ending.values())[:EXAMPLES]),
        "ending_too_long": dg.MetadataValue.int(len(done.plan.lasting)),
        "seen": dg.MetadataValue.json(dict(done.plan.seen)),
        "failed_runs": dg.MetadataValue.int(done.failed),
        "deleted": dg.MetadataValue.int(done.deleted),
        "left": dg.MetadataValue.int(done.left),
        "dry_run": dg.MetadataValue.bool(done.dry_run),
    }
    severity = dg.AssetCheckSeverity.ERROR if done.left else dg.AssetCheckSeverity.WARN
    check = dg.AssetCheckEvaluation(
        asset_key=HEALTH,
        check_name=CHECK,
        passed=done.well,
        severity=severity,
        description=done.sentence(),
        metadata={"examples": dg.MetadataValue.json(done.plan.examples)},
    )
    return metadata, check


@dg.asset(
    key=HEALTH,
    group_name="cluster",
    kinds={"kubernetes"},
    owners=["team:market-data"],
    tags={"layer": "operations"},
    description="Jobs and pods of ours in the cluster: how many are stuck and why, and what the janitor did about them.",
    check_specs=[
        dg.AssetCheckSpec(
            CHECK, asset=HEALTH, description="No Job or pod of ours is stuck, left behind, or ends for ever."
        )
    ],
)
def cluster_health(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Sweep the cluster, and record the result."""
    metadata, check = report(sweep_as_configured(context.instance))
    result = dg.AssetCheckResult(
        passed=check.passed, check_name=CHECK, severity=check.severity, description=check.description
    )
    yield dg.MaterializeResult(metadata=metadata, check_results=[result])


sweep_cluster = dg.define_asset_job(
    "sweep_cluster",
    dg.AssetSelection.assets(HEALTH),
    executor_def=dg.in_process_executor,
    description="One sweep of the janitor as a run.",
)


@dg.schedule(
    job=sweep_cluster,
    cron_schedule="7 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def sweep_cluster_hourly() -> dg.RunRequest:
    """Proof by an ordinary run, once an hour, that a pod can be started here."""
    return dg.RunRequest(tags={"crypto_assets/reason": "cluster check: once an hour, that a pod can be started here"})


@dg.sensor(minimum_interval_seconds=EVERY_S, default_status=dg.DefaultSensorStatus.RUNNING)
def janitor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Sweep the cluster; report ``cluster_health`` when something was found or changed, or an hour has passed."""
    try:
        done = sweep_as_configured(context.instance)
    except CryptoAssetsError as error:
        raise dg.Failure(str(error)) from error
    last = json.loads(context.cursor or "{}")
    now = datetime.now(timezone.utc)
    quiet = last.get("counts") == done.counts and now.timestamp() - last.get("at", 0) < SAY_AGAIN.total_seconds()
    if quiet and not done.plan.stuck:
        return dg.SensorResult(skip_reason=done.sentence(), cursor=context.cursor)
    metadata, check = report(done)
    return dg.SensorResult(
        asset_events=[dg.AssetMaterialization(HEALTH, metadata=metadata), check],
        cursor=json.dumps({"counts": done.counts, "at": now.timestamp()}),
    )


ASSETS = [cluster_health]
JOBS = [sweep_cluster]
SCHEDULES = [sweep_cluster_hourly]
SENSORS = [janitor]
