"""What waits says so at once, and a crowd that waits for the same thing says it once."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timezone

import pytest

from crypto_assets.operate import runs
from crypto_assets.sources.client import waits
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.client.limits import Limit
from crypto_assets.sources.client.pace import Pace
from crypto_assets.sources.client.quota import LocalQuotaStore
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform
from crypto_assets_tests.sources.wire_server import Reply, Request, serve


def asked(said: list[str], count: int = 1, **replies: Reply) -> None:
    """Ask a server ``count`` times at once; it answers each path first with a refusal, then with a document."""
    refused: set[str] = set()

    def answer(request: Request) -> Reply:
        if request.path not in refused:
            refused.add(request.path)
            return replies["first"]
        return Reply({"fine": True})

    async def ask(url: str) -> None:
        async with Client(say=said.append) as client:
            calls = (client.get_json("venue", f"{url}/{n}", params={"key": "planted-secret"}) for n in range(count))
            await asyncio.gather(*calls)

    with serve(answer) as server:
        asyncio.run(ask(server.url))


def test_a_retry_says_what_why_and_when() -> None:
    said: list[str] = []
    asked(said, first=Reply({}, status=503, headers={"Retry-After": "1"}))
    (text,) = said
    found = re.fullmatch(r"venue /0: HTTP 503; attempt 2 of 5 in 1 s, at (\d\d:\d\d:\d\d) UTC", text)
    assert found is not None, text
    at = datetime.strptime(found[1], "%H:%M:%S").replace(tzinfo=timezone.utc)
    now = datetime.now(timezone.utc)
    assert abs((now - now.replace(hour=at.hour, minute=at.minute, second=at.second)).total_seconds()) < 60
    assert "planted-secret" not in text


def test_many_that_wait_are_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    asked(said, 20, first=Reply({}, status=503, headers={"Retry-After": "0"}))
    assert len(said) == 1, "they come within seconds"
    monkeypatch.setattr(waits, "QUIET_S", 0.0)
    every: list[str] = []
    asked(every, 20, first=Reply({}, status=503, headers={"Retry-After": "0"}))
    assert len(every) == 20


def test_what_was_not_said_is_counted_in_the_next_message(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    found = waits.Waits(said.append)
    for n in range(4):
        if n == 3:
            monkeypatch.setattr(waits.time, "monotonic", lambda: 1e12)
        found.retry("venue", "venue /x", "HTTP 503", 1, 5, 1.0)
    found.retry("other", "other /x", "HTTP 503", 1, 5, 1.0)
    assert len(said) == 3
    assert said[1].endswith("(2 other wait(s) since the last message)")
    assert said[2].startswith("other"), "each provider speaks for itself"


def test_a_call_that_waits_for_its_turn_says_so_and_a_short_wait_does_not() -> None:
    said: list[float] = []

    async def two(limit: Limit) -> None:
        pace = Pace(limit, LocalQuotaStore(), said.append)
        await pace.turn()
        await pace.turn()
        await pace.close()

    asyncio.run(two(Limit(calls=1, seconds=1.0, bucket="slow", budget=None)))
    assert said[0] == pytest.approx(0.0, abs=0.05) and said[1] > 0.5
    texts: list[str] = []
    messages = waits.Waits(texts.append)
    messages.turn("venue", 5, 60.0, 0.3)
    assert texts == []
    messages.turn("venue", 5, 60.0, 12.0)
    assert re.fullmatch(r"venue: the limit is 5 call\(s\) in 60 s; the next call goes in 12 s, at .* UTC", texts[0])


def test_a_run_that_waits_has_the_reason_in_its_log_before_it_goes_on(platform: Platform) -> None:
    """The log is read when the second request arrives: the message is there while the run still waits."""
    seen: list[str] = []
    calls: list[str] = []

    def answer(request: Request) -> Reply:
        calls.append(request.path)
        if len(calls) == 1:
            return Reply({}, status=429, headers={"Retry-After": "2"})
        (run,) = platform.instance.get_runs()
        seen.extend(entry.user_message for entry in platform.instance.all_logs(run.run_id))
        return Reply({"data": []})

    with serve(answer) as server:
        platform.env["FEAR_GREED_BASE_URL"] = server.url
        platform.activate()
        runs.execute(platform.instance, ["market_sentiment"], scenario.START, scenario.START)
    assert len(calls) >= 2
    assert any(re.search(r"HTTP 429; attempt 2 of 5 in 2 s, at ", text) for text in seen), seen
