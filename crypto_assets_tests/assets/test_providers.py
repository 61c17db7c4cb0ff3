"""Calls of providers under way can be ended from another thread; the requests that they made stay counted."""

from __future__ import annotations

import asyncio
import threading

import pandas as pd
import pytest

from crypto_assets.assets.providers import Providers, stop_waiting
from crypto_assets.dates import today
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets_tests.sources.wire_server import serve

LONG_S = 60.0  # a wait that only a fault lasts


def test_calls_under_way_are_ended_and_their_requests_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    providers, waiting = Providers(), threading.Barrier(3)
    ended: list[BaseException] = []

    def ask(endpoint: str) -> None:
        async def source(client: Client, settings: Settings) -> Fetched:
            await client.get_json("blockchain", f"{server.url}/{endpoint}", endpoint=endpoint)
            await asyncio.to_thread(waiting.wait, LONG_S)
            await asyncio.Event().wait()
            raise AssertionError("unreachable: nothing sets the event")

        try:
            providers.fetch(source)
        except BaseException as error:  # of this thread
            ended.append(error)

    with serve(lambda request: {}) as server:
        threads = [threading.Thread(target=ask, args=[name]) for name in ("stopped/one", "stopped/two")]
        for thread in threads:
            thread.start()
        waiting.wait(LONG_S)
        stop_waiting()
        for thread in threads:
            thread.join(LONG_S)
    assert [type(error) for error in ended] == [asyncio.CancelledError] * 2
    counted = [(row[1], row[3]) for row in providers.quota_store().calls(today(), today()) if row[0] == "blockchain"]
    assert {("stopped/one", 1), ("stopped/two", 1)} <= set(counted)


def test_a_call_after_a_stop_is_made() -> None:
    async def source(client: Client, settings: Settings) -> Fetched:
        return Fetched(pd.DataFrame({"one": [1]}))

    stop_waiting()
    assert Providers().fetch(source).frame["one"].tolist() == [1]
