"""The resource through which assets reach providers: one client per materialisation, settings read at run time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone

import dagster as dg

from crypto_assets.catalog import Coin, select
from crypto_assets.errors import ShortAnswerError
from crypto_assets.narratives.llm.journal import Journal, open_journal
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.client.quota import QuotaStore, quota_store_of
from crypto_assets.sources.fetched import Fetched

ABSENT_DAYS = "absent_days"  # metadata of a failure: the days for which the provider gave no row


class Providers(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Calls a source's coroutine with a fresh client. Raises the source's own ``SourceError``."""

    def settings(self) -> Settings:
        return Settings.from_env()

    def coins(self) -> tuple[Coin, ...]:
        return select(self.settings().coins)

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def quota_store(self) -> QuotaStore:
        return quota_store_of(self.settings())

    def journal(self) -> Journal:
        """Where models' answers are kept: the same Postgres."""
        url = self.settings().postgres_url
        return open_journal(url.get_secret_value() if url else None)

    def fetch(
        self, source: Callable[[Client, Settings], Awaitable[Fetched]], say: Callable[[str], None] | None = None
    ) -> Fetched:
        """What the source gives. ``say`` gets a sentence at once when a request waits: a run's log, for example."""

        async def call() -> Fetched:
            settings = self.settings()
            async with Client(settings=settings, quota=self.quota_store(), say=say) as client:
                return await source(client, settings)

        try:
            return asyncio.run(call())
        except ShortAnswerError as error:  # the other days can be had without these
            raise dg.Failure(str(error), metadata={ABSENT_DAYS: dg.MetadataValue.json(error.days)}) from error
