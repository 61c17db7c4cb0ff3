"""How the wanted_days of each kind of repair become runs: order, size, how many a tick, how often, with which tags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Order = Literal["graph", "oldest", "newest"]


@dataclass(frozen=True)
class Retry:
    """How often the same run may be asked for again; each pause is twice the one before."""

    most: int | None = None  # attempts; None: no limit
    first_pause: timedelta = timedelta(0)
    longest_pause: timedelta = timedelta(days=1)
    within: timedelta | None = None  # attempts longer ago do not count; None: all count

    def pause(self, attempts: int) -> timedelta:
        """How long after the newest of this many attempts the next may follow."""
        return min(self.longest_pause, self.first_pause * 2 ** min(attempts - 1, 30)) if attempts else timedelta(0)


@dataclass(frozen=True)
class Rules:
    """How the wanted_days of one kind of repair become runs.

    Attributes:
        name: Of the kind; a part of what attempts are counted by.
        order: ``graph``: one table a run, inputs first. ``oldest``, ``newest``: days that want the same tables go
            together, the oldest or the newest first.
        retry: How often the same run is asked for.
        most_runs: Runs of one tick at most; None: all.
        most_days: Days of one run at most, where the kind bounds them more than the tables do.
        tag: Run tag of the kind. ``dagster.yaml`` limits two of them.
        tag_is_cause: The tag's value is the cause (a run's id), not ``true``.
        priority: Of the first run in Dagster's queue; each further one has one less.
        yields: Days that a run under way will materialise are left to it. A command does not yield: who types it wants
            these days now, and its report answers for them.
        job: The job whose unfinished runs hold up the next tick; None: runs that bear ``tag`` do.
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


# Runs wait for one another (dagster.yaml limits the tag), so that one tick is enough for the whole way down the graph.
LATE_VALUES = Rules(
    "late values",
    "graph",
    Retry(most=3),  # at the same change; then a person must look
    most_runs=12,
    tag="crypto_assets/late_values",
    priority=-1,  # after what ticks fetch
)
# Four attempts a day: what cannot heal must not eat the provider's budget.
REFILL = Rules(
    "refill",
    "newest",
    Retry(most=4, first_pause=timedelta(minutes=15), within=timedelta(days=1)),
    most_runs=4,
    tag="crypto_assets/refill",
    priority=-5,  # ticks go first
    job="refill",
)
REST_OF_RUN = Rules(
    "rest of a failed run",
    "oldest",
    Retry(most=1),
    tag="crypto_assets/rest_of",
    tag_is_cause=True,
    priority=10,  # no provider is asked, and readers wait for the features
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
HEALING = Rules("healing", "graph", yields=False)  # what a command's own runs made stale
