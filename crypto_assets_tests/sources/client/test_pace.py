"""Everyone who shares a key shares its limit: late turns are not caught up, two processes are one, a pause is everyone's."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest

from crypto_assets.dates import today
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.client.limits import Limit, limit_of
from crypto_assets.sources.client.pace import MIN_LATE_S, Pace
from crypto_assets.sources.client.quota import BudgetError, LocalQuotaStore, PostgresQuotaStore, QuotaStore
from crypto_assets_tests.sources.wire_server import Reply, serve

CALLS, WINDOW = 64, 8.0
# Two in a hundred are the pace's own margin: 0.16 s here. Connecting takes a busy machine longer: the server forgives that.
ENFORCED = WINDOW - 1
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst"}
ONE_PROCESS = """
import asyncio, sys
from crypto_assets.settings import Settings
from crypto_assets.sources.client.quota import open_quota_store
from crypto_assets.sources.client import Client

async def main(url, count):
    settings = Settings.from_env()
    async with Client(settings=settings, quota=open_quota_store(url)) as client:
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
    with Sandbox(fault=f"route=/api/v3,limit={CALLS},window={ENFORCED}") as sandbox:
        first = today()
        env = {**sandbox.env(), **PRO, "RATE_LIMITS": f"coingecko={CALLS}/{WINDOW}"}
        processes = [start(url, 48, env) for _ in range(2)]
        began = time.monotonic()
        go(processes)
        assert [process.wait(300) for process in processes] == [0, 0]
        took = time.monotonic() - began
        assert sandbox.requests["/api/v3/ping"] == 96
        assert sandbox.faults.refused == 0
    assert took > 95 * WINDOW / CALLS, "at the pace of one"
    rows = PostgresQuotaStore(url).calls(first, today())
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
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        limit = limit_of("coingecko", Settings.from_env({**env, "CRYPTO_ASSETS_HOME": "/nowhere"}))
        assert limit is not None
        assert PostgresQuotaStore(url).used(limit.bucket) >= sandbox.requests["/api/v3/ping"] >= 15
        other = start(url, 10, env)
        go([other])
        assert other.wait(300) == 0
        assert sandbox.faults.refused == 0


class BusyClock:
    """Time goes by only while somebody sleeps, and each sleep ends up to ``late_s`` too late: a machine that is busy."""

    def __init__(self, late_s: float, seed: int) -> None:
        self.now, self._late_s, self._dice = 100.0, late_s, random.Random(seed)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self._dice.uniform(0, self._late_s)


def starts(clock: BusyClock, limit: Limit, count: int, stall: Sequence[int] = ()) -> list[float]:
    """When each of ``count`` turns came, by this clock; after turns in ``stall`` the process stands still."""
    found: list[float] = []

    async def run() -> None:
        pace = Pace(limit, LocalQuotaStore())
        for n in range(count):
            await pace.turn()
            found.append(clock.now)
            if n in stall:
                clock.now += 0.5
        await pace.close()

    asyncio.run(run())
    return found


@pytest.mark.parametrize("late_s", [0.0, 0.001, 0.015, 0.04])
def test_turns_come_evenly_and_late_ones_are_not_caught_up(late_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: a real one would be late by what else the machine has to do, and this be about that."""
    limit = Limit("test", 40, 1.0, None)
    for seed in range(20):
        clock = BusyClock(late_s, seed)
        monkeypatch.setattr("crypto_assets.sources.client.pace.time", clock)
        monkeypatch.setattr("crypto_assets.sources.client.quota.time", clock)
        monkeypatch.setattr("crypto_assets.sources.client.pace.asyncio.sleep", clock.sleep)
        found = starts(clock, limit, 60, stall=(10, 11, 25))
        for first, last in zip(found, found[40:], strict=False):
            assert last - first >= limit.seconds, "never more than 40 calls in any second"
        closest = min(later - earlier for earlier, later in pairwise(found))
        assert closest >= limit.interval - min(late_s, MIN_LATE_S) - 1e-9, "who comes later than that gives up the turn"


@pytest.fixture(params=["local", "postgres"])
def quota(request: pytest.FixtureRequest) -> QuotaStore:
    if request.param == "local":
        return LocalQuotaStore()
    return PostgresQuotaStore(request.getfixturevalue("url"))


def test_the_quota_store(quota: QuotaStore) -> None:
    limit = Limit("test:book", 10, 1000.0, 25)  # so long that no pause between two lines of this test matters
    waits = quota.reserve(limit, 5)
    assert [later - earlier for earlier, later in pairwise(waits)] == pytest.approx([limit.interval] * 4)
    assert quota.reserve(limit, 5)[0] > 4 * limit.interval
    assert quota.used(limit.bucket) == 10
    quota.give_back(limit, 3)
    assert quota.used(limit.bucket) == 7
    assert len(quota.reserve(limit, 20)) == 18, "what the budget still has"
    with pytest.raises(BudgetError, match=r"25 calls a month is used up.*no call was made"):
        quota.reserve(limit, 1)
    other = Limit("test:other", 10, 1.0, None)
    quota.postpone(other, 3000)
    assert quota.reserve(other, 1)[0] > 2900


class RecordingStore(LocalQuotaStore):
    """Says when it heard of a pause."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()

    def postpone(self, limit: Limit, seconds: float) -> None:
        super().postpone(limit, seconds)
        self.heard.set()


def test_a_429_pauses_everyone_on_the_limit() -> None:
    seen: list[float] = []

    def answer(_: object) -> Reply:
        seen.append(time.monotonic())
        return Reply({}, 429, {"Retry-After": "1"}) if len(seen) == 1 else Reply({})

    with serve(answer) as server:
        settings = server.settings(**PRO, RATE_LIMITS="coingecko=200/1")

        async def two() -> None:
            quota = RecordingStore()
            async with Client(settings=settings, quota=quota) as client:
                first = asyncio.ensure_future(client.get_json("coingecko", f"{server.url}/a"))
                assert await asyncio.to_thread(quota.heard.wait, 60)
                await asyncio.gather(first, client.get_json("coingecko", f"{server.url}/b"))

        asyncio.run(two())
    assert min(moment - seen[0] for moment in seen[1:]) > 0.95


def test_a_used_up_budget_makes_no_call() -> None:
    with serve(lambda _: Reply({})) as server:
        settings = server.settings(**PRO, API_BUDGETS="coingecko=3", RATE_LIMITS="coingecko=200/1")

        async def many() -> list[object]:
            async with Client(settings=settings, quota=LocalQuotaStore()) as client:
                calls = (client.get_json("coingecko", f"{server.url}/a") for _ in range(5))
                return list(await asyncio.gather(*calls, return_exceptions=True))

        results = asyncio.run(many())
        assert len(server.requests) == 3
    assert sum(isinstance(result, BudgetError) for result in results) == 2
