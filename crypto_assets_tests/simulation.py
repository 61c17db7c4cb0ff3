"""A day of ticks with faults, under a clock that runs ahead: ``python -m crypto_assets_tests.simulation [TICKS]``.

96 ticks are a day. Everything is real and under one simulated clock (``clock.py``): webserver, daemon,
code server and run processes as in production, the embedded Postgres, and a sandbox that answers 503 to each tenth
call. The clock steps from one schedule's minute to the next as soon as all that was due is done. On the way Postgres
is stopped as by a power cut in the middle of a run, a run and the daemon are ended by ``kill -9``; a supervisor's part
(to start again what ended) is played here. Alerts go to a webhook that refuses some of them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import httpx
import polars as pl
from dagster._utils.schedules import reverse_cron_string_iterator

from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.shells import every_measure
from crypto_assets.definitions import defs
from crypto_assets.instance import cluster
from crypto_assets.instance.home import prepare
from crypto_assets.partitions import DAY, today
from crypto_assets.schemas import CONTRACTS
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests import clock as clocks
from crypto_assets_tests.alerts.receiver import Receiver, receiving
from crypto_assets_tests.composed import Composed

QUARTER = timedelta(minutes=15)
MINUTES = (2, 10)  # of a quarter: the tick; then refill, observation and look, due by then
SWITCHED_ON = ("every_15_minutes", "close_yesterday", "settle_yesterday", "refill_gaps")
FAULT = "status=503,rate=0.1"
REFUSED = 0.1  # of the alerts
HISTORY = 3  # days that are there before the first tick
PATIENCE_S = 400.0  # for what is due at one minute
LAST_LOOKS = 12  # quarters after the day in which what is still open may close
WHOLE = ("prices", "ohlc", "ml_features", "onchain_base", "onchain_enhanced", "market_sentiment", "defi_metrics")
BUSY = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
TICKS = """query($s: RepositorySelector!) { schedulesOrError(repositorySelector: $s) { ... on Schedules { results {
  name scheduleState { ticks(limit: 1) { timestamp status } } } } } }"""
LOGS = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  ... on MessageEvent { message } } } } }"""
SERVE = """
import sys
from crypto_assets.sandbox.server import Sandbox
with Sandbox(fault=sys.argv[1]) as sandbox:
    print("\\t".join(f"{name}={value}" for name, value in sandbox.env().items()), flush=True)
    sys.stdin.read()
"""


@dataclass
class Report:
    ticks: int = 0
    done: list[str] = field(default_factory=list)  # the disturbances
    trouble: list[str] = field(default_factory=list)


@dataclass
class Simulation:
    home: Path
    clock: clocks.Clock
    live: Composed
    hook: Receiver
    report: Report = field(default_factory=Report)
    told: int = 0  # alerts shown

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(str(self.home / "warehouse"))

    def quarter(self, begins: datetime, disturb: str | None = None) -> None:
        for minute in MINUTES:
            self.clock.move_to(begins + timedelta(minutes=minute))
            if disturb is not None and minute == MINUTES[0]:
                self._disturb(disturb)
            self._settle()
        self.report.ticks += 1

    def _settle(self) -> None:
        """Until every schedule has had its tick and no run waits or runs."""
        deadline, quiet = time.monotonic() + PATIENCE_S, 0
        while quiet < 3:
            if time.monotonic() > deadline:
                self.report.trouble.append(f"{self.clock.now():%m-%d %H:%M}: not done in {PATIENCE_S:.0f} s")
                return
            quiet = quiet + 1 if self._idle() else 0
            time.sleep(0.4)

    def _idle(self) -> bool:
        found = self._ask(
            TICKS, s={"repositoryName": "__repository__", "repositoryLocationName": "crypto_assets.definitions"}
        )
        if found is None or "results" not in found["schedulesOrError"]:
            return False
        for schedule in found["schedulesOrError"]["results"]:
            newest = [tick for tick in schedule["scheduleState"]["ticks"] if tick["status"] != "STARTED"]
            due = last_due(schedule["name"], self.clock.now())
            if due > self.begun and (not newest or newest[0]["timestamp"] < due.timestamp() - 1):
                return False
        return not self.running()

    def running(self) -> list[dict[str, Any]]:
        try:
            return self.live.runs(statuses=BUSY)
        except (httpx.HTTPError, RuntimeError, ValueError, KeyError):
            return [{"runId": "", "status": "UNKNOWN", "jobName": ""}]

    def _ask(self, query: str, **variables: Any) -> dict[str, Any] | None:
        """None while the webserver or its Postgres is away; a process that ended is started again."""
        self.live.supervise()
        try:
            return self.live.ask(query, **variables)
        except (httpx.HTTPError, RuntimeError, ValueError):
            time.sleep(0.5)
            return None

    def _disturb(self, what: str) -> None:
        run = self._tick_that_runs()
        if what == "postgres":
            stop_postgres(self.home)
        elif what == "run":
            os.kill(self._pid_of(run), signal.SIGKILL)
        else:
            self.live.processes["daemon"].kill()
        self.report.done.append(f"{self.clock.now():%m-%d %H:%M} {what} (run {run[:8]})")

    def _tick_that_runs(self) -> str:
        for _ in range(600):
            begun = [run for run in self.running() if run["status"] == "STARTED" and run["jobName"] == "intraday"]
            if begun:
                time.sleep(1.0)  # well into it
                return str(begun[0]["runId"])
            time.sleep(0.1)
        raise TimeoutError("no tick began within a minute")

    def _pid_of(self, run: str) -> int:
        found = self.live.ask(LOGS, id=run)["logsForRun"]["events"]
        texts = [event["message"] for event in found if "Started process for run" in (event.get("message") or "")]
        return int(texts[0].split("pid: ")[1].split(")")[0])

    def __post_init__(self) -> None:
        self.begun = self.clock.now()


def last_due(schedule: str, now: datetime) -> datetime:
    cron = str(defs.resolve_schedule_def(schedule).cron_schedule)
    return next(reverse_cron_string_iterator(now.timestamp(), cron, "UTC"))


def stop_postgres(home: Path) -> None:
    """As a power cut would: no goodbye; then it is started and recovers."""
    root = home / "postgres"
    cluster._run(root, "pg_ctl", "-D", str(root / "data"), "-m", "immediate", "stop")
    cluster.running(root)


@contextmanager
def simulation(folder: Path, begin: datetime) -> Iterator[Simulation]:
    """A platform with some days of history at ``begin``. Changes this process's environment."""
    clock, home = clocks.Clock(folder / "clock"), folder / "home"
    home.mkdir()
    clock.move_to(begin)
    os.environ.update(clock.env())
    os.environ.update(CRYPTO_ASSETS_HOME=str(home), CRYPTO_ASSETS_COINS="BTC,ETH")
    os.environ["CRYPTO_ASSETS_START"] = str(begin.date() - DAY * HISTORY)
    os.environ["RATE_LIMITS"] = "coingecko=1000/1,kraken=1000/1,binance=1000/1,coinmetrics=1000/1"
    for name in ("DAGSTER_POSTGRES_URL", "DAGSTER_HOME", "CRYPTO_ASSETS_WAREHOUSE"):
        os.environ.pop(name, None)
    cluster.KEPT_ENV = (*cluster.KEPT_ENV, *clocks.NAMES)
    prepare(Settings.from_env())
    with sandbox() as addresses, receiving() as hook:
        hook.refuses = REFUSED
        os.environ.update(addresses, ALERT_WEBHOOK_URL=hook.url)
        days = ("--start", os.environ["CRYPTO_ASSETS_START"], "--end", str(begin.date()))
        for _ in range(4):  # what fails at first is there in the end
            if command("backfill", *days, "--missing").returncode == 0:
                break
        live = Composed(home, {})
        live.start()
        found = Simulation(home, clock, live, hook)
        try:
            for schedule in SWITCHED_ON:
                live.switch_on(schedule)
            yield found
        finally:
            live.stop()


@contextmanager
def sandbox() -> Iterator[dict[str, str]]:
    """A provider in a process of its own, under the clock, and the variables that lead to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, FAULT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield dict(part.split("=", 1) for part in process.stdout.readline().strip().split("\t"))
    finally:
        process.stdin.close()
        process.wait(30)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "crypto_assets.cli", *arguments], capture_output=True, text=True)


def run(folder: Path, start: datetime, ticks: int, disturbances: dict[int, str]) -> dict[str, Any]:
    began = time.monotonic()
    with simulation(folder, start) as found:
        for n in range(ticks):
            found.quarter(start + QUARTER * n, disturbances.get(n))
            tell(found, began)
        level = service_level(found)
        more = 0
        while more < LAST_LOOKS and still_open(found.hook):
            found.quarter(start + QUARTER * (ticks + more))
            more += 1
        return {
            "ticks": ticks, "seconds": round(time.monotonic() - began, 1), "quarters_until_all_closed": more,
            "disturbances": found.report.done, "processes_started_again": found.live.restarts,
            "runs": runs_by_status(found), **level, "trouble": found.report.trouble,
            "gaps": gaps(found, start.date(), found.clock.now()), "duplicates": duplicates(found, start.date()),
            "alerts_refused_by_the_webhook": len(found.hook.ids) - len(found.hook.got), "incidents": incidents(found.hook),
        }  # fmt: skip


def tell(found: Simulation, began: float) -> None:
    line = f"{found.clock.now():%Y-%m-%d %H:%M} after {time.monotonic() - began:.0f} s"
    new = found.hook.got[found.told :]
    found.told += len(new)
    print(
        "\n".join([line, *(f"  {m['event']}: {m['title']}: {m['what'][:160]}" for m in new)]),
        file=sys.stderr,
        flush=True,
    )


def incidents(hook: Receiver) -> dict[str, dict[str, Any]]:
    """Incident -> what it was, and how often each of its events was told."""
    found: dict[str, dict[str, Any]] = {}
    for message in hook.got:
        entry = found.setdefault(
            str(message["incident"]), {"title": message["title"], "what": message["what"], "told": Counter()}
        )
        entry["told"][message["event"]] += 1
        entry.setdefault(message["event"], message["closed_at"] or message["opened_at"])
    return found


def still_open(hook: Receiver) -> list[str]:
    return [name for name, entry in incidents(hook).items() if not entry["told"]["closed"]]


def told_wrongly(incidents: dict[str, dict[str, Any]]) -> list[str]:
    """Incidents that were not told once when they began and once when they ended."""
    once = {"opened": 1, "closed": 1}
    return [f"{entry['title']}: {dict(entry['told'])}" for entry in incidents.values() if dict(entry["told"]) != once]


def runs_by_status(found: Simulation) -> dict[str, int]:
    rows = found.live.runs()
    return {status: sum(row["status"] == status for row in rows) for status in sorted({row["status"] for row in rows})}


def service_level(found: Simulation) -> dict[str, Any]:
    """From the platform's own newest report."""
    now = found.clock.now()
    rows = found.warehouse.read("slo_report", start=now.date() - DAY, end=now.date())
    newest = rows.filter(pl.col("ts") == pl.col("ts").max(), pl.col("window") == "24h")
    shares = {row["asset"]: round(row["share_fresh"], 4) for row in newest.iter_rows(named=True)}
    return {
        "slo_24h": shares,
        "slo_24h_least": min(shares.values()),
        "unobserved_slots": int(newest["unobserved_slots"].max() or 0),
    }


def gaps(found: Simulation, first: date, now: datetime) -> list[str]:
    """What is missing in a closed day, as sentences."""
    said = []
    for day in (first + DAY * n for n in range((now.date() - first).days)):
        scope = Scope(found.warehouse, Settings.from_env(), day, day, now)
        outcomes = {table: every_measure()[table]["rows_expected"](scope) for table in WHOLE}
        said += [f"{table}: {outcome.description}" for table, outcome in outcomes.items() if not outcome.passed]
    return said


def duplicates(found: Simulation, first: date) -> list[str]:
    """Tables in which a key occurs twice."""
    said = []
    for table, contract in CONTRACTS.items():
        keys = found.warehouse.read(table, start=first - DAY * HISTORY, end=first + DAY * 3, columns=list(contract.key))
        if keys.height != keys.n_unique():
            said.append(f"{table}: {keys.height - keys.n_unique()} of {keys.height} rows")
    return said


def disturbances_of(ticks: int) -> dict[int, str]:
    return dict(zip((ticks * n // 5 for n in range(1, 5)), ("postgres", "run", "daemon", "run"), strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crypto_assets_tests.simulation", description=__doc__)
    parser.add_argument("ticks", nargs="?", type=int, default=96)
    parser.add_argument(
        "--begin", type=time_of_day.fromisoformat, default=time_of_day(14), help="HH:MM of the day before yesterday"
    )
    parser.add_argument("--folder", type=Path, help="where state and logs stay")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="crypto-assets-day-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # Postgres, who runs as somebody else, reads the clock
    print(f"state and logs are in {folder}/home", file=sys.stderr)
    begin = datetime.combine(today() - DAY * 2, chosen.begin, timezone.utc)
    document = run(folder, begin, chosen.ticks, disturbances_of(chosen.ticks))
    wrong = told_wrongly(document["incidents"])
    print(json.dumps({**document, "told_wrongly": wrong}, indent=2, default=str))
    good = document["slo_24h_least"] >= 0.99 and not (
        wrong or document["gaps"] or document["duplicates"] or document["trouble"]
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
