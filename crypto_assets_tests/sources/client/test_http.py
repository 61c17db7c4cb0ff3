"""The client by itself: how long to wait, where not to follow, what a plan says, keyless use."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.errors import SourceError
from crypto_assets.settings import PLANS as NAMES
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client, retry_after
from crypto_assets.sources.client.limits import PLANS, PREMIUM_PLANS, limit_of
from crypto_assets.sources.coingecko import headers
from crypto_assets_tests.sources.wire_server import Reply, Request, serve


def get(url: str, path: str = "/a", *, answer_timeout: float = 20, **headers_: str) -> object:
    async def call() -> object:
        async with Client(max_attempts=2, backoff=0.01, max_wait=30, answer_timeout=answer_timeout) as client:
            return (await client.get_json("test", f"{url}{path}", headers=headers_)).body

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("119", 119), ("0", 0), ("1.5", 1.5), ("-5", 0), ("1e9", 1e9), (None, None), ("", None), ("soon", None),
        ("inf", None), ("nan", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2015 07:28:00", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None), ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_in_all_its_dialects(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_connections_are_used_again_and_no_more_than_are_needed() -> None:
    at_once = 40

    async def ask(url: str, times: int) -> None:
        async with Client(concurrency=at_once) as client:
            await client.get_json("test", url)  # the first goes alone
            await asyncio.gather(*(client.get_json("test", url) for _ in range(times)))

    with serve(lambda _: {"ok": 1}) as server:
        asyncio.run(ask(f"{server.url}/a", 10 * at_once))
        assert len(server.requests) == 10 * at_once + 1
        assert len(server.clients) <= at_once

    with serve(lambda _: {"ok": 1}) as server:
        asyncio.run(ask(f"{server.url}/a", 1))
        assert len(server.clients) == 1


def test_requests_that_belong_together_are_not_torn_apart() -> None:
    """Else every first answer is held in memory until the last of them is there."""
    at_once = 4

    async def pair(client: Client, url: str, number: int) -> None:
        async with client.together():
            for part in ("file", "checksum"):
                await client.get_json("test", f"{url}/{part}", params={"n": number})

    async def ask(url: str) -> None:
        async with Client(concurrency=at_once) as client:
            await asyncio.gather(*(pair(client, url, number) for number in range(20)))

    with serve(lambda _: {"ok": 1}) as server:
        asyncio.run(ask(server.url))
        held, most = 0, 0
        for request in server.requests:
            held += 1 if request.path == "/file" else -1
            most = max(most, held)
        assert (len(server.requests), held) == (40, 0)
        assert most <= at_once


def test_retry_after_as_a_date_is_waited_for() -> None:
    seen: list[float] = []

    def answer(_: Request) -> Reply:
        seen.append(time.monotonic())
        at = datetime.now(timezone.utc) + timedelta(seconds=2)
        return Reply({}, 503, {"Retry-After": format_datetime(at, usegmt=True)}) if len(seen) == 1 else Reply({"ok": 1})

    with serve(answer) as server:
        assert get(server.url) == {"ok": 1}
    assert 0.9 < seen[1] - seen[0] < 10


def test_an_answer_that_drips_is_given_up() -> None:
    """Every byte comes in time; all of them would take for ever."""

    def drip(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(OSError):
            while True:
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.05)

    with serve(lambda _: Reply(drip)) as server:
        with pytest.raises(SourceError, match=r"no whole answer within 1 s\) in 2 attempts") as caught:
            get(server.url, answer_timeout=1.0)
        assert caught.value.transient
        assert len(server.requests) == 2


def test_a_pause_too_long_to_wait_for_is_said() -> None:
    with serve(lambda _: Reply({}, 429, {"Retry-After": "86400"})) as server:
        with pytest.raises(SourceError, match="asks for a pause of 86,400 s"):
            get(server.url)
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_key_does_not_follow_to_another_port(status: int) -> None:
    with (
        serve(lambda _: {"stolen": True}) as other,
        serve(lambda _: Reply(b"", status, {"Location": f"{other.url}/b"})) as server,
    ):
        with pytest.raises(SourceError, match="another host"):
            get(server.url, **{"x-cg-pro-api-key": "planted"})
        assert other.requests == []


def test_a_redirect_on_the_same_server_is_followed() -> None:
    def answer(request: Request) -> Reply:
        return Reply({"at": request.path}) if request.path == "/b" else Reply(b"", 301, {"Location": "/b"})

    with serve(answer) as server:
        assert get(server.url) == {"at": "/b"}
        with (
            pytest.raises(SourceError, match="redirects more than 3 times"),
            serve(lambda _: Reply(b"", 302, {"Location": "/a"})) as loop,
        ):
            get(loop.url)


def settings(**env: str) -> Settings:
    return Settings.from_env({"CRYPTO_ASSETS_HOME": "/nowhere", **env})


@pytest.mark.parametrize("plan", NAMES)
def test_every_plan_has_its_host_header_and_limit(plan: str) -> None:
    found = PLANS["coingecko"][plan]
    config = settings(**({} if plan == "public" else {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": plan}))
    assert urlsplit(config.coingecko_base_url).hostname == found.host
    assert found.reference.startswith("https://")
    name = {True: "x-cg-pro-api-key", False: "x-cg-demo-api-key"}[plan in PREMIUM_PLANS]
    assert headers(config) == ({} if plan == "public" else {name: "planted"})
    limit = limit_of("coingecko", config)
    assert limit is not None and (limit.calls, limit.seconds, limit.budget) == (
        found.calls, found.seconds, found.credits_per_month,
    )  # fmt: skip
    assert "planted" not in limit.bucket, "the bucket names the key by a digest"


def test_who_shares_a_key_shares_a_bucket_and_nobody_else() -> None:
    buckets = {
        limit.bucket
        for env in ({"COINGECKO_API_KEY": "one"}, {"COINGECKO_API_KEY": "two"}, {"COINGECKO_API_KEY": "one"}, {})
        if (limit := limit_of("coingecko", settings(**env)))
    }
    assert len(buckets) == 3


def test_another_server_without_a_key_is_paced_only_if_asked() -> None:
    own = {"COINGECKO_BASE_URL": "http://127.0.0.1:9/api/v3"}
    assert limit_of("coingecko", settings(**own)) is None
    asked = limit_of("coingecko", settings(**own, RATE_LIMITS="coingecko=7/2"))
    assert asked is not None and (asked.calls, asked.seconds) == (7, 2)
    keyed = limit_of("coingecko", settings(**own, COINGECKO_API_KEY="one", COINGECKO_PLAN="analyst"))
    assert keyed is not None and keyed.calls == 500, "a key's limit holds wherever it is sent"


def test_news_come_from_five_newsrooms_at_least() -> None:
    hosts = {urlsplit(url).hostname for url in settings().news_feeds.values()}
    assert len(hosts) >= 5


@given(
    attempt=st.integers(1, 2000),
    max_wait=st.floats(0.001, 600),
    backoff=st.floats(0.001, 1000),
    seed=st.integers(0, 2**32),
)
def test_no_pause_is_longer_than_max_wait(attempt: int, max_wait: float, backoff: float, seed: int) -> None:
    random.seed(seed)
    client = Client(max_wait=max_wait, backoff=backoff)
    assert 0 <= client._pause(attempt) <= max_wait


def test_pauses_are_spread_over_the_whole_range() -> None:
    random.seed(1)
    pauses = [Client(max_wait=10, backoff=100)._pause(3) for _ in range(500)]
    assert min(pauses) < 1 and max(pauses) > 9


@pytest.mark.parametrize("status", [418, 429])
@pytest.mark.parametrize("provider", ["binance", "coingecko", "coinmetrics"])
def test_a_ban_is_waited_for_as_its_header_says(status: int, provider: str) -> None:
    seen: list[int] = []

    def answer(_: Request) -> Reply:
        seen.append(1)
        return Reply({"code": -1003}, status, {"Retry-After": "0"}) if len(seen) == 1 else Reply({"ok": 1})

    async def call(url: str) -> object:
        async with Client(max_attempts=2, backoff=0.01) as client:
            return (await client.get_json(provider, f"{url}/a")).body

    with serve(answer) as server:
        assert asyncio.run(call(server.url)) == {"ok": 1}
    assert len(seen) == 2


@pytest.mark.parametrize("status", [418, 429])
def test_nobody_asks_while_a_long_pause_lasts(status: int) -> None:
    """Of twenty concurrent requests and one after them, one reaches the provider; another provider is asked."""

    async def call(url: str) -> tuple[list[object], object]:
        async with Client(max_attempts=3, backoff=0.01) as client:
            many = await asyncio.gather(
                *(client.get_json("binance", f"{url}/a", subject=f"C{n}") for n in range(20)), return_exceptions=True
            )
            with suppress(SourceError):
                await client.get_json("binance", f"{url}/a")
            return list(many), (await client.get_json("kraken", f"{url}/b")).body

    def answer(request: Request) -> Reply:
        return Reply({"ok": 1}) if request.path == "/b" else Reply({"msg": "banned"}, status, {"Retry-After": "1800"})

    with serve(answer) as server:
        many, other = asyncio.run(call(server.url))
        assert [request.path for request in server.requests] == ["/a", "/b"]
    assert other == {"ok": 1}
    assert all(isinstance(error, SourceError) and "asks for a pause of 1,800 s" in str(error) for error in many)


def test_a_place_that_is_refused_is_said_and_not_asked_again() -> None:
    with serve(lambda _: Reply({"msg": "restricted location"}, 451)) as server:
        with pytest.raises(SourceError, match="refuses this place") as caught:
            get(server.url)
        assert len(server.requests) == 1 and caught.value.status == 451 and not caught.value.transient
