"""The tables of news are the same in one run, in a run a day, and in any order of days."""

from __future__ import annotations

from polars.testing import assert_frame_equal

from crypto_assets_tests import scenario
from crypto_assets_tests.assets.test_news import NEWS
from crypto_assets_tests.platform import Platform

DAYS = [scenario.START + scenario.DAY * n for n in (2, 0, 1)]


def test_the_order_of_days_does_not_show(filled: Platform, platform: Platform) -> None:
    for day in DAYS:
        assert platform.backfill(day, day, tables=NEWS).ok
    for table in NEWS:
        whole = filled.warehouse.read(table, start=min(DAYS), end=max(DAYS))
        assert_frame_equal(whole, platform.read(table), check_exact=True)
        assert whole.height > 0
