"""Posts of feeds and of files: what is stored of them, and what is not."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.catalog import all_coins
from crypto_assets.errors import SourceError
from crypto_assets.narratives.mentions import find_symbols
from crypto_assets.sources import social
from crypto_assets.sources.fetched import Fetched
from crypto_assets.tables.social import SOCIAL_POSTS
from crypto_assets_tests.sources.wire_server import Reply, fetch, serve

UTC = timezone.utc
DAY, NOW = date(2024, 1, 2), datetime(2024, 1, 3, tzinfo=UTC)
FEED = (
    '<?xml version="1.0"?><rss version="2.0"><channel><title>t</title><item><title>Bitcoin, says @satoshi_n and u/whale-7</title>'
    "<author>Alice Example</author><link>https://forum.example/u/alice/1</link><description>&lt;b&gt;BTC&lt;/b&gt; up</description>"
    "<pubDate>Tue, 02 Jan 2024 03:00:00 GMT</pubDate></item></channel></rss>"
)


def ask(folder: Path | None = None, feed: bytes | None = None, now: datetime = NOW) -> Fetched:
    with serve(lambda _: Reply(feed or b"")) as running:
        env = {"SOCIAL_FOLDER": str(folder)} if folder else {}
        env |= {"SOCIAL_FEEDS": f"forum={running.url}/forum"} if feed is not None else {}
        settings = running.settings(**env)
        return fetch(lambda client: social.fetch_posts(client, settings, DAY, DAY, now, find_symbols, all_coins()))


def test_a_post_of_a_feed_has_neither_names_nor_handles_nor_its_address() -> None:
    rows = SOCIAL_POSTS.validate(ask(feed=FEED.encode()).frame)
    (post,) = rows.to_dicts()
    assert post["text"] == "Bitcoin, says @… and @…. BTC up"
    assert post["symbols"] == ["BTC"] and post["feed"] == "forum"
    assert len(post["url_hash"]) == 64
    shown = json.dumps(rows.to_dicts(), default=str)
    assert not any(word in shown for word in ("alice", "Alice", "satoshi_n", "whale-7", "forum.example"))


def test_files_are_read_in_each_format_and_a_clock_without_an_offset_is_set_aside(tmp_path: Path) -> None:
    posts = [
        {
            "time": "2024-01-02T09:00:00+08:00",
            "text": "比特币大涨,大家都在买入",
            "author": "王小明",
            "score": 12,
            "comments": 3,
        },
        {"time": "2024-01-02T09:00:00Z", "text": "Ethereum fees fall", "author": "bob", "score": 1, "comments": 0},
        {"time": "2024-01-02T10:00:00Z", "text": "Solana is down again", "author": "bob", "score": -4, "comments": 9},
        {"time": "2024-01-02 11:00:00", "text": "no offset", "author": "eve", "score": 0, "comments": 0},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(post) for post in posts), encoding="utf-8")
    pl.DataFrame(posts[1:2]).write_csv(tmp_path / "b.csv")
    pl.DataFrame([{"time": 1704186000, "text": "Dogecoin to the moon"}]).write_parquet(tmp_path / "c.parquet")
    found = ask(tmp_path)
    rows = SOCIAL_POSTS.validate(found.frame)
    by_text = {row["text"]: row for row in rows.to_dicts() if row["feed"] != "b"}
    assert len(rows) == 5 and rows.filter(pl.col("feed") == "b").height == 1
    chinese = next(row for text, row in by_text.items() if text.startswith("比特币"))
    assert chinese["published_at"] == datetime(2024, 1, 2, 1, tzinfo=UTC), "a clock of UTC+8"
    assert chinese["language"] == "und", "no English lexicon judges it"
    assert by_text["Ethereum fees fall"]["author_hash"] == by_text["Solana is down again"]["author_hash"]
    assert by_text["Solana is down again"]["score_at_crawl"] == -4.0
    assert by_text["Dogecoin to the moon"]["published_at"] == datetime(2024, 1, 2, 9, tzinfo=UTC)
    (aside,) = found.set_aside
    assert (aside.subject, aside.reason) == ("a", "its time has no offset from UTC")


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("time,text\n2024-01-02T09:00:00Z,Bitcoin\n", encoding="utf-8")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    (tmp_path / "poor.csv").write_text("when,what\n1,2\n", encoding="utf-8")
    found = ask(tmp_path)
    assert len(found.frame) == 1 and found.missing.keys() == {"bad.parquet", "poor.csv"}
    assert "lacks the columns time and text" in found.missing["poor.csv"]
    (tmp_path / "good.csv").unlink()
    with pytest.raises(SourceError, match="no post could be read"):
        ask(tmp_path)


def test_without_feeds_and_a_folder_there_are_no_posts_and_no_request() -> None:
    found = ask()
    assert found.frame.empty and found.calls == 0
    with pytest.raises(SourceError, match="is not a folder"):
        ask(Path("/nowhere/at/all"))
