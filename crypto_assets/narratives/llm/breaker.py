"""The circuit breaker: after several failures in a row a server is not asked, then tried again, and finally given up.

It also decides whose fault a failure was. A failure while no call succeeds is the server's fault, not the article's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

THRESHOLD = 5.0
# A time-out costs minutes. A wrong answer shows that the server at least answers.
WEIGHTS = {"timeout": 2.0, "invalid": 0.5, "refused": 0.5, "unavailable": 1.0}
PAUSES_S = (1.0, 3.0, 10.0)


@dataclass
class Breaker:
    """Closed: calls go through. Open: no calls until :meth:`recover` returns True. Dead: no calls any more."""

    pauses_s: tuple[float, ...] = PAUSES_S
    dead: bool = False
    reason: str = ""
    _weight: float = 0.0
    _reopened: int = 0
    _streak: list[Hashable] = field(default_factory=list)
    forgiven: set[Hashable] = field(default_factory=set)  # failures that were the server's fault
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def open(self) -> bool:
        """Whether calls must wait."""
        return self.dead or self._weight >= THRESHOLD

    def succeeded(self) -> None:
        """Record a good answer: the count of failures starts again."""
        self._weight, self._reopened = 0.0, 0
        self._streak.clear()

    def failed(self, what: Hashable, status: str, reason: str) -> None:
        """Record a failure. The failures that open the breaker are the server's fault (``forgiven``).

        Args:
            what: the text that was asked about.
            status: the status of the analysis; it decides how much the failure weighs.
            reason: why the call failed.
        """
        self._weight += WEIGHTS[status]
        self._streak.append(what)
        self.reason = reason
        if self.open:
            self.forgiven.update(self._streak)
            self._streak.clear()

    def trip(self, what: Hashable, reason: str) -> None:
        """Open at once, because the server cannot be reached.

        Args:
            what: the text that was asked about.
            reason: why the call failed.
        """
        self._weight = THRESHOLD
        self.failed(what, "unavailable", reason)

    async def recover(self, probe: Callable[[], Awaitable[object]]) -> bool:
        """Wait, then probe the server.

        Args:
            probe: asks whether the server is there; raises if not.

        Returns:
            True where one call may be tried; if it fails, the breaker opens again.
        """
        if self.dead or self._reopened >= len(self.pauses_s):
            self.dead = True
            return False
        await asyncio.sleep(self.pauses_s[self._reopened])
        self._reopened += 1
        try:
            await probe()
        except Exception as error:
            self.reason = str(error)
            return False
        self._weight = THRESHOLD - min(WEIGHTS.values())
        return True
