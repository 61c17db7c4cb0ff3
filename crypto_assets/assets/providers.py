"""The Dagster resource that gives assets access to providers: one HTTP client per call, settings read at run time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone

import dagster as dg

from crypto_assets.catalog import Coin, select
from crypto_assets.errors import ShortAnswerError
from crypto_assets.narratives.llm.journal import Journal, open_journal
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.client.quota import QuotaStore, quota_store_of
from crypto_assets.sources.fetched import Fetched

_waiting: set[asyncio.Task[Fetched]] = set()  # calls of all threads
ABSENT_DAYS = "absent_days"  # metadata of a failed step: the days for which the provider gave no row


class Providers(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Access to settings, coins, clock, quota store and providers. Tests replace it."""

    def settings(self) -> Settings:
        """Read the settings from the environment."""
        return Settings.from_env()

    def coins(self) -> tuple[Coin, ...]:
        """Return the configured coins."""
        return select(self.settings().coins)

    def now(self) -> datetime:
        """Return the current instant, UTC."""
        return datetime.now(timezone.utc)

    def quota_store(self) -> QuotaStore:
        """Open the store that counts calls against the limits of the plans."""
        return quota_store_of(self.settings())

    def journal(self) -> Journal:
        """Open the journal of the model's answers, in Dagster's Postgres."""
        url = self.settings().postgres_url
        return open_journal(url.get_secret_value() if url else None)

    def fetch(
        self, source: Callable[[Client, Settings], Awaitable[Fetched]], say: Callable[[str], None] | None = None
    ) -> Fetched:
        """Call a source with a new client, and wait for its result.

        Args:
            source: The coroutine function.
            say: Called at once when a request waits, with what, why and until when; None for nobody.

        Returns:
            Its result.

        Raises:
            SourceError: The source failed.
            dagster.Failure: Days without rows where rows are due; its metadata names the days.
        """

        async def call() -> Fetched:
            settings = self.settings()
            with _stoppable():
                async with Client(settings=settings, quota=self.quota_store(), say=say) as client:
                    return await source(client, settings)

        try:
            return asyncio.run(call())
        except ShortAnswerError as error:  # the other days can be fetched without these
            raise dg.Failure(str(error), metadata={ABSENT_DAYS: dg.MetadataValue.json(error.days)}) from error


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let :func:`stop_waiting` end the task that enters, until it leaves."""
    task = asyncio.current_task()
    assert task is not None
    _waiting.add(task)
    try:
        yield
    finally:
        _waiting.discard(task)


def stop_waiting() -> None:
    """End every call of :meth:`Providers.fetch` under way, whichever thread made it; it raises ``CancelledError``.

    A call is cancelled once, so that it still closes its connections and counts its requests.
    """
    for task in list(_waiting):
        _waiting.discard(task)
        with suppress(RuntimeError):  # it has ended by now, and its loop with it
            task.get_loop().call_soon_threadsafe(task.cancel)
