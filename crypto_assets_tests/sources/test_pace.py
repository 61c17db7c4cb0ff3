"""Everyone who shares a key shares its limit: late turns are not caught up, two processes are one, a pause is everyone's."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import pairwise

import pytest

from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.sources.book import Book, BudgetError, LocalBook, PostgresBook
from crypto_assets.sources.client import Client
from crypto_assets.sources.limits import Limit, limit_of
from crypto_assets.sources.pace import Pace
from crypto_assets_tests.sources.wire_server import Reply, serve

CALLS, WINDOW = 64, 8.0
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst"}
ONE_PROCESS = """
import asyncio, sys
from crypto_assets.settings import Settings
from crypto_assets.sources.book import open_book
from crypto_assets.sources.client import Client

async def main(url, count):
    settings = Settings.from_env()
    async with Client(settings=settings, book=open_book(url)) as client:
        print("ready", flush=True)
        sys.stdin.readline()
        ping = f"{settings.coingecko_base_url}/ping"
        await asyncio.gather(*(client.get_json("coingecko", ping) for _ in range(count)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def start(url: str, count: int, env: dict[str, str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", ONE_PROCESS, url, str(count)],
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def go(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


@pytest.fixture
def url(new_instance) -> str:
    """A Postgres database of its own, where nobody has booked anything."""
    new_instance()
    return os.environ["DAGSTER_POSTGRES_URL"]


def test_two_processes_with_one_key_stay_within_the_one_limit(url: str) -> None:
    """Alone, each would be within the limit; 96 calls of two that do not know of each other would not."""
    with Sandbox(fault=f"route=/api/v3,limit={CALLS},window={WINDOW}") as sandbox:
        env = {**sandbox.env(), **PRO, "RATE_LIMITS": f"coingecko={CALLS}/{WINDOW}"}
        processes = [start(url, 48, env) for _ in range(2)]
        began = time.monotonic()
        go(processes)
        assert [process.wait(60) for process in processes] == [0, 0]
        took = time.monotonic() - began
        assert sandbox.requests["/api/v3/ping"] == 96
        assert sandbox.faults.refused == 0
    assert took > 95 * WINDOW / CALLS, "at the pace of one"
    today = datetime.now(timezone.utc).date()
    rows = PostgresBook(url).calls(today, today)
    assert sum(row[3] for row in rows) == 96 and sum(row[6] for row in rows) == 0, "counted, none of them a 429"


def test_without_the_shared_book_the_server_would_refuse() -> None:
    """The server of the test above does enforce its limit."""
    with Sandbox(fault=f"route=/api/v3,limit=5,window={WINDOW}") as sandbox:

        async def burst() -> None:
            async with Client(max_attempts=1) as client:
                calls = (client.get_json("coingecko", f"{sandbox.url}/api/v3/ping") for _ in range(8))
                await asyncio.gather(*calls, return_exceptions=True)

        asyncio.run(burst())
        assert sandbox.faults.refused == 3


def test_a_process_that_is_killed_leaves_its_calls_in_the_budget(url: str) -> None:
    """kill -9 in the middle: what it had booked stays booked, and the next one goes on within the limit."""
    with Sandbox(fault="route=/api/v3,limit=40,window=2") as sandbox:
        env = {**sandbox.env(), **PRO, "RATE_LIMITS": "coingecko=40/2", "API_BUDGETS": "coingecko=1000"}
        process = start(url, 500, env)
        go([process])
        while sandbox.requests["/api/v3/ping"] < 15:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        limit = limit_of("coingecko", Settings.from_env({**env, "CRYPTO_ASSETS_HOME": "/nowhere"}))
        assert limit is not None
        assert PostgresBook(url).used(limit.bucket) >= sandbox.requests["/api/v3/ping"] >= 15
        other = start(url, 10, env)
        go([other])
        assert other.wait(60) == 0
        assert sandbox.faults.refused == 0


def starts(limit: Limit, count: int, stall: Sequence[int] = ()) -> list[float]:
    """When each of ``count`` turns came, by a monotonic clock; after turns in ``stall`` the process stands still."""
    found: list[float] = []

    async def run() -> None:
        pace = Pace(limit, LocalBook())
        for n in range(count):
            await pace.turn()
            found.append(time.monotonic())
            if n in stall:
                time.sleep(0.5)
        await pace.close()

    asyncio.run(run())
    return found


def test_turns_come_evenly_and_late_ones_are_not_caught_up() -> None:
    limit = Limit("test", 40, 1.0, None)
    found = starts(limit, 60, stall=(10, 11, 25))
    for first, last in zip(found, found[40:], strict=False):
        assert last - first >= limit.seconds, "never more than 40 calls in any second"
    assert min(later - earlier for earlier, later in pairwise(found)) > 0.25 * limit.interval


@pytest.fixture(params=["local", "postgres"])
def book(request: pytest.FixtureRequest) -> Book:
    if request.param == "local":
        return LocalBook()
    return PostgresBook(request.getfixturevalue("url"))


def test_the_book(book: Book) -> None:
    limit = Limit("test:book", 10, 1.0, 25)
    waits = book.reserve(limit, 5)
    assert [later - earlier for earlier, later in pairwise(waits)] == pytest.approx([limit.interval] * 4)
    assert book.reserve(limit, 5)[0] > 4 * limit.interval
    assert book.used(limit.bucket) == 10
    book.give_back(limit, 3)
    assert book.used(limit.bucket) == 7
    assert len(book.reserve(limit, 20)) == 18, "what the budget still has"
    with pytest.raises(BudgetError, match=r"25 calls a month is used up.*no call was made"):
        book.reserve(limit, 1)
    other = Limit("test:other", 10, 1.0, None)
    book.postpone(other, 30)
    assert book.reserve(other, 1)[0] > 29


def test_a_429_pauses_everyone_on_the_limit() -> None:
    seen: list[float] = []

    def answer(_: object) -> Reply:
        seen.append(time.monotonic())
        return Reply({}, 429, {"Retry-After": "1"}) if len(seen) == 1 else Reply({})

    with serve(answer) as server:
        settings = server.settings(**PRO, RATE_LIMITS="coingecko=200/1")

        async def two() -> None:
            async with Client(settings=settings, book=LocalBook()) as client:
                first = asyncio.ensure_future(client.get_json("coingecko", f"{server.url}/a"))
                while not seen:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)
                await asyncio.gather(first, client.get_json("coingecko", f"{server.url}/b"))

        asyncio.run(two())
    assert min(moment - seen[0] for moment in seen[1:]) > 0.95


def test_a_used_up_budget_makes_no_call() -> None:
    with serve(lambda _: Reply({})) as server:
        settings = server.settings(**PRO, API_BUDGETS="coingecko=3", RATE_LIMITS="coingecko=200/1")

        async def many() -> list[object]:
            async with Client(settings=settings, book=LocalBook()) as client:
                calls = (client.get_json("coingecko", f"{server.url}/a") for _ in range(5))
                return list(await asyncio.gather(*calls, return_exceptions=True))

        results = asyncio.run(many())
        assert len(server.requests) == 3
    assert sum(isinstance(result, BudgetError) for result in results) == 2
