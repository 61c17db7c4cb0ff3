"""What Prometheus gets over HTTP is what the tables and the ledger hold."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import polars as pl
import pytest
from dagster import DagsterInstance
from prometheus_client.parser import text_string_to_metric_families

from crypto_assets.automation.schedules import FRESHNESS
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.monitoring.metrics import serve
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ARTICLE_NARRATIVES


def scrape(settings: Settings) -> dict[tuple[str, ...], float]:
    server, _ = serve(settings, 0)
    try:
        text = httpx.get(f"http://127.0.0.1:{server.server_port}/metrics").text
    finally:
        server.shutdown()
        server.server_close()
    families = text_string_to_metric_families(text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_a_scrape(instance: DagsterInstance, warehouse: Warehouse, put) -> None:
    now = datetime.now(timezone.utc)
    at = now - timedelta(hours=1)
    put("prices", symbol="BTC", ts=at.replace(minute=0), date=at.date(), available_at=at, price_usd=1.0)
    seen = {"available_at": now, "newest_available_at": at, "age_s": 3600.0, "late_after_s": 10_800.0, "fresh": True}
    slot = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    put("freshness_observations", asset="prices", ts=slot, date=now.date(), **seen)
    Ledger(os.environ["DAGSTER_POSTGRES_URL"]).observe("staleness", [Sighting("ohlc", "late", now)], now, "x")
    found = scrape(Settings.from_env())
    assert found["crypto_assets_table_fresh", "prices"] == 1
    assert found["crypto_assets_table_fresh", "ohlc"] == 0
    assert found["crypto_assets_table_newest_available_timestamp_seconds", "prices"] == pytest.approx(at.timestamp())
    assert ("crypto_assets_table_newest_available_timestamp_seconds", "ohlc") not in found
    assert sum(name[0] == "crypto_assets_table_limit_seconds" for name in found) == len(FRESHNESS)
    assert found["crypto_assets_slo_share_fresh", "prices", "24h"] == 1
    assert found["crypto_assets_open_incidents", "staleness", "ohlc"] == 1
    assert found[("crypto_assets_undelivered_messages",)] == 1
    assert [found["crypto_assets_up", part] for part in ("tables", "service_level", "alerts")] == [1, 1, 1]


def test_disagreements_of_classifier_and_model(warehouse: Warehouse) -> None:
    now = datetime.now(timezone.utc)
    said = [("a", "lexicon-3", 0.5), ("a", "llm", -0.5), ("b", "lexicon-3", 0.5), ("b", "llm", 0.5), ("c", "llm", 0.5)]
    same = {
        "date": now.date(),
        "available_at": now,
        "source": "derived",
        "status": "ok",
        "drivers": [],
        "affected_symbols": [],
    }
    rows = [{"article_id": name, "analyzer": analyzer, "sentiment": tone, **same} for name, analyzer, tone in said]
    warehouse.write(ARTICLE_NARRATIVES, ARTICLE_NARRATIVES.conform(pl.DataFrame(rows)), [now.date()])
    found = scrape(Settings.from_env({**os.environ, "OLLAMA_MODEL": "llm"}))
    assert found["crypto_assets_model_disagreement_share", "article_narratives"] == 0.5
    assert found["crypto_assets_model_compared_texts", "article_narratives"] == 2
    assert ("crypto_assets_model_disagreement_share", "event_narratives") not in found
    assert found["crypto_assets_up", "analyses"] == 1


def test_what_cannot_be_read_is_down_and_absent(warehouse: Warehouse, put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    at = datetime.now(timezone.utc)
    put("market_sentiment", date=at.date(), available_at=at, fear_greed_index=50)
    log = Path(warehouse.path("prices"), "_delta_log", "00000000000000000000.json")
    log.parent.mkdir(parents=True)
    log.write_text("{")
    found = scrape(Settings.from_env())
    assert found["crypto_assets_table_fresh", "market_sentiment"] == 1
    assert ("crypto_assets_table_fresh", "prices") not in found
    assert found["crypto_assets_up", "alerts"] == 0
    assert found["crypto_assets_up", "tables"] == 1
    assert ("crypto_assets_undelivered_messages",) not in found


def test_it_listens_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback by itself; in a container on every address, where Prometheus reaches it."""
    assert Settings.from_env({}).metrics_host == "127.0.0.1"
    for host in ("127.0.0.1", "0.0.0.0"):
        monkeypatch.setenv("CRYPTO_ASSETS_METRICS_HOST", host)
        server, _ = serve(Settings.from_env(), 0)
        try:
            assert server.server_address[0] == host
            with socket.create_connection((host if host != "0.0.0.0" else "127.0.0.2", server.server_port), timeout=5):
                pass
        finally:
            server.shutdown()
            server.server_close()
