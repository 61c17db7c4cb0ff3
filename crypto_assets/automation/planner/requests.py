"""Dagster's run requests for planned runs. No other module makes a run request for a repair; a test looks."""

from __future__ import annotations

from dagster import AssetKey, RunRequest

from crypto_assets.assets.run_tags import REASON, REPAIR
from crypto_assets.assets.shell import COINS_TAG
from crypto_assets.automation.planner.plan import PlannedRun
from crypto_assets.automation.planner.rules import Rules
from crypto_assets.checks.shells import RANGE

PRIORITY = "dagster/priority"


def tags_of(run: PlannedRun, rules: Rules) -> dict[str, str]:
    """Return the tags of a run: its days and coins, its reason, and the hash by which attempts are counted."""
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
    """Build one request per run.

    The run key contains the number of the attempt. So a tick that is evaluated twice starts no run twice, and a later
    attempt is a new run.

    Args:
        runs: In the order in which they should begin; earlier runs get a higher priority in Dagster's queue.
        rules: The rules of the repair.

    Returns:
        The requests.
    """
    return [
        RunRequest(
            run_key=f"{run.digest}-{run.attempt}",
            asset_selection=[AssetKey(table) for table in run.tables],
            tags={**tags_of(run, rules), PRIORITY: str(rules.priority - number)},
        )
        for number, run in enumerate(runs)
    ]
