"""Events on the whole platform: the model goes and comes back, one call reads all outlets, and the digest shows its words."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from crypto_assets.checks.outcome import Outcome
from crypto_assets.checks.shells import RANGE, every_measure, scope_of
from crypto_assets.monitoring.watch.model_server import model_server
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.tables.event_narratives import EVENT_NARRATIVES
from crypto_assets_tests import scenario
from crypto_assets_tests.narratives.llm.test_recovery import NOWHERE, tick
from crypto_assets_tests.platform import Platform

DAY = scenario.START + scenario.DAY
TABLES = ["news_articles", "article_narratives", "news_events", "event_narratives", "theme_digests"]
NEWS = """title,summary,feed,seen_at
SEC sues Coinbase over staking programme,The regulator says it sold securities.,one,2021-03-02T10:00:00Z
Coinbase sued by SEC over staking,The exchange wants to fight.,two,2021-03-02T11:00:00Z
"""


def health(platform: Platform, table: str) -> Outcome:
    tags = {RANGE[0]: DAY.isoformat(), RANGE[1]: DAY.isoformat()}
    return every_measure()[table]["analysis_health"](scope_of(tags, platform.settings))


def by_model(platform: Platform) -> pl.DataFrame:
    return platform.read("event_narratives").filter(pl.col("analyzer") == "sandbox")


@pytest.fixture
def reported(platform: Platform, tmp_path: Path) -> Platform:
    """A platform whose news comes from a file: rows of a file never mix with a sandbox's."""
    folder = tmp_path / "news"
    folder.mkdir()
    (folder / "news.csv").write_text(NEWS, encoding="utf-8")
    platform.env |= {"NEWS_FOLDER": str(folder), "NEWS_FEEDS": "away=http://127.0.0.1:9/feed"}
    return platform


def test_away_and_back(reported: Platform) -> None:
    platform, there = reported, reported.env["OLLAMA_HOST"]
    platform.env["OLLAMA_HOST"] = NOWHERE
    assert platform.backfill(DAY, DAY, tables=TABLES).ok, "a model that is away is no failure of the run"
    events = platform.read("news_events").filter(pl.col("outlet_count") > 1)
    assert events.height == 1
    everyone = platform.read("event_narratives")
    assert set(everyone.filter(pl.col("analyzer") != "sandbox")["event_id"]) == set(
        platform.read("news_events")["event_id"]
    )
    assert by_model(platform).select("event_id", "status").rows() == [(events["event_id"][0], "unavailable")]
    outcome = health(platform, "event_narratives")
    assert (outcome.passed, outcome.severity) == (False, "WARN")
    assert "0 of 1 event(s)" in outcome.description
    assert not platform.read("theme_digests")["digest"].str.contains("Summary by").any()
    assert isinstance(tick(platform), dg.SkipReason)

    platform.env["OLLAMA_HOST"] = there
    assert isinstance(tick(platform), dg.SensorResult)
    assert platform.backfill(DAY, DAY, tables=TABLES).ok
    (row,) = by_model(platform).rows(named=True)
    assert row["status"] == "ok"
    assert row["articles_read"] == events["articles"][0].to_list()
    assert EVENT_NARRATIVES.validate(platform.read("event_narratives")).height
    assert health(platform, "event_narratives").passed
    digests = platform.read("theme_digests")["digest"].to_list()
    assert any(f"Summary by sandbox: {row['summary']}" in digest for digest in digests)
    assert isinstance(tick(platform), dg.SkipReason)
    version = platform.warehouse.version("event_narratives")
    assert platform.backfill(DAY, DAY, tables=TABLES).ok
    assert platform.warehouse.version("event_narratives") == version, "same bytes: no commit"


def test_a_model_may_read_events_only(reported: Platform) -> None:
    platform = reported
    with Sandbox() as sandbox:
        platform.env |= {"OLLAMA_HOST": sandbox.url, "OLLAMA_READS": "events"}
        assert platform.backfill(DAY, DAY, tables=TABLES).ok
        assert sandbox.requests["/api/chat"] == 1
        assert health(platform, "article_narratives").passed
        evening = datetime(2021, 3, 2, 23, tzinfo=timezone.utc)
        (sighting,) = model_server(platform.settings, evening)
        assert sighting.trouble is None, "articles that nobody sent are no reason for an alert"
    assert set(platform.read("article_narratives")["analyzer"].str.slice(0, 8)) == {"lexicon-"}
    assert by_model(platform)["status"].to_list() == ["ok"]
    assert isinstance(tick(platform), dg.SkipReason)
