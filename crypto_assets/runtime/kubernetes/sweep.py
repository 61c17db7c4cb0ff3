"""Plan what to do about a cluster's Jobs and pods, from the API's lists and Dagster's runs. Pure, without clock.

All objects here have our label, and only they are in the plan. A Job is dead when its run is over and the Job is not,
when it can never do its work, or when it has been over for too long. A Job that may still work is never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crypto_assets.runtime.kubernetes import diagnosis
from crypto_assets.runtime.kubernetes.diagnosis import Problem

Object = Mapping[str, Any]
RUN_LABEL, JOB_LABEL = "dagster/run-id", "job-name"


@dataclass(frozen=True)
class Rules:
    """How long to wait before a state is trusted."""

    start: timedelta = timedelta(minutes=5)  # a pod may take this long to start
    settle: timedelta = timedelta(minutes=1)  # the last events of a run and the end of its Job may be this far apart
    keep: timedelta = timedelta(hours=1)  # a finished Job is kept this long, so that its log can be read


@dataclass(frozen=True)
class Run:
    """What Dagster knows of a run. ``ended``: when it finished; None while it goes on."""

    ended: datetime | None


@dataclass
class Plan:
    """What to do: fail runs, and delete Jobs and pods.

    ``fail`` maps runs to their problems. All Jobs of ``runs`` are deleted. ``jobs`` and ``pods`` are single ones, by
    name.
    """

    fail: dict[str, Problem] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    pods: list[str] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)  # reason -> Jobs and pods
    examples: dict[str, str] = field(default_factory=dict)  # reason -> a sentence about one of them
    seen: Counter[str] = field(default_factory=Counter)  # jobs, pods, active, unknown

    @property
    def stuck(self) -> int:
        """The number of Jobs and pods with a problem."""
        return sum(self.found.values())

    def note(self, name: str, problem: Problem) -> None:
        """Count a problem, and keep the first example of its reason.

        Args:
            name: the Job or pod.
            problem: what is wrong with it.
        """
        self.found[problem.reason] += 1
        self.examples.setdefault(problem.reason, f"{name}: {problem.sentence}")


def plan(
    jobs: Sequence[Object], pods: Sequence[Object], runs: Mapping[str, Run], now: datetime, rules: Rules | None = None
) -> Plan:
    """Find what is dead, and what its run should report.

    Args:
        jobs: our Jobs.
        pods: our pods.
        runs: id -> run, for those that Dagster knows.
        now: the current time, UTC.
        rules: how long to wait; by default those of :class:`Rules`.

    Returns:
        The plan.
    """
    rules = rules or Rules()
    made = Plan(seen=Counter(jobs=len(jobs), pods=len(pods)))
    of_job: dict[str, list[Object]] = {}
    for pod in pods:
        of_job.setdefault(_labels(pod).get(JOB_LABEL, ""), []).append(pod)
    doomed: set[str] = set()
    for job in jobs:
        if _judge_job(made, job, of_job.pop(_name(job), []), runs, now, rules):
            doomed.add(_name(job))
    for left in of_job.values():
        for pod in left:
            _judge_pod(made, pod, runs, now, rules)
    _group(made, jobs, doomed, runs)
    return made


def _judge_job(
    made: Plan, job: Object, pods: Sequence[Object], runs: Mapping[str, Run], now: datetime, rules: Rules
) -> bool:
    """Whether this Job is dead. Also notes what is wrong with it, and the run that it fails."""
    run_id = _labels(job).get(RUN_LABEL)
    run = runs.get(run_id) if run_id else None
    finished = diagnosis.finished_at(job)
    made.seen["active"] += finished is None
    made.seen["unknown"] += run is None
    problem = _problem(job, pods, finished, now, rules)
    ended = run.ended if run is not None else None
    past = finished is not None and now - finished > rules.keep
    if run is not None and ended is None:
        if problem is None and finished is not None and now - finished > rules.settle:
            problem = Problem("Orphaned", "its Job is over but the run did not say how it ended", True)
        if problem is None or (problem.reason == "Error" and finished is None):
            return False
        made.note(_name(job), problem)
        if (run_id is not None and _labels(job).get("app.kubernetes.io/component") != "step_worker") or (
            run_id is not None and finished is None
        ):
            made.fail.setdefault(run_id, problem)
        else:
            return past  # a failed step: the process of the run sees it and reports it
        return True
    if problem is not None and problem.reason != "Error":
        made.note(_name(job), problem)
        return run is not None or run_id is not None or past
    if finished is None and ended is not None and now - ended > rules.settle:
        made.note(_name(job), Problem("LeftBehind", "its run is over, but its Job is not", True))
        return True
    if past:
        made.note(_name(job), Problem("PastItsTime", "it finished long ago and nothing removed it", True))
    return past


def _problem(
    job: Object, pods: Sequence[Object], finished: datetime | None, now: datetime, rules: Rules
) -> Problem | None:
    for pod in pods:
        found = diagnosis.of_pod(pod, now, rules.start.total_seconds())
        if found is not None:
            return found
    return diagnosis.of_job(job) if finished is not None else None


def _judge_pod(made: Plan, pod: Object, runs: Mapping[str, Run], now: datetime, rules: Rules) -> None:
    """Judge a pod without a Job in the list: it belongs to a service, or a deleted Job left it behind."""
    problem = diagnosis.of_pod(pod, now, rules.start.total_seconds())
    run_id = _labels(pod).get(RUN_LABEL)
    over = (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")
    if run_id is not None:
        run = runs.get(run_id)
        ended = run.ended if run is not None else None
        if over or problem is not None or (ended is not None and now - ended > rules.settle):
            made.note(_name(pod), problem or Problem("LeftBehind", "its Job is gone", True))
            made.pods.append(_name(pod))
        return
    if problem is not None:  # a service: its controller makes another pod; a person must repair what cannot start
        made.note(_name(pod), problem)
    if over and pod["metadata"].get("ownerReferences"):
        made.pods.append(_name(pod))


def _group(made: Plan, jobs: Sequence[Object], doomed: set[str], runs: Mapping[str, Run]) -> None:
    """Delete whole runs together, many per call; of a run with a Job that may still work, delete single objects."""
    by_run: dict[str | None, list[str]] = {}
    for job in jobs:
        by_run.setdefault(_labels(job).get(RUN_LABEL), []).append(_name(job))
    for run_id, names in by_run.items():
        dead = [name for name in names if name in doomed]
        if run_id is not None and (run_id in made.fail or (dead and len(dead) == len(names) and _over(run_id, runs))):
            made.runs.append(run_id)
        else:
            made.jobs += dead


def _over(run_id: str, runs: Mapping[str, Run]) -> bool:
    return run_id not in runs or runs[run_id].ended is not None


def _name(found: Object) -> str:
    return str(found["metadata"]["name"])


def _labels(found: Object) -> Mapping[str, str]:
    return found["metadata"].get("labels") or {}
