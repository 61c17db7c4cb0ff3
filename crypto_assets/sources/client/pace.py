"""Waiting for one's turn: an even pace under a limit, booked a few calls ahead so that the store is not asked each time.

A turn is an instant. Whoever comes to it too late (a busy machine) gives it up and books another: late calls that
caught up in a burst would break the limit that their even pace keeps.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from crypto_assets.sources.client.limits import SAFETY, Limit
from crypto_assets.sources.client.quota import QuotaStore

AHEAD_S = 0.25  # of calls booked at once: few enough that two processes share fairly
LATE_SHARE = 0.8
MIN_LATE_S = 0.02  # what any event loop may take to wake up


class Pace:
    """Turns under one limit for the concurrent requests of one event loop."""

    def __init__(self, limit: Limit, quota: QuotaStore) -> None:
        self.limit = limit
        # Among N + 1 calls the first may be late by the whole margin that SAFETY leaves in the window before they break
        # the limit; most of it is ours, the rest the network's.
        self._late = max(MIN_LATE_S, limit.seconds * (1 / SAFETY - 1) * LATE_SHARE)
        self._quota = quota
        self._turns: deque[tuple[float, float]] = deque()  # (not before, not after)
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Returns when the next call may start. Raises :class:`~crypto_assets.sources.client.quota.BudgetError`."""
        while True:
            at, until = await self._next()
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            if time.monotonic() <= until:
                return
            await asyncio.to_thread(self._quota.give_back, self.limit, 1)

    async def _next(self) -> tuple[float, float]:
        async with self._lock:
            await self._give_back(sum(until < time.monotonic() for _, until in self._turns))
            if not self._turns:
                count = max(1, int(self.limit.calls / self.limit.seconds * AHEAD_S))
                asked = time.monotonic()
                waits = await asyncio.to_thread(self._quota.reserve, self.limit, min(count, 25))
                now = time.monotonic()
                # The store counted from some moment since we asked: never before it, and late only by what it can be.
                self._turns.extend((now + w, max(asked + w + self._late, now + w + MIN_LATE_S)) for w in waits)
            return self._turns.popleft()

    async def pause(self, seconds: float) -> None:
        """The provider said "too many": nobody on this limit starts before."""
        async with self._lock:
            await self._give_back(len(self._turns))
            await asyncio.to_thread(self._quota.postpone, self.limit, seconds)

    async def close(self) -> None:
        async with self._lock:
            await self._give_back(len(self._turns))

    async def _give_back(self, count: int) -> None:
        for _ in range(count):
            self._turns.popleft()
        if count:
            await asyncio.to_thread(self._quota.give_back, self.limit, count)
