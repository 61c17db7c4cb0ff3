"""The whole platform on a recording: sandbox over sockets, warehouse in a folder, Dagster on Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance

from crypto_assets.operate import graph
from crypto_assets.operate.backfill import BackfillReport, backfill
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import LOOK_BACK
from crypto_assets_tests import scenario

BACKOFF_S = 0.02  # seconds between the first two attempts of a request; no provider is to be spared


@dataclass
class Platform:
    """One isolated platform; every call first points the process's environment at it."""

    instance: DagsterInstance
    env: dict[str, str]
    monkeypatch: pytest.MonkeyPatch

    def activate(self) -> None:
        for name, value in self.env.items():
            self.monkeypatch.setenv(name, value)

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.env)

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.settings.warehouse)

    def backfill(
        self, start: date, end: date, *, tables: Sequence[str] | None = None, missing_only: bool = False
    ) -> BackfillReport:
        self.activate()
        return backfill(self.instance, self.warehouse, tables or graph.tables(), start, end, missing_only=missing_only)

    def read(self, table: str) -> pl.DataFrame:
        return self.warehouse.read(table, start=scenario.START, end=scenario.END)


@dataclass(frozen=True)
class Prepared:
    """A platform that was filled once, to be copied: its database, which nobody is connected to, and its home."""

    database: str
    home: Path


@contextmanager
def open_platform(
    instance: DagsterInstance,
    home: Path,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str | None = None,
) -> Iterator[Platform]:
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "backoff", BACKOFF_S)
    with Sandbox(data=recording, fault=fault) as sandbox:
        env = {**sandbox.env(), "CRYPTO_ASSETS_HOME": str(home), "CRYPTO_ASSETS_COINS": scenario.COINS}
        yield Platform(instance, env, monkeypatch)


def with_inputs(wanted: Iterable[str]) -> list[str]:
    """These tables and all that they are derived from, inputs first."""
    found = set(wanted)
    while more := {name for table in found for name in LOOK_BACK.get(table, ())} - found:
        found |= more
    return [table for table in graph.tables() if table in found]
