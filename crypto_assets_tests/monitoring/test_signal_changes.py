"""Changes of signals: of sign, of strength, of nothing, and switched off."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest

from crypto_assets.errors import UsageError
from crypto_assets.monitoring.alerts.sensors import SENSORS
from crypto_assets.monitoring.watch.signal_changes import WATCHER, signal_changes
from crypto_assets.monitoring.watch.watcher import WatchContext
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.monitoring.alerts.receiver import receiving

NOW = datetime(2026, 1, 10, 12, 30, tzinfo=timezone.utc)
CASES = {
    "TURNED": ((0.04, "medium"), (-0.04, "medium")),
    "GREW": ((0.04, "medium"), (0.09, "strong")),
    "SAME": ((0.04, "medium"), (0.05, "medium")),
    "CLOSED": ((0.01, "weak"), (0.0, "weak")),
}


def fill(put: Callable[..., None]) -> None:
    for symbol, hours in CASES.items():
        for number, (weight, strength) in enumerate(hours):
            ts = datetime(2026, 1, 10, 11 + number, tzinfo=timezone.utc)
            put(
                "signals", symbol=symbol, ts=ts, date=ts.date(), available_at=ts + timedelta(minutes=5), weight=weight,
                strength=strength, model="ridge", model_id="m", trained_until=ts - timedelta(days=9), score=0.1, rank=0.5,
                reasons=["rsi_14 +0.1"],
            )  # fmt: skip


def test_a_change_of_sign_or_strength_is_seen_once(warehouse: Warehouse, put: Callable[..., None]) -> None:
    assert signal_changes(warehouse, NOW) == []
    fill(put)
    seen = {sighting.subject: sighting for sighting in signal_changes(warehouse, NOW)}
    assert seen.keys() == CASES.keys()
    assert seen["SAME"].trouble is None
    assert "from medium long to medium short (-0.0400)" in str(seen["TURNED"].trouble)
    assert "from medium long to strong long" in str(seen["GREW"].trouble)
    assert "from weak long to flat" in str(seen["CLOSED"].trouble)
    assert seen["GREW"].since == NOW.replace(minute=5)
    assert "moved most by rsi_14 +0.1" in str(seen["GREW"].trouble)
    assert signal_changes(warehouse, NOW - timedelta(minutes=26)) == []  # 12:00 was not known yet: one hour alone


def test_it_is_off_unless_asked_for(
    warehouse: Warehouse, put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(put)
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", warehouse.uri)
    for value, count in ((None, 0), ("no", 0), ("yes", 4)):
        monkeypatch.setenv("SIGNAL_CHANGES", value) if value else monkeypatch.delenv("SIGNAL_CHANGES", raising=False)
        context = WatchContext(None, Settings.from_env(), NOW)  # type: ignore[arg-type]
        assert len(WATCHER.observe(context)[0]) == count
    monkeypatch.setenv("SIGNAL_CHANGES", "on")
    with pytest.raises(UsageError, match="SIGNAL_CHANGES 'on' is not yes or no"):
        Settings.from_env()


def test_the_webhook_gets_the_changes_and_nothing_unless_asked_for(
    warehouse: Warehouse, put: Callable[..., None], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sensor as the daemon runs it, an incident ledger in Postgres, and a real HTTP receiver."""
    fill(put)
    sensor = next(one for one in SENSORS if one.name == "alert_signal_change")
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", warehouse.uri)
    assert os.environ["DAGSTER_POSTGRES_URL"]
    with receiving() as receiver:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", receiver.url)
        for value, expected in (("no", []), ("yes", ["CLOSED", "GREW", "TURNED"])):
            monkeypatch.setenv("SIGNAL_CHANGES", value)
            for _ in range(2):  # a second tick says nothing twice
                with dg.build_sensor_context(instance=instance) as context:
                    sensor.evaluate_tick(context)
            assert sorted(receiver.events()) == [("signal_change", name, "opened") for name in expected]
        (turned,) = [message for message in receiver.got if message["subject"] == "TURNED"]
    assert "from medium long to medium short (-0.0400) by model ridge" in turned["what"]
