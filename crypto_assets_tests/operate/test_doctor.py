"""The doctor: one finding about each thing, and what to do."""

from __future__ import annotations

import http.server
import shutil
import threading
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from crypto_assets.checks import health
from crypto_assets.cli.main import cli
from crypto_assets.operate import doctor
from crypto_assets.operate.doctor import disk, examine
from crypto_assets.sandbox.macro import KEY
from crypto_assets.settings import PLANS, Settings
from crypto_assets.sources import coingecko
from crypto_assets.tables.schemas import MARKET_SENTIMENT
from crypto_assets_tests.platform import Platform

SOURCES = {"coingecko", "coinmetrics", "binance", "kraken", "defillama", "fear_greed"}


@pytest.fixture
def findings(platform: Platform, monkeypatch: pytest.MonkeyPatch):
    platform.activate()
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")

    def look() -> dict[str, tuple[str, str]]:
        return {finding.name: (finding.state, finding.text) for finding in examine()}

    return look


def test_all_is_well_but_the_model(findings) -> None:
    found = findings()
    assert {name for name, (state, _) in found.items() if state == "ok"} >= SOURCES | {
        "configuration",
        "warehouse",
        "database",
    }
    assert "disk" in found
    assert found["ollama"][0] == "warn"
    assert "ollama serve" in found["ollama"][1]


def test_the_venues_of_derivatives_are_looked_at_each_on_its_own(findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIBIT_BASE_URL", "http://127.0.0.1:9/deribit")
    found = findings()
    assert found["binance_futures"][0] == found["bybit"][0] == "ok"
    assert found["deribit"][0] == "warn"
    assert found["binance_archive"][0] == "warn", "the recording has no file of that day"


def test_what_a_key_of_fred_adds_is_said_without_one_with_one_and_with_a_refused_one(findings, monkeypatch) -> None:
    monkeypatch.delenv("FRED_API_KEY", raising=False)
    state, text = findings()["fred"]
    assert state == "ok" and "FRED_API_KEY is not set: 15 series are not fetched" in text and "PAYEMS" in text
    monkeypatch.setenv("FRED_API_KEY", KEY)
    assert findings()["fred"][0] == "ok" and "it adds 15 series" in findings()["fred"][1]
    monkeypatch.setenv("FRED_API_KEY", "9" * 32)
    state, text = findings()["fred"]
    assert state == "warn" and "FRED refuses the key" in text and "until then these series are not fetched" in text
    assert "9" * 32 not in text


def test_a_source_that_is_away_is_named(findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINANCE_BASE_URL", "http://127.0.0.1:9/binance/api/v3")
    state, text = findings()["binance"]
    assert state == "warn"
    assert "binance" in text


def test_a_limit_for_nobody_is_named(findings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "limits" not in findings()
    monkeypatch.setenv("API_BUDGETS", "coingeko=1000,rss=100000")
    state, text = findings()["limits"]
    assert state == "warn"
    assert "names coingeko, whom nothing calls; names are coingecko, " in text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CRYPTO_ASSETS_COINS", "BTC,NOSUCH", "NOSUCH"),
        ("CRYPTO_ASSETS_START", "someday", "CRYPTO_ASSETS_START"),
        ("COINGECKO_PLAN", "gold", "COINGECKO_PLAN"),
    ],
)
def test_a_configuration_that_makes_no_sense(findings, monkeypatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    (finding,) = findings().items()
    assert finding[0] == "configuration"
    assert finding[1][0] == "fail"
    assert words in finding[1][1]


def test_a_database_that_is_away(findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "postgresql://u:hunter2@127.0.0.1:9/x")
    state, text = findings()["database"]
    assert state == "fail"
    assert "hunter2" not in text


@pytest.mark.parametrize(("free", "state"), [(90, "ok"), (10, "warn"), (1, "fail")])
def test_a_disk_that_fills_up_is_named(tmp_path: Path, monkeypatch, free: int, state: str) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(total=100 * 10**9, free=free * 10**9)
    monkeypatch.setattr(health.shutil, "disk_usage", lambda _: usage)
    found = disk(tmp_path / "not yet" / "there")
    assert found.state == state
    assert f"{free}.0 GB free of 100.0 GB ({free}%)" in found.text
    assert ("make room" in found.text) == (state != "ok")


def write_a_day(platform: Platform, day: date) -> None:
    rows = {"date": [day], "fear_greed_index": [50], "source": ["test"], "available_at": [datetime(2024, 1, 2, 1)]}
    frame = pl.DataFrame(rows, schema_overrides=MARKET_SENTIMENT.polars_schema)
    platform.warehouse.write(MARKET_SENTIMENT, frame, [day])


def test_a_commit_that_a_power_cut_left_empty_is_named(findings, platform: Platform) -> None:
    write_a_day(platform, date(2024, 1, 1))
    write_a_day(platform, date(2024, 1, 2))
    newest = max(Path(platform.warehouse.path("market_sentiment"), "_delta_log").glob("*.json"))
    newest.write_bytes(b"")
    state, text = findings()["warehouse"]
    assert state == "fail"
    assert newest.name in text


def test_a_table_that_lost_a_file_is_named(findings, platform: Platform) -> None:
    write_a_day(platform, date(2024, 1, 2))
    (lost,) = platform.warehouse.files("market_sentiment")["path"]
    Path(platform.warehouse.path("market_sentiment"), lost).unlink()
    state, text = findings()["warehouse"]
    assert state == "fail"
    assert lost in text


def test_a_paid_key_shows_its_credits_and_the_plans_limit(findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGECKO_API_KEY", "planted-key")
    monkeypatch.setenv("COINGECKO_PLAN", "analyst")
    found = findings()
    assert found["credits"] == ("ok", "0 of 500,000 credits used, 500,000 left; 500 calls a minute")
    assert found["plan"] == ("ok", "CoinGecko analyst: 500 calls in 60 s, 500,000 a month")
    assert found["catalogue"] == ("ok", "CoinGecko lists every configured coin")
    assert not any("planted-key" in text for _, text in found.values())


def test_a_coin_that_the_provider_no_longer_lists_is_named(findings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def without_bitcoin(*_: object) -> frozenset[str]:
        return frozenset({"ethereum", "uniswap"})

    monkeypatch.setattr("crypto_assets.operate.doctor.fetch_ids", without_bitcoin)
    state, text = findings()["catalogue"]
    assert state == "warn"
    assert "BTC" in text and "coins.csv" in text and "ETH" not in text


@pytest.mark.parametrize("plan", PLANS)
def test_doctor_and_runs_send_coingecko_the_same_headers(
    plan: str, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On every plan, the one without a key too: a key that is set goes along, as the demo key where the plan is free."""
    seen: list[dict[str, str]] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api/v3/"):
                seen.append({name.lower(): value for name, value in self.headers.items() if "x-cg" in name.lower()})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        env = {"COINGECKO_API_KEY": "k", "COINGECKO_PLAN": plan, "COINGECKO_BASE_URL": f"{host}/api/v3"}
        bases = ("COINMETRICS", "KRAKEN", "BINANCE", "DEFILLAMA", "FEAR_GREED")
        env |= {f"{name}_BASE_URL": host for name in bases} | {"NEWS_FEEDS": f"a={host}/f", "OLLAMA_HOST": host}
        platform.activate()
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        settings = Settings.from_env()
        list(examine())
        server.shutdown()
    assert len(seen) >= 2
    assert all(found == coingecko.headers(settings) for found in seen)
    assert list(coingecko.headers(settings)) == [f"x-cg-{'demo' if plan in ('public', 'demo') else 'pro'}-api-key"]


def test_a_provider_that_never_answers_holds_up_nobody_and_is_named_at_the_limit(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every finding comes as soon as it is known; the one that hangs is the last, and said to be late."""
    platform.activate()
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(doctor, "LIMIT", timedelta(seconds=6))
    hanging = threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hanging.wait(60)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("KRAKEN_BASE_URL", f"http://127.0.0.1:{server.server_port}/0/public")
        came = [(finding.name, finding.state, finding.text, time.monotonic()) for finding in examine()]
        hanging.set()
        server.shutdown()
    names = [name for name, *_ in came]
    assert names[0] == "configuration"
    assert names[-1] == "kraken"
    assert {"binance", "coinmetrics", "ollama", "catalogue"} < set(names)
    _, state, text, last = came[-1]
    assert state == "warn"
    assert "no answer within 6 s" in text
    assert last - came[names.index("binance")][3] > 1, "the others were not held back until the end"


def test_the_limit_that_the_help_states_is_the_one_that_holds() -> None:
    text = " ".join(CliRunner().invoke(cli, ["doctor", "--help"]).output.split())
    assert f"at most {doctor.LIMIT.total_seconds():.0f} seconds" in text
