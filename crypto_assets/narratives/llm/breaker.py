"""The circuit breaker: a server that fails in a row is left alone, tried once after a pause, and given up after a few.

It also judges whose fault a failure was: what fails while nothing else succeeds is the server's, not the article's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

THRESHOLD = 5.0
# A time-out costs minutes; a wrong answer shows that at least something answers.
WEIGHTS = {"timeout": 2.0, "invalid": 0.5, "refused": 0.5, "unavailable": 1.0}
PAUSES_S = (1.0, 3.0, 10.0)


@dataclass
class Breaker:
    """Closed: calls go through. Open: nobody calls until :meth:`recover` says so. Dead: nobody calls any more."""

    pauses_s: tuple[float, ...] = PAUSES_S
    dead: bool = False
    reason: str = ""
    _weight: float = 0.0
    _reopened: int = 0
    _streak: list[Hashable] = field(default_factory=list)
    forgiven: set[Hashable] = field(default_factory=set)  # failures that were the server's
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def open(self) -> bool:
        return self.dead or self._weight >= THRESHOLD

    def succeeded(self) -> None:
        self._weight, self._reopened = 0.0, 0
        self._streak.clear()

    def failed(self, what: Hashable, status: str, reason: str) -> None:
        self._weight += WEIGHTS[status]
        self._streak.append(what)
        self.reason = reason
        if self.open:
            self.forgiven.update(self._streak)
            self._streak.clear()

    def trip(self, what: Hashable, reason: str) -> None:
        """The server is away altogether: open at once."""
        self._weight = THRESHOLD
        self.failed(what, "unavailable", reason)

    def give_up(self, reason: str) -> None:
        self.dead, self.reason = True, reason

    async def recover(self, probe: Callable[[], Awaitable[object]]) -> bool:
        """Wait, then ask whether anyone is there. True: one call may be tried; a failure of it opens the breaker again."""
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
