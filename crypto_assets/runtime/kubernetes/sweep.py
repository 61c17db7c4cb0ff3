"""Plan what to do about a cluster's Jobs and pods, from the API's lists and Dagster's runs. Pure, without clock.

All objects here have our label. Those of a run that Dagster does not know here, or with the label of another
installation, are another installation's: counted, and never touched. Of ours a Job is dead when its run is over and the
Job is not, when it can never do its work, or when it has been over for too long. A Job that may still work is never
touched, and what is being deleted is never deleted again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crypto_assets.runtime.kubernetes import diagnosis, ending
from crypto_assets.runtime.kubernetes.diagnosis import Problem

Object = Mapping[str, Any]
RUN_LABEL, JOB_LABEL = "dagster/run-id", "job-name"
INSTALLATION_LABEL = "crypto-assets/installation"


@dataclass(frozen=True)
class Rules:
    """How long to wait before a state is trusted."""

    start: timedelta = timedelta(minutes=5)  # a pod may take this long to start
    settle: timedelta = timedelta(minutes=1)  # the last events of a run and the end of its Job may be this far apart
    keep: timedelta = timedelta(hours=1)  # a finished Job is kept this long, so that its log can be read
    ending: timedelta = timedelta(minutes=15)  # a deletion may take this long; a grace is one minute


@dataclass(frozen=True)
class Run:
    """What Dagster knows of a run. ``ended``: when it finished; None while it goes on."""

    ended: datetime | None


@dataclass
class Plan:
    """What to do: fail runs, and delete Jobs and pods.

    ``fail`` maps runs to their problems, ``explain`` runs that ended before the reason was known: a process that is asked
    to end reports an interrupt, and nobody tells it why. All Jobs of ``runs`` are deleted. ``jobs`` and ``pods`` are single ones, by
    name.
    """

    fail: dict[str, Problem] = field(default_factory=dict)
    explain: dict[str, Problem] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    pods: list[str] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)  # reason -> Jobs and pods
    examples: dict[str, str] = field(default_factory=dict)  # reason -> a sentence about one of them
    seen: Counter[str] = field(default_factory=Counter)  # jobs, pods, active, other (of another installation)
    ending: dict[str, str] = field(default_factory=dict)  # what is being deleted -> a sentence about it
    lasting: list[str] = field(default_factory=list)  # of these, what has been so for too long

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
    jobs: Sequence[Object],
    pods: Sequence[Object],
    runs: Mapping[str, Run],
    now: datetime,
    rules: Rules | None = None,
    *,
    events: Sequence[Object] = (),
    installation: str | None = None,
) -> Plan:
    """Find what is dead, and what its run should report.

    Args:
        jobs: our Jobs.
        pods: our pods.
        runs: id -> run, for those that Dagster knows.
        now: the current time, UTC.
        rules: how long to wait; by default those of :class:`Rules`.
        events: why pods were refused; see :func:`needs_events`.
        installation: the id of this installation; None: only the runs tell what is ours.

    Returns:
        The plan.
    """
    rules = rules or Rules()
    made = Plan(seen=Counter(jobs=len(jobs), pods=len(pods)))
    judged = {_name(job): _is_ours(job, runs, installation) for job in jobs}
    ours = [job for job in jobs if judged[_name(job)]]  # and a pod belongs to whoever has its Job
    own_pods = [p for p in pods if judged.get(_labels(p).get(JOB_LABEL, ""), _is_ours(p, runs, installation))]
    made.seen["other"] = len(jobs) + len(pods) - len(ours) - len(own_pods)
    for found in [*ours, *own_pods]:
        _note_ending(made, found, now, rules)
    by_job = _by_job(own_pods)
    doomed: set[str] = set()
    for job in ours:
        of_job = by_job.pop(_name(job), [])
        problem = diagnosis.of_work(job, of_job, events, now, rules.start.total_seconds())
        if _judge_job(made, job, problem, runs, now, rules):
            doomed.add(_name(job))
    for left in by_job.values():
        for pod in left:
            _judge_pod(made, pod, runs, now, rules)
    _group(made, ours, doomed, runs)
    return made


def needs_events(jobs: Sequence[Object], pods: Sequence[Object]) -> bool:
    """Whether a Job that goes on has no pod, so that only events can say why."""
    with_pods = _by_job(pods).keys()
    waits = (_name(job) not in with_pods and diagnosis.finished_at(job) is None for job in jobs)
    return any(waits)


def _by_job(pods: Sequence[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in pods:
        found.setdefault(_labels(pod).get(JOB_LABEL, ""), []).append(pod)
    return found


def _is_ours(found: Object, runs: Mapping[str, Run], installation: str | None) -> bool:
    """Whether this installation may judge an object: its own label, or none, on a run that its database knows.

    What has no run is a service, or a Job of the manifests: it is judged, and a Job of it is never deleted.
    """
    labels = _labels(found)
    label, run_id = labels.get(INSTALLATION_LABEL), labels.get(RUN_LABEL)
    if run_id is not None and run_id not in runs:
        return False
    return label is None or installation is None or label == installation


def _note_ending(made: Plan, found: Object, now: datetime, rules: Rules) -> None:
    since = ending.since(found)
    if since is None:
        return
    made.ending[_name(found)] = f"{_name(found)}: {ending.sentence(found, now)}"
    if now - since > rules.ending:
        made.lasting.append(_name(found))


def _judge_job(
    made: Plan, job: Object, problem: Problem | None, runs: Mapping[str, Run], now: datetime, rules: Rules
) -> bool:
    """Whether this Job is dead. Also notes what is wrong with it, and the run that it fails."""
    run_id = _labels(job).get(RUN_LABEL)
    finished = diagnosis.finished_at(job)
    made.seen["active"] += finished is None
    past = finished is not None and now - finished > rules.keep
    if run_id is None:  # of the manifests, e.g. the migration: whoever applied it deletes it
        if problem is not None and problem.reason != "Error":
            made.note(_name(job), problem)
        return False
    ended = runs[run_id].ended
    if ended is None:
        return _judge_job_of_open_run(made, job, run_id, problem, now, rules)
    if diagnosis.deleted_at(job) is not None:
        return False
    if problem is not None and problem.reason != "Error":
        made.note(_name(job), problem)
        made.explain.setdefault(run_id, problem)  # once: its Job goes now
        return True
    if finished is None and now - ended > rules.settle:
        made.note(_name(job), Problem("LeftBehind", "its run is over, but its Job is not", True))
        return True
    if past:
        made.note(_name(job), Problem("PastItsTime", "it finished long ago and nothing removed it", True))
    return past


def _judge_job_of_open_run(
    made: Plan, job: Object, run_id: str, problem: Problem | None, now: datetime, rules: Rules
) -> bool:
    finished = diagnosis.finished_at(job)
    if problem is None and finished is not None and now - finished > rules.settle:
        problem = Problem("Orphaned", "its Job is over but the run did not say how it ended", True)
    if problem is None or (problem.reason == "Error" and finished is None):
        return False
    made.note(_name(job), problem)
    if not problem.ends_run:
        return False
    if _labels(job).get("app.kubernetes.io/component") == "step_worker" and finished is not None:
        return now - finished > rules.keep  # a failed step: the process of the run sees it and reports it
    made.fail.setdefault(run_id, problem)
    return True


def _judge_pod(made: Plan, pod: Object, runs: Mapping[str, Run], now: datetime, rules: Rules) -> None:
    """Judge a pod without a Job in the list: it belongs to a service, or a deleted Job left it behind."""
    if diagnosis.deleted_at(pod) is not None:
        return
    problem = diagnosis.of_pod(pod, now, rules.start.total_seconds())
    run_id = _labels(pod).get(RUN_LABEL)
    over = (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")
    if run_id is not None:
        ended = runs[run_id].ended
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
    by_run: dict[str, list[str]] = {}
    for job in jobs:
        run_id = _labels(job).get(RUN_LABEL)
        if run_id is not None and diagnosis.deleted_at(job) is None:
            by_run.setdefault(run_id, []).append(_name(job))
    for run_id, names in by_run.items():
        dead = [name for name in names if name in doomed]
        if run_id in made.fail or (dead and len(dead) == len(names) and runs[run_id].ended is not None):
            made.runs.append(run_id)
        else:
            made.jobs += dead


def _name(found: Object) -> str:
    return str(found["metadata"]["name"])


def _labels(found: Object) -> Mapping[str, str]:
    return found["metadata"].get("labels") or {}
