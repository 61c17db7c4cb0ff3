"""One planner: no other module makes a run for a repair, and every run that starts by itself says why."""

from __future__ import annotations

import ast
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

import crypto_assets
from crypto_assets.assets.run_tags import REASON
from crypto_assets.definitions import defs
from crypto_assets.runtime.kubernetes.janitor import sweep_cluster_hourly

ROOT = Path(crypto_assets.__file__).parent
PLANNER = "automation/planner/requests.py"
# What starts runs beside it, and repairs nothing: ticks, checks, retention, the copy for readers, the cluster's check.
BY_THE_CLOCK = {
    "automation/schedules.py",
    "automation/checks_only.py",
    "automation/tidy.py",
    "serving/online_asset.py",
    "runtime/kubernetes/janitor.py",
}
SCHEDULES = [schedule.name for schedule in defs.get_repository_def().schedule_defs]


def calls(name: str) -> dict[str, list[ast.Call]]:
    """File -> the calls in it of a function or method of this name."""
    found: dict[str, list[ast.Call]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
                found.setdefault(str(path.relative_to(ROOT)), []).append(node)
    return found


def test_only_the_planner_makes_run_requests_for_repairs() -> None:
    found = calls("RunRequest")
    assert set(found) == {PLANNER, *BY_THE_CLOCK}, "a repair hands its wanted_days to automation/planner instead"
    for path in BY_THE_CLOCK:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "partition_range" not in text, path
        assert "RANGE[" not in text, f"{path} makes a run over a range of days: hand wanted_days to the planner"
        for call in found[path]:
            named = {keyword.arg for keyword in call.keywords}
            assert "asset_selection" not in named or path == "automation/schedules.py", path


def test_only_the_planner_cuts_ranges_and_counts_attempts() -> None:
    assert {path for path in calls("chunks") if path.startswith(("automation/", "operate/"))} == {
        "automation/planner/plan.py",
        "automation/dry_run.py",  # of its own comparison, not of runs
        "operate/dataset.py",  # of what it reads
    }
    assert {path for path in calls("attempts") if path.startswith(("automation/", "operate/"))} == {
        "automation/repair.py"
    }
    for size in (
        "days_at_most",
        "days_in_memory",
    ):  # the asset's own backfill policy is Dagster's chunk, by the same rule
        assert set(calls(size)) <= {"automation/planner/specs.py", "assets/shell.py"}, size


def test_only_the_command_executes_runs_itself() -> None:
    assert set(calls("execute_in_process")) == {"operate/runs.py"}
    executed = calls("execute")
    assert {path for path, found in executed.items() if any("runs.execute" in ast.unparse(call) for call in found)} == {
        "operate/backfill.py"
    }
    for call in executed["operate/backfill.py"]:
        assert "tags_of(run, rules)" in ast.unparse(call), "the run comes from the planner and bears its reason"


def test_every_request_and_schedule_says_why() -> None:
    for name in ("RunRequest", "ScheduleDefinition"):
        for path, found in calls(name).items():
            for call in found:
                tags = next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "tags"), "")
                assert any(how in tags for how in ("reason_tags(", "tags_of(", REASON)), f"{path}: {ast.unparse(call)}"


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "refill_gaps"])  # it has a test of its own
def test_a_tick_says_why(schedule: str, instance: DagsterInstance) -> None:
    now = datetime(2024, 5, 4, 10, 15, tzinfo=timezone.utc)
    repository = defs.get_repository_def()
    with dg.build_schedule_context(instance, scheduled_execution_time=now, repository_def=repository) as context:
        (request,) = defs.resolve_schedule_def(schedule).evaluate_tick(context).run_requests or []
    assert len(request.tags[REASON].split()) > 4, "a sentence, not a word"


def test_so_does_the_cluster() -> None:
    request = sweep_cluster_hourly()
    assert isinstance(request, dg.RunRequest)
    assert len(request.tags[REASON].split()) > 4
