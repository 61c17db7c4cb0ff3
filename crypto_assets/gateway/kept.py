"""Answers that are kept while the rows that they were made of are the same."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

MOST_BYTES = 64 * 1024 * 1024
LONGEST_S = 60.0  # a change that was made by hand, without a new mark, is seen after this time
Answer = tuple[int, bytes]  # the number of rows, and the document
Key = tuple[str | None, ...]


@dataclass
class _Kept:
    mark: str
    read_at: float
    reading: asyncio.Task[Answer]
    size: int = 0


class Answers:
    """Answers by what was asked. All calls are of one event loop.

    Many who ask the same wait for one read. What was not asked for the longest time is dropped first.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    async def get(self, key: Key, mark: str | None, read: Callable[[], Answer]) -> Answer:
        """Return an answer, and read it where it is not kept.

        Args:
            key: what is asked.
            mark: of the rows, known before they are read; None: nothing is known of them, and nothing is kept.
            read: reads the answer, in a thread.

        Returns:
            The answer.
        """
        if mark is None:
            return await run_in_threadpool(read)
        kept = self._kept.get(key)
        if kept is None or kept.mark != mark or time.monotonic() - kept.read_at > LONGEST_S:
            kept = self._begin(key, mark, read)
        self._kept.move_to_end(key)
        return await asyncio.shield(kept.reading)  # a client that goes away does not end the read of the others

    def _begin(self, key: Key, mark: str, read: Callable[[], Answer]) -> _Kept:
        self._drop(key)
        kept = self._kept[key] = _Kept(mark, time.monotonic(), asyncio.create_task(run_in_threadpool(read)))
        kept.reading.add_done_callback(lambda reading: self._ended(key, kept))
        return kept

    def _ended(self, key: Key, kept: _Kept) -> None:
        if self._kept.get(key) is not kept:
            return
        if kept.reading.cancelled() or kept.reading.exception() is not None:
            self._drop(key)
            return
        kept.size = len(kept.reading.result()[1]) + sum(len(part or "") for part in key)
        self._bytes += kept.size
        while self._bytes > self._most and self._kept:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key, None)
        self._bytes -= 0 if dropped is None else dropped.size
