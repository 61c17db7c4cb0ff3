"""Say at once that a request waits: for what, why, and when it goes on. Not more often than a person can read."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

Say = Callable[[str], None]

QUIET_S = 5.0  # between two messages about one provider; what comes meanwhile is counted
WORTH_SAYING_S = 2.0  # a shorter wait for a turn is the usual pace


class Waits:
    """Messages about waiting requests, one provider at a time.

    The first wait is said at once. Forty requests that wait for the same thing are one message and a count.
    """

    def __init__(self, say: Say | None) -> None:
        self._say = say
        self._quiet_until: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def retry(self, provider: str, where: str, why: str, attempt: int, attempts: int, seconds: float) -> None:
        """A request failed and is sent again.

        Args:
            provider: the provider.
            where: the provider, path and subject.
            why: what went wrong.
            attempt: the number of the attempt that failed.
            attempts: how many are made at most.
            seconds: until the next one.
        """
        self._report(provider, f"{where}: {why}; attempt {attempt + 1} of {attempts} {_when(seconds)}")

    def turn(self, provider: str, calls: int, window: float, seconds: float) -> None:
        """A request waits for its turn under a limit.

        Args:
            provider: the provider.
            calls: how many calls the limit allows.
            window: in how many seconds.
            seconds: until its turn.
        """
        if seconds >= WORTH_SAYING_S:
            limit = f"the limit is {calls} call(s) in {window:g} s"
            self._report(provider, f"{provider}: {limit}; the next call goes {_when(seconds)}")

    def _report(self, provider: str, text: str) -> None:
        if self._say is None:
            return
        now = time.monotonic()
        if now < self._quiet_until.get(provider, 0.0):
            self._unsaid[provider] = self._unsaid.get(provider, 0) + 1
            return
        more = self._unsaid.pop(provider, 0)
        self._quiet_until[provider] = now + QUIET_S
        self._say(text + (f" ({more} other wait(s) since the last message)" if more else ""))


def _when(seconds: float) -> str:
    at = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return f"in {seconds:.0f} s, at {at:%H:%M:%S} UTC" if seconds >= 1 else "at once"
