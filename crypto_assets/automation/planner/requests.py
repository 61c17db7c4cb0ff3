"""Planned runs as Dagster takes them. No other module makes a run request for a repair; a test looks."""

from __future__ import annotations

from dagster import AssetKey, RunRequest

from crypto_assets.assets.run_tags import REASON, REPAIR
from crypto_assets.assets.shell import COINS_TAG
from crypto_assets.automation.planner.plan import PlannedRun
from crypto_assets.automation.planner.rules import Rules
from crypto_assets.checks.shells import RANGE

PRIORITY = "dagster/priority"


def tags_of(run: PlannedRun, rules: Rules) -> dict[str, str]:
    """The tags of a run: its days and coins, why it started, and by what its attempts are counted."""
    tags = {
        RANGE[0]: run.first.isoformat(),
        RANGE[1]: run.last.isoformat(),
        REASON: run.reason,
        REPAIR: run.digest,
    }
    if run.coins:
        tags[COINS_TAG] = ",".join(run.coins)
    if rules.tag is not None:
        tags[rules.tag] = run.cause if rules.tag_is_cause else "true"
    return tags


def requests(runs: list[PlannedRun], rules: Rules) -> list[RunRequest]:
    """One request a run. Those that should begin first have the higher priority in Dagster's queue.

    The key holds the attempt: a tick that is evaluated twice starts nothing twice, and a later attempt is a new run.
    """
    return [
        RunRequest(
            run_key=f"{run.digest}-{run.attempt}",
            asset_selection=[AssetKey(table) for table in run.tables],
            tags={**tags_of(run, rules), PRIORITY: str(rules.priority - number)},
        )
        for number, run in enumerate(runs)
    ]
