"""Answers that are kept while the rows that they were made of are the same."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

MOST_BYTES = 64 * 1024 * 1024
LONGEST_S = 60.0  # a change that was made by hand, without a new mark, is seen after this time


@dataclass(frozen=True)
class Answer:
    """A document that is ready to be sent.

    Attributes:
        rows: the number of its rows.
        document: the document.
        headers: as they go over the wire.
    """

    rows: int
    document: bytes
    headers: tuple[tuple[bytes, bytes], ...]


@dataclass
class _Kept:
    mark: str
    read_at: float
    reading: asyncio.Task[Answer]
    size: int = 0
    renewing: bool = False


class Answers:
    """Answers by what was asked. All calls are of one event loop.

    Many who ask the same wait for one read. What was not asked for the longest time is dropped first.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    async def get(self, key: Hashable, mark: str | None, read: Callable[[], Answer]) -> Answer:
        """Return an answer, and read it where it is not kept.

        An answer that is only old is given once more while it is read again, so that nobody waits.

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
        if kept is None or kept.mark != mark:
            kept = self._begin(key, mark, read)
        self._kept.move_to_end(key)
        if not kept.reading.done():
            return await asyncio.shield(kept.reading)  # a client that goes away does not end the read of the others
        if time.monotonic() - kept.read_at > LONGEST_S and not kept.renewing:
            self._renew(key, kept, read)
        return kept.reading.result()

    def _begin(self, key: Hashable, mark: str, read: Callable[[], Answer]) -> _Kept:
        self._drop(key)
        kept = self._kept[key] = _begun(mark, read)
        kept.reading.add_done_callback(lambda _: self._ended(key, kept))
        return kept

    def _renew(self, key: Hashable, kept: _Kept, read: Callable[[], Answer]) -> None:
        kept.renewing = True
        fresh = _begun(kept.mark, read)

        def ended(_: object) -> None:
            if self._kept.get(key) is kept:
                self._drop(key)
                self._kept[key] = fresh
            self._ended(key, fresh)

        fresh.reading.add_done_callback(ended)

    def _ended(self, key: Hashable, kept: _Kept) -> None:
        failed = (
            kept.reading.cancelled() or kept.reading.exception() is not None
        )  # asked for, so that nothing is logged
        if self._kept.get(key) is not kept:
            return
        if failed:
            self._drop(key)
            return
        kept.size = len(kept.reading.result().document)
        self._bytes += kept.size
        while self._bytes > self._most and self._kept:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        dropped = self._kept.pop(key, None)
        self._bytes -= 0 if dropped is None else dropped.size


def _begun(mark: str, read: Callable[[], Answer]) -> _Kept:
    return _Kept(mark, time.monotonic(), asyncio.create_task(run_in_threadpool(read)))
