"""A webhook, and a ledger on a database of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from dagster import DagsterInstance

from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets_tests.monitoring.alerts.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def ledger(instance: DagsterInstance) -> Ledger:
    return Ledger(os.environ["DAGSTER_POSTGRES_URL"])
