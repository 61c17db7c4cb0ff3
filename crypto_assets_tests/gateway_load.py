"""``python -m crypto_assets_tests.gateway_load [--minutes 30]``: the gateway under mixed load while everything under it moves.

A sandbox, an installation with days of history, its gateway in a process of its own. Meanwhile the graph fills one day after the
other, the tables are rewritten, the newest rows in Postgres change, and Postgres is stopped as by a power cut and started again.
Each answer is held against what the warehouse has at the version that the answer names; the newest rows against those that were
in Postgres while the request was under way. An error is right only while Postgres was away. Prints one JSON document; exit 1 where
an answer was wrong.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pyarrow.ipc as arrow_ipc
from polars.testing import assert_frame_equal

import crypto_assets as ca
from crypto_assets.dates import yesterday
from crypto_assets.gateway.tokens import Tokens
from crypto_assets.runtime.postgres import ensure_postgres
from crypto_assets.serving import online, online_asset
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import CONTRACTS
from crypto_assets.tables.schemas import ML_FEATURES, PRICES
from crypto_assets_tests.gateway.conftest import as_frame
from crypto_assets_tests.ports import free_port
from crypto_assets_tests.simulation.day import stop_postgres
from crypto_assets_tests.simulation.sources import serving

HISTORY = 3  # days before the first minute
CLIENTS = 4
AWAY_S = 2.0  # how long Postgres stays away
# What began while it was away may end with an error until this time after its return: a busy machine is slow.
AFTER_S = 8.0
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
Rows = list[dict[str, Any]]
Work = Callable[[random.Random], None]


@dataclass
class Load:
    """The load and what it found.

    Attributes:
        home: the installation.
        port: of its gateway.
        token: may read everything.
        until: when it ends (monotonic seconds).
        counts: answers by kind and status.
        wrong: answers that are not what was stored, and errors while Postgres was there.
        away: from when to when Postgres was away.
        states: the rows online, with the moments between which they came.
    """

    home: Path
    port: int
    token: str
    until: float
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    away: list[tuple[float, float]] = field(default_factory=list)
    states: list[tuple[float, float, Rows]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(self.home)})
        self.warehouse = Warehouse(self.settings.warehouse)
        self.url = ensure_postgres(self.settings)
        self._moving = threading.Lock()

    # What moves

    def put_online(self, changed: float) -> None:
        """Replace the rows in Postgres: those of the warehouse, with other values."""
        rows, version = online_asset.newest_rows(self.warehouse)
        if rows.is_empty():
            return
        moved = rows.with_columns(pl.lit(changed).alias("rsi_14"))
        with self._moving:
            begun = time.monotonic()
            online.upsert(self.url, moved, version * 1_000_000 + len(self.states))
            self._remember(begun)

    def _remember(self, begun: float) -> None:
        stored = online.latest(self.url).select("symbol", "ts", *ML_FEATURES.value_columns)
        times = pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        self.states.append((begun, time.monotonic(), stored.with_columns(times).to_dicts()))

    def rewrite(self, choice: random.Random) -> None:
        """Overwrite a day of prices with other values."""
        files = self.warehouse.files("prices").filter(pl.col("rows") > 0)
        if not files.is_empty():
            day: date = choice.choice(files["day"].to_list())
            rows = self.warehouse.read(PRICES, start=day, end=day)
            self.warehouse.write(PRICES, rows.with_columns(pl.col("price_usd") * choice.uniform(0.9, 1.1)), [day])

    def move(self, choice: random.Random) -> None:
        self.rewrite(choice)
        self.put_online(choice.random())
        time.sleep(0.5)

    def restart_postgres(self, every: float) -> None:
        """Stop Postgres without a goodbye, again and again."""
        while time.monotonic() + every + AWAY_S + AFTER_S < self.until:
            time.sleep(every)
            with self._moving:
                begun = time.monotonic()
                self.away.append((begun, begun + 600))
                stop_postgres(self.home)
                self.away[-1] = begun, time.monotonic() + AFTER_S
                self._remember(begun)  # the embedded server loses what it took in the last 30 ms

    # What is asked

    def ask(self, kind: str, path: str, check: Callable[[httpx.Response, float], str | None], **asked: Any) -> None:
        """Send a request and judge its answer."""
        begun = time.monotonic()
        try:
            answer = self.client().request(asked.pop("method", "GET"), path, **asked)
        except httpx.HTTPError as error:
            self.note(f"{kind} {path} {asked}: {error!r} after {time.monotonic() - begun:.0f} s")
            return
        ended = time.monotonic()
        self.counts[f"{kind} {answer.status_code}"] += 1
        if answer.status_code == 200:
            said = check(answer, begun)
        else:
            away = any(first <= ended and begun <= last for first, last in self.away)
            right = answer.status_code == 503 and answer.headers["content-type"] == "application/problem+json"
            said = None if away and right else f"{answer.status_code} {answer.text[:200]}"
        if said is not None:
            self.note(f"{kind} {path} {asked}: {said}")

    def note(self, said: str) -> None:
        """Keep what is wrong, and show it at once."""
        self.wrong.append(said[:600])
        print(self.wrong[-1], file=sys.stderr, flush=True)

    def client(self) -> httpx.Client:
        """The client of this thread."""
        if not hasattr(_local, "client"):
            headers = {"Authorization": f"Bearer {self.token}"}
            _local.client = httpx.Client(
                base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=300, trust_env=False
            )
        found: httpx.Client = _local.client
        return found

    def expected(self, table: str, version: int, asked: dict[str, str]) -> pl.DataFrame:
        """The rows of a version, read from its files."""
        contract = CONTRACTS[table]
        rows = self.warehouse.read(contract, version=version)
        if "symbols" in asked:
            rows = rows.filter(pl.col("symbol").is_in(asked["symbols"].split(",")))
        if "start" in asked:
            rows = rows.filter(pl.col("date") >= date.fromisoformat(asked["start"]))
        return rows.sort(list(dict.fromkeys(["date", *contract.key])))

    def rows(self, choice: random.Random) -> None:
        """Rows of a table, in any format, of the newest or an older version."""
        table = choice.choice(
            [
                name
                for name in ("prices", "ohlc", "onchain_base", "market_sentiment", "ml_features")
                if self.warehouse.exists(name)
            ]
        )
        newest = self.warehouse.version(table) or 0
        asked: dict[str, str] = {}
        if "symbol" in CONTRACTS[table].by_name and choice.random() < 0.5:
            asked["symbols"] = choice.choice(["BTC", "ETH", "BTC,ETH"])
        if choice.random() < 0.5:
            asked["start"] = str(choice.choice(self.warehouse.files(table)["day"].to_list() or [yesterday()]))
        if choice.random() < 0.3:
            asked["as_of"] = str(choice.randint(max(0, newest - 5), newest))
        form = choice.choice(["json", ARROW, PARQUET])
        path = f"/v1/tables/{table}/rows"

        def check(answer: httpx.Response, begun: float) -> str | None:
            version = answer.json()["version"] if form == "json" else int(answer.headers["crypto-assets-version"])
            if "as_of" in asked and version != int(asked["as_of"]):
                return f"version {version} is not the one that was asked for"
            if "as_of" not in asked and version < newest:
                return f"version {version} is older than {newest}, which was there before the request"
            expected = self.expected(table, version, asked)
            if form == "json":
                return _differs(as_frame(self._pages(path, asked, answer), expected), expected)
            got = arrow_ipc.open_stream(answer.content).read_all() if form == ARROW else None
            found = pl.read_parquet(io.BytesIO(answer.content)) if got is None else pl.DataFrame(got)
            return _differs(found, expected)

        limit = {"limit": choice.choice([50, 1000])} if form == "json" else {}
        self.ask(
            f"rows {form}",
            path,
            check,
            params=asked | limit,
            headers={"Accept": form if form != "json" else "application/json"},
        )

    def _pages(self, path: str, asked: dict[str, str], first: httpx.Response) -> Rows:
        """All pages; one that Postgres does not let through is asked for again."""
        found, page = list(first.json()["rows"]), first.json()
        while page["next_page_token"] is not None and len(found) < 100_000:
            params = asked | {"limit": "10000", "page_token": page["next_page_token"]}
            answer = self.client().get(path, params=params)
            if answer.status_code == 503:
                time.sleep(0.3)
                continue
            if answer.json()["version"] != page["version"]:
                raise AssertionError("a page is of another version than the one before")
            page = answer.json()
            found += page["rows"]
        return found

    def latest(self, choice: random.Random) -> None:
        """The newest rows: those that were there at some moment of the request."""

        def check(answer: httpx.Response, begun: float) -> str | None:
            ended = time.monotonic()
            with self._moving:  # a change that is under way is among the states once it is done
                states = list(self.states)
            ends = [end for _, end, _ in states[1:]] + [float("inf")]  # of being the newest: the next one is there
            allowed = [
                {row["symbol"]: row for row in rows}
                for (start, _, rows), end in zip(states, ends, strict=True) if start <= ended and end >= begun
            ]  # fmt: skip
            got = [
                {name: row[name] for name in ("symbol", "ts", *ML_FEATURES.value_columns)}
                for row in answer.json()["rows"]
            ]
            wrong = [row["symbol"] for row in got if not any(state.get(row["symbol"]) == row for state in allowed)]
            if not allowed or wrong or {row["symbol"] for row in got} != set(allowed[-1]):
                of = [
                    (number, round(start - begun, 3), round(end - begun, 3))
                    for number, (start, end, rows) in enumerate(states) if any(row in rows for row in got)
                ]  # fmt: skip
                return (
                    f"rows of {wrong or 'other coins'} were not there in the {ended - begun:.3f} s of the request; they are those of "
                    f"the states {of} (number, begin and end of its write after the request) of {len(states)}; {got[0]['ts']}"
                )
            return None

        if self.states:
            self.ask("latest", "/v1/features/latest", check)

    def historical(self, choice: random.Random) -> None:
        """Features as they were known, where the table did not change meanwhile."""
        days = self.warehouse.files("ml_features")["day"].to_list()
        if not days:
            return
        ts = [f"{choice.choice(days)}T{choice.randint(0, 23):02}:17:00Z" for _ in range(20)]
        entities = [{"symbol": choice.choice(["BTC", "ETH"]), "ts": one} for one in ts]
        before = self.warehouse.version("ml_features")

        def check(answer: httpx.Response, begun: float) -> str | None:
            asked = pl.DataFrame(entities).with_columns(pl.col("ts").str.to_datetime(time_unit="us", time_zone="UTC"))
            expected = ca.open(self.home).historical_features(asked, ["price_usd", "rsi_14"])
            if self.warehouse.version("ml_features") != before:
                return None
            return _differs(as_frame(answer.json()["rows"], expected), expected)

        body = {"entities": entities, "columns": ["price_usd", "rsi_14"]}
        self.ask("historical", "/v1/features/historical", check, method="POST", json=body)

    def others(self, choice: random.Random) -> None:
        """Pages about the whole, which must be there."""
        for path in ("/v1/catalog", "/v1/tables/prices", "/healthz", "/metrics", "/v1/narratives/digest"):
            self.ask("others", path, lambda answer, begun: None if answer.content else "nothing")

    def verdict(self) -> dict[str, Any]:
        return {
            "answers": dict(sorted(self.counts.items())), "postgres_restarts": len(self.away), "states_online": len(self.states),
            "versions": {name: self.warehouse.version(name) for name in ("prices", "ml_features")},
            "wrong": self.wrong[:20], "wrong_count": len(self.wrong),
        }  # fmt: skip


_local = threading.local()


def _differs(got: pl.DataFrame, expected: pl.DataFrame) -> str | None:
    try:
        assert_frame_equal(got, expected.select(got.columns) if got.columns else expected)
    except AssertionError as error:
        return str(error)[:300]
    return None


@contextmanager
def gateway(home: Path, port: int) -> Iterator[None]:
    command = [sys.executable, "-c", "from crypto_assets.cli.entry import main; main()", "serve", "--port", str(port)]
    with (home / "gateway.log").open("ab") as log:
        running = subprocess.Popen(command, env={**os.environ, "CRYPTO_ASSETS_HOME": str(home)}, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:  # the verdict matters more than a clean end
            running.kill()
            running.wait()


def run(home: Path, seconds: float, restart_s: float, graph: Callable[[Load], None] | None = None) -> Load:
    """Put a home under load for some seconds.

    Args:
        home: an installation with rows of ``prices`` and ``ml_features``.
        seconds: how long.
        restart_s: how often Postgres is restarted.
        graph: writes to the warehouse meanwhile, until ``until``; None: nothing but the rewriting does.

    Returns:
        The load, with its verdict.
    """
    url, port = ensure_postgres(Settings.from_env({"CRYPTO_ASSETS_HOME": str(home)})), free_port()
    tokens = Tokens(url)
    token = tokens.create(f"load {port}", ["all"], calls_a_minute=10_000_000, rows_a_day=10**12)
    with gateway(home, port):
        load = Load(home, port, token, time.monotonic() + seconds)
        load.put_online(50.0)
        load.until = time.monotonic() + seconds
        works: list[Work] = [load.rows, load.latest, load.historical, load.others]
        threads = [threading.Thread(target=_forever, args=(load, [works[n % 4], load.rows], n)) for n in range(CLIENTS)]
        threads.append(threading.Thread(target=_forever, args=(load, [load.move], 99)))
        threads.append(threading.Thread(target=load.restart_postgres, args=(restart_s,)))
        if graph is not None:
            threads.append(threading.Thread(target=graph, args=(load,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return load


def _forever(load: Load, works: list[Work], seed: int) -> None:
    choice = random.Random(seed)
    while time.monotonic() < load.until:
        try:
            choice.choice(works)(choice)
        except Exception as error:  # the load goes on, and the verdict says it
            load.note(f"{works[0].__name__}: {error!r}")


def _backfill(home: Path, first: date, last: date) -> int:
    command = [sys.executable, "-m", "crypto_assets.cli.main", "backfill", "--start", str(first), "--end", str(last)]
    with (home / "graph.log").open("ab") as log:
        return subprocess.run(
            command, env={**os.environ, "CRYPTO_ASSETS_HOME": str(home)}, stdout=log, stderr=log, check=False
        ).returncode


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    os.environ.update(CRYPTO_ASSETS_COINS="BTC,ETH", COINGECKO_PLAN="enterprise", COINGECKO_API_KEY="sandbox")
    os.environ["RATE_LIMITS"] = "coingecko=1000/1,kraken=1000/1,binance=1000/1,coinmetrics=1000/1"
    last = yesterday()
    first = last - timedelta(days=HISTORY + 30)
    os.environ["CRYPTO_ASSETS_START"] = str(first)
    with tempfile.TemporaryDirectory(prefix="gateway-load-") as folder, ExitStack() as stack:
        sources = stack.enter_context(serving())
        os.environ.update(sources.env)
        home = Path(folder) / "home"
        home.mkdir()
        _backfill(home, first, first + timedelta(days=HISTORY - 1))
        filled: list[int] = []

        def graph(load: Load) -> None:
            day = first + timedelta(days=HISTORY)
            while time.monotonic() < load.until and day <= last:
                filled.append(_backfill(home, day, day))
                day += timedelta(days=1)

        load = run(home, minutes * 60, 45.0, graph)
        print(json.dumps({"minutes": minutes, "days_filled": len(filled), **load.verdict()}, indent=2))
    return 1 if load.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
