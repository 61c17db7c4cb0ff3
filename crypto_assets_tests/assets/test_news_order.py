"""The tables of news are the same in one run, in a run a day, and in any order of days."""

from __future__ import annotations

from polars.testing import assert_frame_equal

from crypto_assets_tests import scenario
from crypto_assets_tests.assets.test_news import NEWS

DAYS = [scenario.START + scenario.DAY * n for n in (2, 0, 1)]


def test_the_order_of_days_does_not_show(platforms) -> None:
    whole, shuffled = platforms(), platforms()
    assert whole.backfill(min(DAYS), max(DAYS), tables=NEWS).ok
    for day in DAYS:
        assert shuffled.backfill(day, day, tables=NEWS).ok
    for table in NEWS:
        assert_frame_equal(whole.read(table), shuffled.read(table), check_exact=True)
        assert whole.read(table).height > 0
