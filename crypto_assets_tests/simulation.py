"""A day of ticks on a simulated clock, with faults: ``python -m crypto_assets_tests.simulation [TICKS]`` (96 are a day).

Real: the schedules' own evaluation, Dagster's instance on an embedded Postgres, every request over sockets to a sandbox
that answers 503 to each tenth, the warehouse, refills and salvage. Simulated: the clock, and the daemon, which would
follow the real one; its place takes a loop here, with a worker process that runs what it launches. The worker is killed
in the middle of a run and between two, Postgres in the middle of a run.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import AssetKey, DagsterInstance
from dagster._utils.schedules import cron_string_iterator

from crypto_assets.assets.access import Providers
from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.shells import PARTITION, RANGE, every_measure
from crypto_assets.definitions import build_defs, defs
from crypto_assets.instance import cluster
from crypto_assets.instance.home import open_instance
from crypto_assets.operate import runs
from crypto_assets.partitions import DAY, midnight, today
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.service.freshness import observe
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.upkeep import refill, salvage

QUARTER = timedelta(minutes=15)
SCHEDULES = ("every_15_minutes", "close_yesterday", "settle_yesterday")
CLOCK = "SIMULATED_NOW"
FAULT = "status=503,rate=0.1"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
WHOLE = ("prices", "ohlc", "ml_features", "onchain_base", "onchain_enhanced", "market_sentiment", "defi_metrics")


class Clocked(Providers):
    """The providers at the simulated instant."""

    def now(self) -> datetime:
        return datetime.fromisoformat(os.environ[CLOCK])


@dataclass
class Report:
    ticks: int = 0
    skipped: int = 0
    runs: int = 0
    failed_runs: int = 0
    lost_runs: int = 0  # killed, or their Postgres was
    fresh: dict[str, int] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)

    def slo(self) -> dict[str, float]:
        return {table: round(slots / self.ticks, 4) for table, slots in self.fresh.items()}


def work(pipe: Connection) -> None:
    """The worker: (clock, job, tables, tags) in, success out."""
    graph = build_defs({"providers": Clocked()})
    with open_instance(Settings.from_env()) as instance:
        while True:
            clock, job, tables, tags = pipe.recv()
            os.environ[CLOCK] = clock
            found = graph.resolve_job_def(job)
            if tables:
                found = found.get_subset(asset_selection={AssetKey(table) for table in tables})
            tags = {**tags, runs.PROCESS_TAG: runs._process()}
            try:
                done = found.execute_in_process(instance=instance, run_config=QUIET, tags=tags, raise_on_error=False)
                pipe.send((done.success, done.run_id))
            except Exception as error:  # Postgres went away
                pipe.send((False, f"{type(error).__name__}"))


class Worker:
    """The worker process; a dead one is replaced."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=work, args=(other,), daemon=True)
        self.process.start()
        other.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self._start()

    def run(self, *order: Any, disturb: Any = None) -> tuple[bool, str]:
        pipe = self.pipe  # of this worker: a kill replaces it
        pipe.send(order)
        if disturb is not None:
            pipe.poll(1.5)  # well into the run
            disturb()
        try:
            success, run_id = pipe.recv()
        except (EOFError, OSError):
            return False, "killed"
        return bool(success), str(run_id)


def stop_postgres(home: Path) -> None:
    """As a power cut would: no goodbye; whoever needs it next starts it, and it recovers."""
    root = home / "postgres"
    cluster._run(root, "pg_ctl", "-D", str(root / "data"), "-m", "immediate", "stop")
    cluster.running(root)


@dataclass
class Simulation:
    home: Path
    sandbox: Sandbox
    instance: DagsterInstance
    worker: Worker
    report: Report = field(default_factory=Report)

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(Settings.from_env().warehouse)

    def tick(self, now: datetime, disturb: str | None = None) -> None:
        """Everything that is due in the quarter that ends at ``now``, then a look at the tables."""
        self.sandbox.backend._fixed_now = now + timedelta(minutes=1)  # type: ignore[attr-defined]
        runs.bury_dead_runs(self.instance)  # as run monitoring does
        for schedule, moment in due(now):
            for request in self._evaluated(schedule, moment):
                self._launch(now, schedule_job(schedule), (), dict(request.tags), disturb)
                disturb = None
        found = [
            r
            for r in refill.plan(self.instance, self.warehouse, now)
            if refill.allowed(self.instance, r, datetime.now(timezone.utc))
        ]
        for item in found[: refill.RANGES_A_TICK]:
            self._launch(now, "refill", item.tables, dict(item.request().tags), None)
        for seen in observe(self.warehouse, now + timedelta(minutes=14)):
            if seen.table != "api_usage":  # calls are booked by the real clock
                self.report.fresh[seen.table] = self.report.fresh.get(seen.table, 0) + seen.fresh
        self.report.ticks += 1

    def _evaluated(self, schedule: str, moment: datetime) -> list[dg.RunRequest]:
        repository = defs.get_repository_def()
        with dg.build_schedule_context(
            self.instance, scheduled_execution_time=moment, repository_def=repository
        ) as context:
            found = list(defs.resolve_schedule_def(schedule).evaluate_tick(context).run_requests or [])
        self.report.skipped += not found
        return found

    def _launch(
        self, now: datetime, job: str, tables: tuple[str, ...], tags: dict[str, str], disturb: str | None
    ) -> None:
        actions = {"run": self.worker.kill, "postgres": lambda: stop_postgres(self.home)}
        success, run_id = self.worker.run(now.isoformat(), job, tables, tags, disturb=actions.get(disturb or ""))
        self.report.runs += 1
        if success:
            return
        run = self.instance.get_run_by_id(run_id) if len(run_id) == 36 else None
        if run is None:
            self.report.lost_runs += 1
            return
        self.report.failed_runs += 1
        rest = salvage.rest_of(self.instance, run)
        if rest and salvage.TAG not in tags:
            days = (tags[PARTITION],) * 2 if PARTITION in tags else (tags[RANGE[0]], tags[RANGE[1]])
            span = {RANGE[0]: days[0], RANGE[1]: days[1], salvage.TAG: run_id}
            self._launch(now, "refill", tuple(rest), span, None)


def due(now: datetime) -> Iterator[tuple[str, datetime]]:
    """(schedule, instant) of every tick in (now - 15 minutes, now]."""
    since = now - QUARTER + timedelta(seconds=1)
    for name in SCHEDULES:
        cron = defs.resolve_schedule_def(name).cron_schedule
        moment = next(cron_string_iterator(since.timestamp(), str(cron), "UTC"))
        if moment <= now:
            yield name, moment


def schedule_job(schedule: str) -> str:
    return defs.resolve_schedule_def(schedule).job_name


@contextmanager
def simulation(home: Path, first_day: date) -> Iterator[Simulation]:
    """A platform with three days of history before ``first_day``. Changes this process's environment."""
    with Sandbox(fault=FAULT, now=midnight(first_day)) as sandbox:
        os.environ.update(
            sandbox.env(),
            CRYPTO_ASSETS_HOME=str(home),
            CRYPTO_ASSETS_COINS="BTC,ETH",
            RATE_LIMITS="coingecko=1000/1,kraken=1000/1,binance=1000/1,coinmetrics=1000/1",
        )
        for name in ("DAGSTER_POSTGRES_URL", "CRYPTO_ASSETS_WAREHOUSE"):
            os.environ.pop(name, None)
        with open_instance(Settings.from_env()) as instance:
            found = Simulation(home, sandbox, instance, Worker())
            span = {RANGE[0]: (first_day - DAY * 3).isoformat(), RANGE[1]: (first_day - DAY).isoformat()}
            sandbox.backend._fixed_now = midnight(first_day) + timedelta(hours=12)  # type: ignore[attr-defined]
            for _ in range(3):  # what fails at first is there in the end
                clock = (midnight(first_day) + timedelta(hours=12)).isoformat()
                if found.worker.run(clock, "refill", (), span)[0]:
                    break
            try:
                yield found
            finally:
                with suppress(OSError):
                    found.worker.process.kill()


def rows_of(found: Simulation, day: date, now: datetime) -> list[str]:
    """What is missing or double in a closed day, as sentences."""
    scope = Scope(found.warehouse, Settings.from_env(), day, day, now)
    looked = {table: every_measure()[table]["rows_expected"](scope) for table in WHOLE}
    return [f"{table}: {outcome.description}" for table, outcome in looked.items() if not outcome.passed]


def run(home: Path, start: datetime, ticks: int, disturbances: dict[int, str]) -> tuple[Report, list[str]]:
    with simulation(home, start.date()) as found:
        for n in range(ticks):
            now = start + QUARTER * n
            if disturbances.get(n) == "daemon":
                found.worker.kill()
            found.tick(now, disturbances.get(n))
            print(f"{now:%Y-%m-%d %H:%M} {found.report.runs} runs", file=sys.stderr, flush=True)
        closed = [start.date() + DAY * n for n in range((now.date() - start.date()).days)]
        return found.report, [text for day in closed for text in rows_of(found, day, now)]


def main() -> None:
    ticks = int(sys.argv[1]) if len(sys.argv) > 1 else 96
    begin = midnight(today() - DAY * 2) + timedelta(hours=14)
    where = {ticks // 5: "postgres", ticks * 2 // 5: "run", ticks * 3 // 5: "daemon", ticks * 4 // 5: "run"}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report, trouble = run(Path(folder) / "home", begin, ticks, where)
    slo = report.slo()
    document = {
        "ticks": report.ticks, "runs": report.runs, "failed_runs": report.failed_runs, "lost_runs": report.lost_runs,
        "skipped": report.skipped, "slo": slo, "slo_least": min(slo.values()), "trouble": trouble,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
