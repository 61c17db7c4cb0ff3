"""What the gateway reads of the present: the newest features in Postgres, the catalogue, the status, whether both answer.

The catalogue and the status take seconds to measure, so they are measured again only when they are older than stated here.
Nothing that decides who may read what is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar

import polars as pl

from crypto_assets.dates import DAY, yesterday
from crypto_assets.serving.online import LatestRows
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.store.store import Store
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import ML_FEATURES

CATALOG_S, STATUS_S = 15.0, 60.0
T = TypeVar("T")


@dataclass
class _Kept(Generic[T]):
    """A value that is measured again when it is older than ``seconds``; one thread measures, the others wait."""

    seconds: float
    value: T | None = None
    measured_at: float = 0.0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def get(self, measure: Callable[[], T]) -> T:
        with self._lock:
            if self.value is None or time.monotonic() - self.measured_at > self.seconds:
                self.value, self.measured_at = measure(), time.monotonic()
            return self.value


class Current:
    """Reads of the present. Safe to use from several threads."""

    def __init__(self, postgres_url: str) -> None:
        self._url = postgres_url
        self._local = threading.local()  # a connection to Postgres each thread
        self._catalog: _Kept[pl.DataFrame] = _Kept(CATALOG_S)
        self._status: _Kept[dict[str, Any]] = _Kept(STATUS_S)

    def _rows(self, contract: Contract) -> LatestRows:
        if not hasattr(self._local, "rows"):
            self._local.rows = {}
        known: dict[str, LatestRows] = self._local.rows
        if contract.table not in known:
            known[contract.table] = LatestRows(self._url, contract)
        return known[contract.table]

    def latest(self, contract: Contract, columns: Sequence[str], symbols: Sequence[str] | None) -> tuple[int, str]:
        """Return the newest row of each coin: how many, and the rows as a JSON array.

        Raises:
            InstanceError: Postgres does not answer.
        """
        return self._rows(contract).as_json(columns, symbols)

    def warehouse(self, uri: str) -> Warehouse:
        """Return the warehouse to read rows from."""
        return Warehouse(uri)

    def catalog(self, store: Store) -> pl.DataFrame:
        """Return the catalogue, at most :data:`CATALOG_S` seconds old."""
        return self._catalog.get(store.catalog)

    def newest_day(self, store: Store, table: str) -> date | None:
        """Return the newest day of a table; None without rows."""
        return self.catalog(store).filter(pl.col("table") == table)["last_day"].item()

    def status(self, settings: Settings) -> dict[str, Any]:
        """Return the document of ``status --json`` of the last seven days, at most :data:`STATUS_S` seconds old."""
        from crypto_assets.operate.status import status_of_home

        last = settings.last_day or yesterday()
        return self._status.get(lambda: status_of_home(settings, max(settings.start, last - DAY * 6), last))

    def check(self, store: Store) -> None:
        """Ask both for a little.

        Raises:
            WarehouseError: the warehouse cannot be read.
            InstanceError: Postgres does not answer.
        """
        store.table("prices").version()
        self._rows(ML_FEATURES).check()
