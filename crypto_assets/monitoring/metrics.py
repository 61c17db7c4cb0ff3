"""The state of the service for Prometheus, read from the tables when somebody scrapes, at most every 15 seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from wsgiref.simple_server import WSGIServer

import polars as pl
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from crypto_assets.checks import model_agreement
from crypto_assets.dates import DAY
from crypto_assets.errors import CryptoAssetsError
from crypto_assets.monitoring import freshness, history_report
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.monitoring.slo import observed
from crypto_assets.narratives import disagreement
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.transforms import service_level

LOOKED_BACK = DAY * 7  # an older observation says nothing about the present
KEPT_S = 15.0  # two scrapes at once cost one reading


class ServiceCollector(Collector):
    """Gauges of every table and of the alerts.

    What cannot be read is absent and ``up`` is 0, so that no health lies.
    """

    def __init__(self, settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        self._settings, self._now = settings, now
        self._lock = threading.Lock()
        self._read_at, self._found = 0.0, list[Metric]()

    def describe(self) -> Iterator[Metric]:
        """Return nothing, because registering must not read the tables."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Return the gauges; they are measured again after ``KEPT_S`` seconds."""
        with self._lock:
            if not self._found or time.monotonic() - self._read_at > KEPT_S:
                self._found, self._read_at = self._measure(), time.monotonic()
            return iter(self._found)

    def _measure(self) -> list[Metric]:
        up = GaugeMetricFamily("crypto_assets_up", "Whether this part of the state could be read.", labels=["part"])
        found: list[Metric] = [up]
        for part, read in (
            ("tables", self._tables),
            ("service_level", self._level),
            ("history", self._history),
            ("analyses", self._analyses),
            ("alerts", self._alerts),
        ):
            try:
                found += read()
                up.add_metric([part], 1)
            except CryptoAssetsError:
                up.add_metric([part], 0)
        return found

    def _tables(self) -> list[Metric]:
        fresh = GaugeMetricFamily(
            "crypto_assets_table_fresh",
            "1: the newest row is within its limit. Absent: recorded data.",
            labels=["table"],
        )
        newest = GaugeMetricFamily(
            "crypto_assets_table_newest_available_timestamp_seconds",
            "The newest row's available_at that is known by now, seconds since 1970; absent without a row.",
            labels=["table"],
        )
        limit = GaugeMetricFamily(
            "crypto_assets_table_limit_seconds", "How old the newest row may be.", labels=["table"]
        )
        for seen in freshness.observe(Warehouse(self._settings.warehouse), self._now()):
            if seen.readable and seen.fresh is not None:  # None: recorded data is neither fresh nor late
                fresh.add_metric([seen.table], float(seen.fresh))
            limit.add_metric([seen.table], seen.late_after.total_seconds())
            if seen.newest is not None:
                newest.add_metric([seen.table], seen.newest.timestamp())
        return [fresh, newest, limit]

    def _level(self) -> list[Metric]:
        names = ["table", "window"]
        share = GaugeMetricFamily("crypto_assets_slo_share_fresh", "Share of 15-minute slots fresh.", labels=names)
        left = GaugeMetricFamily("crypto_assets_slo_error_budget_left", "Negative when overspent.", labels=names)
        level = service_level.service_level(observed(Warehouse(self._settings.warehouse), self._now()), self._now())
        for row in level.filter(pl.col("asset") != service_level.ALL).iter_rows(named=True):
            share.add_metric([row["asset"], row["window"]], row["share_fresh"])
            left.add_metric([row["asset"], row["window"]], row["error_budget_left"])
        return [share, left]

    def _history(self) -> list[Metric]:
        """Return gauges of the newest observation, because counting again would read every table."""
        share = GaugeMetricFamily(
            "crypto_assets_history_share",
            "Share of the expected history that is there: days materialized, days with_rows, rows.",
            labels=["table", "of"],
        )
        enhanced = GaugeMetricFamily("crypto_assets_enhanced_over_base", "Rows of onchain_enhanced ÷ onchain_base.")
        looked = GaugeMetricFamily("crypto_assets_history_looked_at_timestamp_seconds", "When the look was made.")
        newest = history_report.newest(
            history_report.by_day(Warehouse(self._settings.warehouse), self._now(), LOOKED_BACK)
        )
        for table, row in newest.items():
            for name in history_report.SHARES:
                if row[name] is not None:
                    share.add_metric([table, name.removeprefix("share_")], row[name])
        if newest:
            looked.add_metric([], max(row["available_at"] for row in newest.values()).timestamp())
        if history_report.ENHANCED in newest and newest[history_report.ENHANCED]["share_rows"] is not None:
            enhanced.add_metric([], newest[history_report.ENHANCED]["share_rows"])
        return [share, enhanced, looked]

    def _analyses(self) -> list[Metric]:
        """Return gauges of how often the classifier and the model differ; absent where no model ran."""
        share = GaugeMetricFamily(
            "crypto_assets_model_disagreement_share",
            "Share of the last 7 days' texts whose tone the classifier and the model put in different classes.",
            labels=["table"],
        )
        texts = GaugeMetricFamily(
            "crypto_assets_model_compared_texts", "Texts of the last 7 days with both tones.", labels=["table"]
        )
        warehouse, today = Warehouse(self._settings.warehouse), self._now().date()
        first = today - DAY * (model_agreement.RECENT_DAYS - 1)
        for table in model_agreement.MEASURES:
            rows = model_agreement.compared(warehouse, table, self._settings.ollama_model, first, today)
            found = disagreement.counts(rows)
            if found.texts:
                share.add_metric([table], found.share)
                texts.add_metric([table], found.texts)
        return [share, texts]

    def _alerts(self) -> list[Metric]:
        url = self._settings.postgres_url
        if url is None:
            raise CryptoAssetsError("incidents are kept in Dagster's Postgres, which is not named")
        ledger = Ledger(url.get_secret_value())
        incidents = GaugeMetricFamily("crypto_assets_open_incidents", "Open incidents.", labels=["kind", "subject"])
        for incident in ledger.open():
            incidents.add_metric([incident.kind, incident.subject], 1)
        waiting = GaugeMetricFamily(
            "crypto_assets_undelivered_messages", "Alert messages that wait for their receiver."
        )
        waiting.add_metric([], len(ledger.waiting()))
        return [incidents, waiting]


def serve(settings: Settings, port: int) -> tuple[WSGIServer, threading.Thread]:
    """Answer scrapes in a thread.

    Args:
        settings: the tables, and the address to listen on (``metrics_host``).
        port: the port.

    Returns:
        The server and its thread.

    Raises:
        OSError: it cannot listen there.
    """
    registry = CollectorRegistry()
    registry.register(ServiceCollector(settings))
    return start_http_server(port, addr=settings.metrics_host, registry=registry)
