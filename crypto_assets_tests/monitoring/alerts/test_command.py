"""``crypto-assets alerts`` on a database with an open incident, its webhook real."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone

import pytest
from click.testing import CliRunner

from crypto_assets.cli.main import cli
from crypto_assets.errors import CryptoAssetsError
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets_tests.monitoring.alerts.receiver import Receiver

BOOKS = "https://books.example/runbooks"


@pytest.fixture
def late(ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """One table is late since five minutes; what is sent goes to the receiver."""
    assert os.environ["DAGSTER_POSTGRES_URL"]
    monkeypatch.setenv("ALERT_WEBHOOK_URL", receiver.url)
    monkeypatch.setenv("ALERT_RUNBOOKS", BOOKS)
    now = datetime.now(timezone.utc)
    ledger.observe("staleness", [Sighting("prices", "3 hours late", now - timedelta(minutes=5))], now, BOOKS)


def test_an_open_incident_is_shown_with_how_grave_it_is_and_what_to_do(late: None) -> None:
    plain = CliRunner().invoke(cli, ["alerts"], standalone_mode=False).stdout.splitlines()
    assert plain[0] == "1 open incident(s)"
    assert plain[1].startswith("  page staleness:prices since ")
    assert plain[1].endswith(f": 3 hours late; see {BOOKS}/staleness.md")
    found = CliRunner().invoke(cli, ["alerts", "--json"], standalone_mode=False)
    (incident,) = json.loads(found.stdout)["incidents"]
    assert (incident["severity"], incident["runbook"]) == ("page", f"{BOOKS}/staleness.md")
    assert (incident["kind"], incident["subject"], incident["what"]) == ("staleness", "prices", "3 hours late")


def test_a_test_message_that_does_not_arrive_fails_after_the_document(late: None, receiver: Receiver) -> None:
    receiver.status = 503
    refused = CliRunner().invoke(cli, ["alerts", "--test", "--json"], standalone_mode=False)
    assert isinstance(refused.exception, CryptoAssetsError) and "not delivered" in str(refused.exception)
    waiting = json.loads(refused.stdout)["waiting"]
    assert "HTTP 503" in [message["last_error"] for message in waiting]
    receiver.status = 200
    assert CliRunner().invoke(cli, ["alerts", "--test"], standalone_mode=False).exception is None
    assert ("test", "delivery", "opened") in receiver.events()
