"""A demo's home asks its own sandbox and nobody else; an ordinary home that only real providers would fill refuses to add to a sandbox's rows."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path

import httpx
import polars as pl
import pytest

from crypto_assets.demo_home import DemoHome
from crypto_assets.errors import CryptoAssetsError, InstanceError, SourceError
from crypto_assets.operate import home_sandbox
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import SANDBOX_HEADER, Client
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import MARKET_SENTIMENT
from crypto_assets_tests import scenario
from crypto_assets_tests.sources.wire_server import Reply, serve

DEMO = DemoHome(7, None, "BTC", date(2026, 1, 5))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A demo's home, in an environment that says nothing else; what the test sets there is undone."""
    for name in list(os.environ):
        if name in {*home_sandbox.named("_base_url"), *home_sandbox.named("_api_key"), "NEWS_FEEDS", "COINGECKO_PLAN"}:
            monkeypatch.delenv(name)
    before = dict(os.environ)
    DEMO.write(tmp_path / "a home")
    monkeypatch.setenv("CRYPTO_ASSETS_HOME", str(tmp_path / "a home"))
    yield tmp_path / "a home"
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def sentiment(source: str) -> pl.DataFrame:
    day = date(2026, 1, 5)
    row = {
        "date": day,
        "available_at": datetime(2026, 1, 5, tzinfo=timezone.utc),
        "source": source,
        "fear_greed_index": 40.0,
    }
    return pl.DataFrame([row]).cast({"available_at": pl.Datetime("us", "UTC")})


def ask(settings: Settings, url: str) -> str | None:
    async def call() -> str | None:
        async with Client(max_attempts=1, settings=settings) as client:
            return (await client.get_json("alternative_me", url)).sandbox

    return asyncio.run(call())


def test_its_sandbox_answers_with_its_seed_and_notes_each_request(home: Path) -> None:
    with home_sandbox.running(Settings.from_env()) as sandbox:
        assert sandbox is not None
        settings = Settings.from_env()
        assert settings.fear_greed_base_url == sandbox.url
        assert {url.startswith(sandbox.url) for url in settings.news_feeds.values()} == {True}
        assert ask(settings, f"{settings.fear_greed_base_url}/fng/?limit=2") == "sandbox"
        mine = httpx.get(f"{sandbox.url}/fng/?limit=30").json()["data"]
        assert str(sandbox.url) in home_sandbox.notice(settings, sandbox)
    with Sandbox(seed=DEMO.seed or 0) as same, Sandbox(seed=8) as other:
        values = [
            [row["value"] for row in httpx.get(f"{one.url}/fng/?limit=30").json()["data"]] for one in (same, other)
        ]
    assert [row["value"] for row in mine] == values[0] != values[1]
    lines = (home / "logs" / "sandbox.log").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["GET /fng/?limit=2", "GET /fng/?limit=30"]


def test_the_recordings_of_a_demo_are_replayed(home: Path, tmp_path: Path) -> None:
    replace(DEMO, seed=None, data=scenario.write(tmp_path / "recorded data")).write(home)
    with home_sandbox.running(Settings.from_env()) as sandbox:
        assert sandbox is not None
        answer = httpx.get(f"{sandbox.url}/0/public/SystemStatus", timeout=60)
        assert answer.headers[SANDBOX_HEADER] == "sandbox-replay"


def test_recordings_that_are_away_are_one_sentence(home: Path, tmp_path: Path) -> None:
    replace(DEMO, seed=None, data=tmp_path / "gone").write(home)
    with (
        pytest.raises(InstanceError, match=r"recordings in .*gone, which are not there.*--home"),
        home_sandbox.running(Settings.from_env()),
    ):
        pass


def test_a_folder_without_recordings_is_one_sentence(home: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    replace(DEMO, seed=None, data=tmp_path / "bare").write(home)
    with (
        pytest.raises(InstanceError, match=r"the sandbox cannot serve: .*bare holds no recording"),
        home_sandbox.running(Settings.from_env()),
    ):
        pass


def test_work_without_requests_is_done_while_the_sandbox_starts(home: Path) -> None:
    done = []
    with home_sandbox.running(Settings.from_env(), lambda: done.append(os.environ.get("FEAR_GREED_BASE_URL"))) as own:
        assert own is not None and done == [None], "it ran before the variables led to the sandbox"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_sandbox_ends_with_its_command_however_that_ends(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "import sys, time; from pathlib import Path; from crypto_assets.operate.sandbox_process import SandboxProcess\n"
        "with SandboxProcess(7, Path(sys.argv[1])) as sandbox:\n    print(sandbox.url, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        url = command.stdout.readline().strip()
        assert httpx.get(f"{url}/0/public/SystemStatus", timeout=60).status_code == 200
        command.send_signal(number)
    deadline = time.monotonic() + 60
    with pytest.raises(httpx.ConnectError):
        while time.monotonic() < deadline:
            with suppress(httpx.ReadError, httpx.RemoteProtocolError):  # it ended in the middle of an answer
                httpx.get(f"{url}/0/public/SystemStatus", timeout=60)
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COINGECKO_API_KEY", "k"),
        ("COINMETRICS_API_KEY", "k"),
        ("COINGECKO_BASE_URL", "https://api.coingecko.com/api/v3"),
        ("FEAR_GREED_BASE_URL", "http://10.0.0.5:80"),
        ("NEWS_FEEDS", "here=http://127.0.0.1:1/rss,there=https://example.org/rss"),
    ],
)
def test_going_live_in_a_demos_home_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with (
        pytest.raises(
            CryptoAssetsError, match=rf"demo's home .*seed 7.*{name} is set.*crypto-assets dev --home NEW"
        ) as refused,
        home_sandbox.running(Settings.from_env()),
    ):
        pass
    assert "\n" not in str(refused.value)
    assert value not in str(refused.value) or value == "k"


def test_a_server_of_this_machine_may_be_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(seed=7, fault="route=/fng,status=503") as faulty:
        monkeypatch.setenv("FEAR_GREED_BASE_URL", faulty.url)
        with home_sandbox.running(Settings.from_env()) as own:
            assert own is not None
            found = Settings.from_env()
            assert (found.fear_greed_base_url, found.defillama_base_url) == (faulty.url, own.url)


def test_a_demos_home_never_asks_another_machine(home: Path) -> None:
    """Also where a process was started without its sandbox: ``dagster dev`` by hand."""
    settings = Settings.from_env()
    assert "alternative.me" in settings.fear_greed_base_url
    with pytest.raises(SourceError, match=r"was not asked: .* is a demo's home .*crypto-assets dev --home NEW"):
        ask(settings, f"{settings.fear_greed_base_url}/fng/")


def test_an_answer_without_a_sandboxs_mark_is_refused_in_a_demos_home_only(home: Path, tmp_path: Path) -> None:
    ordinary = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path / "ordinary")})
    with serve(lambda request: Reply(b'{"data": []}')) as server:
        with pytest.raises(SourceError, match=r"which is no sandbox.*nothing was written"):
            ask(Settings.from_env(), f"{server.url}/fng/")
        assert ask(ordinary, f"{server.url}/fng/") is None


def test_an_ordinary_home_runs_no_sandbox(tmp_path: Path, home: Path) -> None:
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path / "ordinary")})
    before = dict(os.environ)
    with home_sandbox.running(settings) as sandbox:
        assert sandbox is None
        assert dict(os.environ) == before


def test_an_older_demos_home_is_refused_before_it_asks_a_provider(tmp_path: Path, home: Path) -> None:
    env = {"CRYPTO_ASSETS_HOME": str(tmp_path / "older")}
    settings = Settings.from_env(env)
    Warehouse(settings.warehouse).write(MARKET_SENTIMENT, sentiment("sandbox/alternative_me"), [date(2026, 1, 5)])
    with (
        pytest.raises(CryptoAssetsError, match=r"holds a sandbox's rows.*crypto-assets demo in this home once more"),
        home_sandbox.running(settings),
    ):
        pass
    here = Settings.from_env({**env, "COINGECKO_BASE_URL": "http://127.0.0.1:9/api/v3"})
    with home_sandbox.running(here) as sandbox:  # a sandbox or a server of tests, whose rows the write judges
        assert sandbox is None


def test_a_live_home_goes_on(tmp_path: Path, home: Path) -> None:
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path / "live")})
    Warehouse(settings.warehouse).write(MARKET_SENTIMENT, sentiment("alternative_me"), [date(2026, 1, 5)])
    with home_sandbox.running(settings) as sandbox:
        assert sandbox is None
