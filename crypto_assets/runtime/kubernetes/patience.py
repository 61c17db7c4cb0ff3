"""How long the cluster may leave a question about a run unanswered before the run counts as failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Unanswered:
    """Questions about one run without an answer, one after the other.

    Attributes:
        since: when the first was asked, UTC.
        times: how many there were.
        over: whether the patience ended.
    """

    since: datetime
    times: int
    over: bool


class Patience:
    """Counts unanswered questions by run. One process asks them: the daemon's run monitoring."""

    def __init__(self, limit: timedelta) -> None:
        self.limit = limit
        self._open: dict[str, Unanswered] = {}

    def unanswered(self, run_id: str, now: datetime) -> Unanswered:
        """Count a question without an answer.

        Args:
            run_id: the run that it was about.
            now: the current time, UTC.

        Returns:
            All of them since the last answer.
        """
        before = self._open.get(run_id)
        since = before.since if before else now
        found = Unanswered(since, before.times + 1 if before else 1, now - since > self.limit)
        self._open[run_id] = found
        return found

    def answered(self, run_id: str) -> Unanswered | None:
        """Forget the questions about a run, because it had an answer.

        Args:
            run_id: the run.

        Returns:
            What was forgotten; None if every question had its answer.
        """
        return self._open.pop(run_id, None)
