"""Questions of many requests, asked together: one round trip to Postgres answers all that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Batched(Generic[K, V]):
    """Collects the questions that arrive while the last ones are answered, and asks them at once.

    A question is part of a batch that begins after it was asked, so its answer is never older than the question. All calls are
    of one event loop.
    """

    def __init__(self, work: Callable[[Sequence[K]], Awaitable[Sequence[V]]]) -> None:
        """Prepare a batch.

        Args:
            work: answers questions, in their order.
        """
        self._work, self._waiting = work, list[tuple[K, "asyncio.Future[V]"]]()
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, question: K) -> V:
        """Ask a question and wait for its answer. Raises what the work raises."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer())
        return await future

    async def _answer(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                answers = await self._work([question for question, _ in batch])
            except Exception as error:  # handed to each request, which answers it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():  # a client that has gone waits no more
                        future.set_result(answer)
        self._answering = None
