"""The rules of each kind of repair: order, size and number of runs, attempts, tags, priority."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Order = Literal["graph", "oldest", "newest"]


@dataclass(frozen=True)
class Retry:
    """How often the same run may be requested. Each pause is twice as long as the one before.

    Attributes:
        most: Attempts at most; None: no limit.
        first_pause: The pause after the first attempt.
        longest_pause: No pause is longer.
        within: Older attempts do not count; None: all attempts count.
    """

    most: int | None = None
    first_pause: timedelta = timedelta(0)
    longest_pause: timedelta = timedelta(days=1)
    within: timedelta | None = None

    def pause(self, attempts: int) -> timedelta:
        """Return how long after the newest of this many attempts the next one may follow."""
        return min(self.longest_pause, self.first_pause * 2 ** min(attempts - 1, 30)) if attempts else timedelta(0)


@dataclass(frozen=True)
class Rules:
    """How the planner makes runs of the wanted days of one kind of repair.

    Attributes:
        name: The name of the kind; a part of the hash by which attempts are counted.
        order: ``graph``: one table a run, inputs first. ``oldest``, ``newest``: days of the same tables are one
            run, the oldest or the newest first.
        retry: How often the same run is requested.
        most_runs: Runs that one tick requests at most; None: all.
        most_days: Days of one run at most; None: only the limits of the tables apply.
        tag: The run tag of the kind. ``dagster.yaml`` limits concurrent runs of two of these tags.
        tag_is_cause: Whether the value of the tag is the cause (the id of a run), and not ``true``.
        priority: Priority of the first run in Dagster's queue; each further run has one less.
        yields: Whether days that a run under way will materialise are left to that run. A command does not yield,
            because its report covers these days.
        job: While a run of this job has not ended, a tick requests nothing; None: runs with ``tag`` count instead.
    """

    name: str
    order: Order
    retry: Retry = Retry()
    most_runs: int | None = None
    most_days: int | None = None
    tag: str | None = None
    tag_is_cause: bool = False
    priority: int = 0
    yields: bool = True
    job: str | None = None


# dagster.yaml runs these one at a time, so that one tick can request the runs of all tables down the graph.
LATE_VALUES = Rules(
    "late values",
    "graph",
    Retry(most=3),  # for the same change; then a person must repair it
    most_runs=12,
    tag="crypto_assets/late_values",
    priority=-1,  # after the ticks
)
# Four attempts a day: a day that always fails must not use up the budget of calls.
REFILL = Rules(
    "refill",
    "newest",
    Retry(most=4, first_pause=timedelta(minutes=15), within=timedelta(days=1)),
    most_runs=4,
    tag="crypto_assets/refill",
    priority=-5,  # after the ticks
    job="refill",
)
REST_OF_RUN = Rules(
    "rest of a failed run",
    "oldest",
    Retry(most=1),
    tag="crypto_assets/rest_of",
    tag_is_cause=True,
    priority=10,  # no provider is called, and readers wait for the features
)
MODEL_IS_BACK = Rules(
    "model is back",
    "newest",
    Retry(first_pause=timedelta(seconds=120), longest_pause=timedelta(hours=1)),
    most_runs=3,
    most_days=31,
    job="reanalyse",
)
COMMAND = Rules("command", "oldest", yields=False)
HEALING = Rules("healing", "graph", yields=False)  # days that the runs of a command made stale
