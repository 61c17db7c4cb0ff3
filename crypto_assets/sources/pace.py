"""Waiting for one's turn: an even pace under a limit, booked a few calls ahead so that the book is not asked each time."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from crypto_assets.sources.book import Book
from crypto_assets.sources.limits import Limit

AHEAD_S = 0.25  # of calls booked at once: few enough that two processes share fairly
STALE_S = 2.0  # a turn that was not taken for so long is given back: turns must not pile up into a burst


class Pace:
    """Turns under one limit for the concurrent requests of one event loop."""

    def __init__(self, limit: Limit, book: Book) -> None:
        self.limit = limit
        self._book = book
        self._turns: deque[float] = deque()
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Returns when the next call may start. Raises :class:`~crypto_assets.sources.book.BudgetError`."""
        async with self._lock:
            await self._drop_stale()
            if not self._turns:
                count = max(1, int(self.limit.calls / self.limit.seconds * AHEAD_S))
                waits = await asyncio.to_thread(self._book.reserve, self.limit, min(count, 25))
                now = time.monotonic()
                self._turns.extend(now + wait for wait in waits)
            at = self._turns.popleft()
        await asyncio.sleep(max(0.0, at - time.monotonic()))

    async def pause(self, seconds: float) -> None:
        """The provider said "too many": nobody on this limit starts before."""
        async with self._lock:
            await self._give_back(len(self._turns))
            await asyncio.to_thread(self._book.postpone, self.limit, seconds)

    async def close(self) -> None:
        async with self._lock:
            await self._give_back(len(self._turns))

    async def _drop_stale(self) -> None:
        late = sum(turn < time.monotonic() - STALE_S for turn in self._turns)
        if late:
            await self._give_back(late)

    async def _give_back(self, count: int) -> None:
        for _ in range(count):
            self._turns.popleft()
        if count:
            await asyncio.to_thread(self._book.give_back, self.limit, count)
