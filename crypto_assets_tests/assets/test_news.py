"""When an article is known: the feed's word for what nobody watched, the fetch for what turned up while we did."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from crypto_assets.automation.staleness import newest_metadata
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform, open_platform

DAY = scenario.START
NEWS = ["news_articles", "article_narratives", "news_events", "narratives", "theme_trends", "theme_digests"]


def test_first_seen(platforms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed lists an old date late: the hours that could not know it stay as they were, the row says when it came."""
    day = scenario.DAY * 4 + DAY
    begun = datetime.now(timezone.utc)
    platform: Platform = platforms(until=datetime(2021, 3, 5, 12, tzinfo=timezone.utc))  # before the day's articles
    assert platform.backfill(DAY, day, tables=NEWS).ok
    before = {table: platform.read(table) for table in NEWS}
    assert set(before["news_articles"]["date"]) == {DAY + scenario.DAY * n for n in range(4)}
    assert (before["news_articles"]["available_at"] == before["news_articles"]["published_at"]).all()

    shown = newest_metadata(platform.instance, "theme_trends", DAY, day)
    assert [at for at, said in shown.items() if "theme_shares" in said] == [day], "one picture a run"
    assert "data:image/png" in str(shown[day]["theme_shares"].value)

    def later(table: str):
        return platform.warehouse.read(table, start=DAY, end=day)

    recording = scenario.write(tmp_path / "later")
    with open_platform(platform.instance, tmp_path / "other", recording, monkeypatch) as other:
        monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", platform.settings.warehouse)
        other.backfill(DAY, day, tables=NEWS)
        (came,) = later("news_articles").filter(later("news_articles")["date"] == day).to_dicts()
        assert came["published_at"] == datetime(2021, 3, 5, 18, tzinfo=timezone.utc)
        assert begun < came["available_at"] == came["first_seen_at"] <= datetime.now(timezone.utc)
        for table in ("narratives", "theme_trends", "theme_digests"):
            assert_frame_equal(later(table), before[table])
        again = {table: platform.warehouse.version(table) for table in NEWS}
        other.backfill(DAY, day, tables=NEWS)
        assert {table: platform.warehouse.version(table) for table in NEWS} == again

        shutil.rmtree(Path(platform.settings.warehouse) / "news_articles")  # filled anew: nobody has watched it yet
        other.backfill(DAY, day, tables=NEWS)
        rows = later("news_articles")
        assert rows.height == 5 and (rows["available_at"] == rows["published_at"]).all()
        assert later("narratives").height > before["narratives"].height


def test_a_days_newest_run_names_the_feeds_of_earlier_ones(platform: Platform) -> None:
    """Retention frees earlier materialisations; what was read for a day is known after it all the same."""

    def read() -> list[str]:
        return list(newest_metadata(platform.instance, "news_articles", DAY, DAY)[DAY]["feeds_read"].value)  # type: ignore[call-overload]

    assert platform.backfill(DAY, DAY, tables=["news_articles"]).ok
    (first,) = read()
    name, _, url = platform.env["NEWS_FEEDS"].split(",")[0].partition("=")
    assert name == first
    platform.env["NEWS_FEEDS"] = f"another={url}"
    assert platform.backfill(DAY, DAY, tables=["news_articles"]).ok
    assert read() == sorted(["another", first])
