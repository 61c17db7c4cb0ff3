"""How many providers a run asks at the same time."""

from __future__ import annotations

import dagster as dg
import pytest

from crypto_assets.catalog import all_coins
from crypto_assets.operate.graph import asked_at_once


@pytest.mark.parametrize(
    ("coins", "first", "last", "expected"),
    [
        (2, "2024-01-01", "2024-01-07", 4),
        (50, "2024-01-01", "2024-04-09", 4),
        (150, "2024-01-01", "2024-04-09", 2),
        (300, "2024-01-01", "2024-04-09", 1),
        (300, "2023-01-01", "2024-12-31", 1),
    ],
)
def test_where_coins_and_days_are_many_fewer_providers_are_asked_at_once(
    monkeypatch: pytest.MonkeyPatch, coins: int, first: str, last: str, expected: int
) -> None:
    monkeypatch.setenv("CRYPTO_ASSETS_COINS", ",".join(coin.symbol for coin in all_coins()[:coins]))
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    assert asked_at_once(dg.DagsterRun(job_name="any", tags=tags)) == expected


def test_a_run_without_days_asks_several_at_once() -> None:
    assert asked_at_once(dg.DagsterRun(job_name="any")) == 4
