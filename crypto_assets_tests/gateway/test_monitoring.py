"""The gateway's log has no secret; its rules and dashboard speak of metrics that it has, and each rule fires when it should."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from crypto_assets_tests.deploy.test_manifests import DEPLOY
from crypto_assets_tests.gateway.conftest import Running

MONITORING = DEPLOY / "monitoring"
ALL = "crypto_assets_gateway_requests_total"
SLOW = 'crypto_assets_gateway_request_seconds_bucket{route="/v1/features/latest",le="%s"}'
SERIES: dict[str, dict[str, str]] = {  # alert -> series and its values each minute, which make it fire after an hour
    "CryptoAssetsGatewayFails": {ALL + '{status="200"}': "0+9x70", ALL + '{status="503"}': "0+1x70"},
    "CryptoAssetsGatewaySlow": {SLOW % "0.1": "0+90x70", SLOW % "0.3": "0+100x70", SLOW % "+Inf": "0+100x70"},
    "CryptoAssetsGatewayRefusesTokens": {ALL + '{status="200"}': "0+7x70", ALL + '{status="429"}': "0+3x70"},
}
QUIET = {
    ALL + '{status="200"}': "0+99x70",
    ALL + '{status="503"}': "0+1x70",
    SLOW % "0.1": "0+100x70",
    SLOW % "+Inf": "0+100x70",
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "gateway-rules.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    board = json.loads((MONITORING / "gateway-dashboard.json").read_text(encoding="utf-8"))
    return [rule["expr"] for rule in rules()] + [t["expr"] for panel in board["panels"] for t in panel["targets"]]


def test_the_log_has_the_route_and_the_name_and_no_secret(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), gateway.client() as client:
        client.get("/v1/tables/prices/rows", params={"symbols": "BTC", "limit": 1})
        client.get("/v1/tables/prices", headers={"Authorization": f"Bearer {gateway.token}x"})
        client.post("/v1/features/historical", json={"entities": [{"symbol": "SECRETCOIN", "ts": "2024-01-01"}]})
    said = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("crypto_assets", "uvicorn"))
    )
    assert re.search(r"GET /v1/tables/\{table\}/rows 200 [\d.]+ ms by all ", said)
    assert re.search(r"GET /v1/tables/\{table\} 401 [\d.]+ ms by -", said)
    assert gateway.token.split("_", 2)[2] not in said and "Bearer" not in said and "SECRETCOIN" not in said


def test_rules_and_panels_ask_for_what_the_gateway_has(gateway: Running) -> None:
    with gateway.client() as client:
        client.get("/v1/tables/prices/rows", params={"limit": 1})
        client.get("/v1/features/latest")
        families = text_string_to_metric_families(client.get("/metrics").text)
    labels = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    for expression in expressions():
        metrics = re.findall(r"crypto_assets_gateway_\w+", expression)
        assert metrics and all(metric in labels for metric in metrics), expression
        for names in re.findall(r"by \(([^)]*)\)", expression):
            assert set(names.replace(" ", "").split(",")) <= labels[metrics[0]], expression


@pytest.mark.parametrize("alert", SERIES)
def test_each_rule_fires_when_it_should_and_not_before(alert: str, tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool (Debian: prometheus)")
    assert SERIES.keys() == {rule["alert"] for rule in rules()}
    rule = next(rule for rule in rules() if rule["alert"] == alert)
    assert (DEPLOY.parent / rule["annotations"]["runbook_url"]).is_file()
    bare = {key: value for key, value in rule.items() if key != "annotations"}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "bare", "rules": [bare]}]}))
    fires = [{"exp_labels": rule["labels"], "exp_annotations": None}]
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [
                {"eval_time": "2m", "alertname": alert, "exp_alerts": []},
                {"eval_time": "60m", "alertname": alert, "exp_alerts": expected},
            ],
        }
        for series, expected in ((SERIES[alert], fires), (QUIET, []))
    ]
    text = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(text))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
