"""What the gateway reads of the present: the catalogue, the status, whether the warehouse and Postgres answer.

The catalogue and the status take seconds to measure, so they are measured again only when they are older than stated here.
Nothing that decides who may read what is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar, cast

import polars as pl

from crypto_assets.dates import DAY, yesterday
from crypto_assets.serving.online import LatestRows
from crypto_assets.settings import Settings
from crypto_assets.store.store import Store
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import ML_FEATURES

CATALOG_S, STATUS_S = 15.0, 60.0
T = TypeVar("T")


@dataclass
class _Kept(Generic[T]):
    """A value that is measured again when it is older than ``seconds``.

    One thread measures. The others get the value of before meanwhile, and wait only for the first one: otherwise a measurement
    that takes long on a busy machine holds every thread, and no other request is answered.
    """

    seconds: float
    value: T | None = None
    measured_at: float = 0.0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def get(self, measure: Callable[[], T]) -> T:
        if not self._is_old():
            return cast("T", self.value)
        if not self._lock.acquire(blocking=self.value is None):
            return cast("T", self.value)
        try:
            if self._is_old():
                self.value, self.measured_at = measure(), time.monotonic()
            return cast("T", self.value)
        finally:
            self._lock.release()

    def _is_old(self) -> bool:
        return self.value is None or time.monotonic() - self.measured_at > self.seconds


class Current:
    """Reads of the present. Safe to use from several threads."""

    def __init__(self, postgres_url: str) -> None:
        self._url = postgres_url
        self._local = threading.local()  # a connection to Postgres each thread
        self._catalog: _Kept[pl.DataFrame] = _Kept(CATALOG_S)
        self._status: _Kept[dict[str, Any]] = _Kept(STATUS_S)

    def newest(self, contract: Contract) -> LatestRows:
        """Return the rows of a table that are in Postgres, for this thread."""
        if not hasattr(self._local, "rows"):
            self._local.rows = {}
        known: dict[str, LatestRows] = self._local.rows
        if contract.table not in known:
            known[contract.table] = LatestRows(self._url, contract)
        return known[contract.table]

    def catalog(self, store: Store) -> pl.DataFrame:
        """Return the catalogue, measured again after :data:`CATALOG_S` seconds."""
        return self._catalog.get(store.catalog)

    def newest_day(self, store: Store, table: str) -> date | None:
        """Return the newest day of a table; None without rows."""
        return self.catalog(store).filter(pl.col("table") == table)["last_day"].item()

    def status(self, settings: Settings) -> dict[str, Any]:
        """Return the document of ``status --json`` of the last seven days, measured again after :data:`STATUS_S` seconds."""
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
        self.newest(ML_FEATURES).check()
