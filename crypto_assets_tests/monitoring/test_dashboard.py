"""The dashboard and the alert rules speak of metrics that the endpoint has, and each rule leads to a page that is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from dagster import DagsterInstance
from prometheus_client.parser import text_string_to_metric_families

from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.monitoring.history_report import ENHANCED
from crypto_assets.monitoring.metrics import serve
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.transforms.service_level import WINDOWS
from crypto_assets_tests.deploy.test_manifests import DEPLOY

MONITORING = DEPLOY / "monitoring"
METRIC = re.compile(r"\b(crypto_assets_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)\s*[!=~]+\s*"([^"]*)"')


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return list(found)


def expressions() -> dict[str, str]:
    """Where an expression stands -> the expression."""
    of_rules = {rule["alert"]: rule["expr"] for rule in rules()}
    return of_rules | {f"{p['title']} {t['refId']} {p['id']}": t["expr"] for p in panels() for t in p["targets"]}


@pytest.fixture
def exposed(instance: DagsterInstance, warehouse: Warehouse, put: Any) -> dict[str, list[dict[str, str]]]:
    """Metric -> the labels of its samples, from a scrape over HTTP in which every part has something to say."""
    now = datetime.now(timezone.utc)
    at = now - timedelta(hours=1)
    put("prices", symbol="BTC", ts=at.replace(minute=0), date=at.date(), available_at=at, price_usd=1.0)
    seen = {"available_at": now, "newest_available_at": at, "age_s": 3600.0, "late_after_s": 10_800.0, "fresh": True}
    slot = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    put("freshness_observations", asset="prices", ts=slot, date=now.date(), **seen)
    for table in ("prices", ENHANCED):
        shares = {f"share_{name}": 1.0 for name in ("materialized", "with_rows", "rows")}
        days = {f"partitions_{name}": 1 for name in ("expected", "materialized", "with_rows")}
        put("history_report", asset=table, ts=slot, date=now.date(), available_at=now, **shares, **days)
    for analyzer in ("lexicon-3", Settings.from_env().ollama_model):
        said = {"analyzer": analyzer, "sentiment": 0.5, "status": "ok", "drivers": [], "affected_symbols": []}
        put("article_narratives", article_id="a", date=now.date(), available_at=now, **said)
    Ledger(os.environ["DAGSTER_POSTGRES_URL"]).observe("staleness", [Sighting("ohlc", "late", now)], now, "x")
    server, _ = serve(Settings.from_env(), 0)
    try:
        text = httpx.get(f"http://127.0.0.1:{server.server_port}/metrics").text
    finally:
        server.shutdown()
        server.server_close()
    families = text_string_to_metric_families(text)
    return {family.name: [dict(sample.labels) for sample in family.samples] for family in families}


def test_every_expression_asks_for_what_the_endpoint_has(exposed: dict[str, list[dict[str, str]]]) -> None:
    asked = set()
    for place, expression in expressions().items():
        found = METRIC.findall(expression)
        assert found, place
        for metric, selector in found:
            asked.add(metric)
            assert exposed.get(metric), f"{place}: {metric} is not exposed"
            for label, value in LABEL.findall(selector):
                assert all(label in labels for labels in exposed[metric]), f"{place}: {metric} has no label {label}"
                known = {labels[label] for labels in exposed[metric]} | set(WINDOWS if label == "window" else ())
                assert value in known or "!=" in selector, f"{place}: {label} is never {value}"
    assert asked == set(exposed), "each metric is watched or shown"


def test_legends_and_summaries_name_labels_that_are_there(exposed: dict[str, list[dict[str, str]]]) -> None:
    for panel in panels():
        for target in panel["targets"]:
            (metric, _), *_ = METRIC.findall(target["expr"])
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert label in exposed[metric][0], panel["title"]
    for rule in rules():
        (metric, _), *_ = METRIC.findall(rule["expr"])
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert label in exposed[metric][0], rule["alert"]


def test_every_rule_leads_to_a_runbook() -> None:
    assert len(rules()) == len({rule["alert"] for rule in rules()}) > 5
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        page = DEPLOY.parent / rule["annotations"]["runbook_url"]
        assert page.is_file(), rule["alert"]


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    board = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource"]
    cells = set()
    for panel in board["panels"]:
        assert panel["title"] and panel["description"]
        assert {str(t["datasource"]["uid"]) for t in panel["targets"]} == {"${datasource}"}
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        covered = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not covered & cells, f"{panel['title']} lies on another panel"
        cells |= covered
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool (Debian: prometheus)")
    return found


def test_prometheus_reads_every_expression(promtool: str, tmp_path: Path) -> None:
    records = [{"record": f"one:{n}", "expr": text} for n, text in enumerate(expressions().values())]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    files = [str(MONITORING / "rules.yaml"), str(tmp_path / "panels.yaml")]
    done = subprocess.run([promtool, "check", "rules", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


CASES: dict[
    str, tuple[str, str, str]
] = {  # alert -> series and its values each 5 minutes, the instant at which it fires
    "CryptoAssetsPartUnreadable": ('crypto_assets_up{part="tables"}', "1x3 0x10", "45m"),
    "CryptoAssetsTableLate": ('crypto_assets_table_fresh{table="prices"}', "1 0x10", "40m"),
    "CryptoAssetsErrorBudgetSpent": (
        'crypto_assets_slo_error_budget_left{table="prices",window="30d"}',
        "-0.1x20",
        "65m",
    ),
    "CryptoAssetsMessagesNotDelivered": ("crypto_assets_undelivered_messages", "2x10", "35m"),
    "CryptoAssetsIncidentOpenLong": ('crypto_assets_open_incidents{kind="staleness",subject="ohlc"}', "1x300", "1445m"),
    "CryptoAssetsHistoryNotObserved": ("crypto_assets_history_looked_at_timestamp_seconds", "0x700", "2950m"),
    "CryptoAssetsHistoryShrinks": (
        'crypto_assets_history_share{table="prices",of="with_rows"}',
        "1x288 0.9x30",
        "1525m",
    ),
    "CryptoAssetsMetricsAbsent": ('something_else{a="b"}', "1x10", "20m"),
}


def test_each_rule_fires_when_it_should_and_not_before(promtool: str, tmp_path: Path) -> None:
    assert CASES.keys() == {rule["alert"] for rule in rules()}
    tests = []
    for alert, (series, values, at) in CASES.items():
        labels = dict(LABEL.findall(series)) if alert != "CryptoAssetsMetricsAbsent" else {}
        rule = next(rule for rule in rules() if rule["alert"] == alert)
        expected = {"exp_labels": labels | rule["labels"], "exp_annotations": None}
        tests.append(
            {
                "interval": "5m",
                "input_series": [{"series": series, "values": values}],
                "alert_rule_test": [
                    {"eval_time": "0m", "alertname": alert, "exp_alerts": []},
                    {"eval_time": at, "alertname": alert, "exp_alerts": [expected]},
                ],
            }
        )
    bare = [{key: value for key, value in rule.items() if key != "annotations"} for rule in rules()]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "bare", "rules": bare}]}))
    text = {"rule_files": ["rules.yaml"], "evaluation_interval": "5m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(text))
    done = subprocess.run(
        [promtool, "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
