"""HTTP clients side by side, each with connections of its own and one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


class Lanes:
    """At most so many requests at once.

    One httpx client for all of them would look at every open connection twice for each request, and keep 20 of them: with
    40 requests at once that is half of the work of a request, and a new connection for every second one.
    """

    def __init__(self, count: int, make: Callable[[], httpx.AsyncClient]) -> None:
        """Prepare the lanes; clients are made when they are needed.

        Args:
            count: the number of lanes.
            make: makes the client of a lane.
        """
        self._make = make
        self._made: list[httpx.AsyncClient] = []
        # The lane that became free last is taken first: its connections are open, and few lanes are used while few suffice.
        self._free: asyncio.LifoQueue[httpx.AsyncClient | None] = asyncio.LifoQueue()
        for _ in range(count):
            self._free.put_nowait(None)

    @asynccontextmanager
    async def free(self) -> AsyncIterator[httpx.AsyncClient]:
        """Wait for a free lane, and hold its client for one request."""
        lane = await self._free.get()
        try:
            if lane is None:
                lane = self._make()
                self._made.append(lane)
            yield lane
        finally:
            self._free.put_nowait(lane)

    async def aclose(self) -> None:
        """Close all connections."""
        for lane in self._made:
            await lane.aclose()
