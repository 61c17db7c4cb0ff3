"""The conductor: steps the clock, waits until all that was due is done, disturbs, and looks on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.scheduler.instigation import InstigatorType, TickStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._utils.schedules import reverse_cron_string_iterator
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import SQLAlchemyError

import crypto_assets
from crypto_assets import __version__
from crypto_assets.dates import DAY
from crypto_assets.definitions import defs
from crypto_assets.runtime import embedded_postgres
from crypto_assets.runtime.home import prepare
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.monitoring.alerts.receiver import Receiver, receiving
from crypto_assets_tests.simulation import clock as clocks
from crypto_assets_tests.simulation.composed import Composed
from crypto_assets_tests.simulation.sources import Sources, serving

QUARTER = timedelta(minutes=15)
MINUTES = (2, 10)  # of a quarter: the tick; then refill, observation and look, due by then
SWITCHED_ON = ("every_15_minutes", "close_yesterday", "settle_yesterday", "refill_gaps")
REFUSED = 0.1  # of the alerts
HISTORY = 3  # days that are there before the first tick
PATIENCE_S = 1200.0  # for what is due at one minute, also on a machine that does much else
BUSY = [status for status in DagsterRunStatus if status not in FINISHED_STATUSES]
LOGS = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  ... on MessageEvent { message } } } } }"""


@dataclass
class Day:
    """One platform under a clock. ``disturbances`` and ``trouble`` say what was done to it and what took too long."""

    home: Path
    clock: clocks.Clock
    live: Composed
    sources: Sources
    hook: Receiver
    instance: DagsterInstance
    silent: set[str] = field(default_factory=set)
    disturbances: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begun = self.clock.now()

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(str(self.home / "warehouse"))

    def quarter(self, begins: datetime, disturb: tuple[str, ...] = ()) -> None:
        for minute in MINUTES:
            self.clock.move_to(begins + timedelta(minutes=minute))
            if minute == MINUTES[0]:
                for what in disturb:
                    self._disturb(what)
            self._settle()

    def _settle(self) -> None:
        """Until every schedule has had its tick and no run waits or runs."""
        deadline, quiet = time.monotonic() + PATIENCE_S, 0
        while quiet < 3:
            if time.monotonic() > deadline:
                self.trouble.append(f"{self.clock.now():%m-%d %H:%M}: not done in {PATIENCE_S:.0f} s")
                return
            quiet = quiet + 1 if self._idle() else 0
            time.sleep(0.4)

    def _idle(self) -> bool:
        """Asked of the database: the webserver would compute as much for its answers as a tick does."""
        self.live.supervise()
        try:
            return not self.instance.get_runs_count(RunsFilter(statuses=BUSY)) and self._all_ticked()
        except (DagsterPostgresException, SQLAlchemyError):  # Postgres is away
            return False

    def _all_ticked(self) -> bool:
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
        for state in (state for state in states if state.is_running):
            (newest, *_) = [*self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1), None]
            due = last_due(state.name, self.clock.now())
            if due > self.begun and (
                newest is None or newest.status is TickStatus.STARTED or newest.timestamp < due.timestamp() - 1
            ):
                return False
        return True

    def _running(self) -> list[dict[str, Any]]:
        try:
            return self.live.runs(statuses=[status.name for status in BUSY])
        except (httpx.HTTPError, RuntimeError, ValueError, KeyError):
            return [{"runId": "", "status": "UNKNOWN", "jobName": ""}]

    def _disturb(self, what: str) -> None:
        """``silent NAME``, ``back NAME``, or in the middle of a tick's run ``kill run``, ``kill daemon``, ``stop postgres``
        or ``deploy next``.
        """
        act, name = what.split()
        said = what
        if act in ("silent", "back"):
            self.silent = self.silent | {name} if act == "silent" else self.silent - {name}
            self.sources.fault(self.silent)
        else:
            run = self._tick_that_runs()
            said += f" (run {run[:8]})"
            if name == "postgres":
                stop_postgres(self.home)
            elif act == "deploy":
                said += f": {self._deploy()}"
            elif name == "run":
                os.kill(self._pid_of(run), signal.SIGKILL)
            else:
                self.live.processes["daemon"].kill()
        self.disturbances.append(f"{self.clock.now():%m-%d %H:%M} {said}")

    def _deploy(self) -> str:
        """Another version under the same state; returns its number as the new processes import it."""
        source = next_version(self.home.parent / "next")
        self.live.deploy(source)
        asked = [sys.executable, "-c", "import crypto_assets; print(crypto_assets.__version__)"]
        done = subprocess.run(asked, env={**os.environ, **self.live.env}, cwd=source, capture_output=True, text=True)
        found = done.stdout.strip()
        if found in ("", __version__):
            raise RuntimeError(f"the deployment runs {found or done.stderr[-300:]}, not another version")
        return found

    def _tick_that_runs(self) -> str:
        for _ in range(1200):
            begun = [run for run in self._running() if run["status"] == "STARTED" and run["jobName"] == "intraday"]
            if begun:
                time.sleep(1.0)  # well into it
                return str(begun[0]["runId"])
            time.sleep(0.1)
        raise TimeoutError("no tick began within two minutes")

    def _pid_of(self, run: str) -> int:
        found = self.live.ask(LOGS, id=run)["logsForRun"]["events"]
        texts = [event["message"] for event in found if "Started process for run" in (event.get("message") or "")]
        return int(texts[0].split("pid: ")[1].split(")")[0])


def last_due(schedule: str, now: datetime) -> datetime:
    cron = str(defs.resolve_schedule_def(schedule).cron_schedule)
    return next(reverse_cron_string_iterator(now.timestamp(), cron, "UTC"))


def stop_postgres(home: Path) -> None:
    """As a power cut would: no goodbye; then it is started and recovers."""
    root = home / "postgres"
    embedded_postgres._run(root, "pg_ctl", "-D", str(root / "data"), "-m", "immediate", "stop")
    embedded_postgres.running(root)


def next_version(folder: Path) -> Path:
    """Copy the package with another version number; returns the folder to import it from."""
    if not folder.exists():
        shutil.copytree(Path(crypto_assets.__file__).parent, folder / "crypto_assets")
        numbered = folder / "crypto_assets" / "__init__.py"
        text = numbered.read_text(encoding="utf-8")
        numbered.write_text(text.replace(f'"{__version__}"', f'"{__version__}.post1"'), encoding="utf-8")
    return folder


@contextmanager
def day(folder: Path, begin: datetime) -> Iterator[Day]:
    """A platform with some days of history at ``begin``. Changes this process's environment."""
    clock, home = clocks.Clock(folder / "clock"), folder / "home"
    home.mkdir()
    clock.move_to(begin)
    if not clock.works():
        raise RuntimeError(f"processes do not follow the clock: {clocks.LIBRARY} is for Linux on x86-64")
    os.environ.update(clock.env())
    os.environ.update(CRYPTO_ASSETS_HOME=str(home), CRYPTO_ASSETS_COINS="BTC,ETH")
    os.environ["CRYPTO_ASSETS_START"] = str(begin.date() - DAY * HISTORY)
    os.environ["RATE_LIMITS"] = "coingecko=1000/1,kraken=1000/1,binance=1000/1,coinmetrics=1000/1"
    os.environ.update(COINGECKO_PLAN="enterprise", COINGECKO_API_KEY="sandbox")
    for name in ("DAGSTER_POSTGRES_URL", "DAGSTER_HOME", "CRYPTO_ASSETS_WAREHOUSE"):
        os.environ.pop(name, None)
    embedded_postgres.KEPT_ENV = (*embedded_postgres.KEPT_ENV, *clocks.NAMES)  # Postgres stamps rows as well
    prepare(Settings.from_env())
    with serving() as sources, receiving() as hook:
        hook.refuses = REFUSED
        os.environ.update(sources.env, ALERT_WEBHOOK_URL=hook.url)
        _restore(begin)
        live = Composed(home, {})
        live.start()
        try:
            for schedule in SWITCHED_ON:
                live.switch_on(schedule)
            with DagsterInstance.get() as instance:
                yield Day(home, clock, live, sources, hook, instance)
        finally:
            live.stop()


def _restore(begin: datetime) -> None:
    """The history before the first tick, as its user would: what failed is asked for again."""
    span = ("--start", os.environ["CRYPTO_ASSETS_START"], "--end", str(begin.date()))
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-m", "crypto_assets.cli.main", "backfill", *span, "--missing"], capture_output=True
        )
        if done.returncode == 0:
            return
    raise RuntimeError(done.stderr.decode()[-600:])
