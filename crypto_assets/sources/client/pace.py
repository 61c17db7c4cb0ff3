"""Wait for a turn: calls go at an even pace under a limit.

Turns are reserved a few calls ahead, so that the store is not asked for each call. A turn is an instant. A call that
comes too late for its turn (on a busy machine) gives it up and reserves another. Otherwise late calls would catch up in
a burst and break the limit.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from crypto_assets.sources.client.limits import SAFETY, Limit
from crypto_assets.sources.client.quota import QuotaStore

AHEAD_S = 0.25  # how far ahead calls are reserved: little enough that two processes share fairly
LATE_SHARE = 0.8
MIN_LATE_S = 0.02  # the time that an event loop may take to wake up


class Pace:
    """Turns under one limit, for the concurrent requests of one event loop.

    ``waiting`` is called with the seconds until its turn before a call waits for it.
    """

    def __init__(
        self, limit: Limit, quota: QuotaStore, waiting: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self.limit = limit
        self._waiting = waiting
        # Of N + 1 calls the first may be late by the whole margin that SAFETY leaves in the window before they break
        # the limit. Most of that margin is for us; the rest is for the network.
        self._late = max(MIN_LATE_S, limit.seconds * (1 / SAFETY - 1) * LATE_SHARE)
        self._quota = quota
        self._turns: deque[tuple[float, float]] = deque()  # (not before, not after)
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until the next call may start.

        Raises:
            BudgetError: the month's budget is used up.
        """
        while True:
            at, until = await self._next()
            left = max(0.0, at - time.monotonic())
            self._waiting(left)
            await asyncio.sleep(left)
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
                # The store counted from some instant between ``asked`` and ``now``. A call never starts before its
                # turn, and is late only after the latest instant that the turn allows.
                self._turns.extend((now + w, max(asked + w + self._late, now + w + MIN_LATE_S)) for w in waits)
            return self._turns.popleft()

    async def pause(self, seconds: float) -> None:
        """Make every call under this limit wait, because the provider answered "too many requests".

        Args:
            seconds: how long.
        """
        async with self._lock:
            await self._give_back(len(self._turns))
            await asyncio.to_thread(self._quota.postpone, self.limit, seconds)

    async def close(self) -> None:
        """Give back the turns that were reserved and not used."""
        async with self._lock:
            await self._give_back(len(self._turns))

    async def _give_back(self, count: int) -> None:
        for _ in range(count):
            self._turns.popleft()
        if count:
            await asyncio.to_thread(self._quota.give_back, self.limit, count)
