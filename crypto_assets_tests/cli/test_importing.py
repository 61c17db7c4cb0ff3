"""``import-news`` as a user meets it: what a file says stands in every table of news, bad rows are counted, twice is once."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from crypto_assets.automation.staleness import newest_metadata
from crypto_assets.cli.main import cli
from crypto_assets.operate.importing import tables_of_news
from crypto_assets.tables.schemas import PRICES
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform

FIRST, SECOND = scenario.START, scenario.START + timedelta(days=1)
TEXT = f"""title,seen_at,feed,url
Hackers drain 40 million dollars from Bitcoin exchange Foxbit,{FIRST}T08:10:00Z,wire,https://wire.example/1
Bitcoin exchange Foxbit loses 40 million dollars to hackers,{FIRST}T09:05:00Z,desk,https://desk.example/1
Bitcoin exchange Foxbit hacked for 40 million dollars,{FIRST}T09:40:00Z,post,https://post.example/1
How to buy Bitcoin in 2021: a guide,{FIRST}T10:00:00Z,wire,https://wire.example/2
Bitcoin miners move to Texas,{SECOND}T07:00:00Z,desk,https://desk.example/2
,{FIRST}T11:00:00Z,wire,https://wire.example/3
Ether rises,yesterday,wire,https://wire.example/4
Ether falls,{FIRST}T12:00:00Z,wire,https://wire.example/5,one cell too many
"""


def prices() -> pl.DataFrame:
    start = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=timezone.utc)
    hours = [start + timedelta(hours=n) for n in range(48)]
    return PRICES.conform(
        pl.DataFrame(
            {"symbol": "BTC", "ts": hours, "date": [at.date() for at in hours], "available_at": hours}
        ).with_columns(
            price_usd=pl.int_range(100, 148).cast(pl.Float64), source=pl.lit("written"), pit_quality=pl.lit("final")
        )
    )


def run(path: Path) -> dict:
    done = CliRunner().invoke(cli, ["import-news", str(path), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_file_reaches_every_table_of_news_once(platform: Platform, tmp_path: Path) -> None:
    archive = tmp_path / "archive.csv"
    archive.write_text(TEXT, encoding="utf-8")
    platform.env["NEWS_FEEDS"] = "away=http://127.0.0.1:9/feed"  # rows of a file never mix with a sandbox's
    platform.activate()
    platform.warehouse.write(PRICES, prices(), [FIRST, SECOND])
    said = run(archive)
    assert (said["articles"], said["start"], said["end"]) == (5, str(FIRST), str(SECOND))
    assert len(said["files_written"]) == 1 and sorted(said["set_aside"].values()) == [1, 1, 1], said["set_aside"]
    days = {"requested": 2, "materialized": 2, "failed": 0}
    assert said["partitions"] == dict.fromkeys(tables_of_news(), days)

    tables = {table: platform.read(table) for table in tables_of_news()}
    rows = tables["news_articles"]
    assert rows.height == 5 and set(rows["pit_quality"]) == {"first_seen"}
    [event] = tables["news_events"].filter(pl.col("headline").str.contains("Foxbit")).to_dicts()
    assert event["outlets"] == ["wire", "desk", "post"] and event["symbols"] == ["BTC"]
    guide = rows.filter(pl.col("title").str.contains("guide"))["article_id"].item()
    assert guide not in tables["news_events"]["articles"].explode().to_list()
    noon = tables["narratives"].filter(
        pl.col("symbol") == "BTC", pl.col("ts").dt.to_string("%F %T") == f"{FIRST} 12:00:00"
    )
    counts = noon.select("article_count_24h", "story_count_24h").row(0)
    assert counts == (4, 1), "three outlets report one event, and a guide is none"
    assert tables["theme_digests"].filter(pl.col("digest").str.contains("3 outlets, first wire; BTC")).height == 1
    reactions = tables["event_reactions"].filter(pl.col("event_id") == event["event_id"])
    assert set(reactions["horizon"]) == {1, 4, 24} and reactions["return"].null_count() == 0
    shown = newest_metadata(platform.instance, "event_reactions", FIRST, SECOND)[SECOND]
    assert "data:image/png" in str(shown["events_and_price"].value) and "Foxbit" in str(shown["events_and_price"].value)

    versions = {table: platform.warehouse.version(table) for table in tables}
    again = run(archive)
    assert again["files_written"] == [] and again["set_aside"] == said["set_aside"]
    assert {table: counts["requested"] for table, counts in again["partitions"].items()} == dict.fromkeys(tables, 0)
    [kept] = (Path(platform.env["CRYPTO_ASSETS_HOME"]) / "news").iterdir()
    soon = datetime.now(timezone.utc).timestamp() + 60
    os.utime(kept, (soon, soon))  # as if the command had been stopped before any day: every day is derived again
    assert run(archive)["partitions"] == dict.fromkeys(tables_of_news(), days)
    for table, rows_before in tables.items():
        assert_frame_equal(platform.read(table), rows_before)
        assert platform.warehouse.version(table) == versions[table], table
