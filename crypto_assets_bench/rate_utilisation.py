"""300 coins x 1 year of hourly prices from a server that enforces 500 calls a minute, its minute shortened.

``ours_s``: from the first call to the last, as the server saw them. ``baseline_s``: the same calls at exactly the limit.
``ratio`` is therefore the share of the limit that was used: at best 1, and a single 429 would mean it was crossed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import date, datetime, timezone

import httpx

from crypto_assets.catalog import by_symbol
from crypto_assets.runtime.postgres import ensure_postgres
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.client.quota import open_quota_store
from crypto_assets.sources.coingecko import CHART_DAYS, fetch_prices
from crypto_assets_bench.result import Result, peak_mb

COINS, CALLS, MINUTE_S = 300, 500, 30.0
START, END = date(2023, 1, 1), date(2023, 12, 31)


def run() -> Result:
    with tempfile.TemporaryDirectory() as home:
        server = subprocess.Popen(
            [sys.executable, "-m", "crypto_assets_bench._gecko", str(CALLS), str(MINUTE_S)], stdout=subprocess.PIPE
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().decode().strip()
            rows = asyncio.run(_fetch(home, url))
            seen = httpx.get(f"{url}/counts").json()
        finally:
            server.terminate()
            server.wait()
    expected = COINS * -(-((END - START).days + 1) // CHART_DAYS)
    assert rows == COINS * 365 * 24, rows
    baseline = (seen["calls"] - 1) * MINUTE_S / CALLS
    notes = {
        "limit": f"{CALLS} calls in {MINUTE_S:g} s",
        "calls": seen["calls"],
        "calls_beyond_minimum": seen["calls"] - expected,
        "answered_429": seen["refused"],
        "rows": rows,
    }
    return Result(seen["span_s"], baseline, baseline / seen["span_s"], peak_mb(), notes)


async def _fetch(home: str, url: str) -> int:
    settings = Settings.from_env(
        {
            "CRYPTO_ASSETS_HOME": home,
            "COINGECKO_API_KEY": "bench",
            "COINGECKO_PLAN": "analyst",
            "COINGECKO_BASE_URL": f"{url}/api/v3",
            "RATE_LIMITS": f"coingecko={CALLS}/{MINUTE_S:g}",
        }
    )
    coins = [replace(by_symbol()["BTC"], symbol=f"C{n}", coingecko=f"coin-{n}") for n in range(COINS)]
    async with Client(settings=settings, quota=open_quota_store(ensure_postgres(settings))) as client:
        now = datetime.now(timezone.utc)
        return len((await fetch_prices(client, settings, coins, START, END, now)).frame)
