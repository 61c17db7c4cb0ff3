"""Files of news taken into the folder that is read: once each, and none when one of them cannot be read."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from crypto_assets.errors import SourceError, UsageError
from crypto_assets.operate.importing import import_files, tables_of_news
from crypto_assets.settings import Settings
from crypto_assets.sources.news_files import news_folder, read_folder

NOW = datetime(2024, 6, 1, tzinfo=timezone.utc)
TEXT = "title,seen_at\nBitcoin falls,2024-01-02T10:00:00Z\nEther rises,2024-01-05T10:00:00Z\n,2024-01-05T10:00:00Z\n"


def test_a_file_is_kept_once_and_read_as_it_was_given(tmp_path: Path) -> None:
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path / "home")})
    archive = tmp_path / "archive.csv"
    archive.write_text(TEXT, encoding="utf-8")
    assert news_folder(settings) is None
    first, again = (import_files([archive], settings, NOW) for _ in range(2))
    assert (first.articles, first.first, first.last) == (2, date(2024, 1, 2), date(2024, 1, 5))
    assert first.set_aside == {"row without a title": 1}
    assert len(first.written) == 1 and again.written == ()
    found = read_folder(news_folder(settings), date(2024, 1, 1), date(2024, 1, 31), NOW).frame
    assert list(found["title"]) == ["Bitcoin falls", "Ether rises"] and set(found["pit_quality"]) == {"first_seen"}


def test_an_article_that_two_rows_have_counts_once_and_the_row_is_named(tmp_path: Path) -> None:
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path / "home")})
    archive, later = tmp_path / "archive.csv", tmp_path / "later.csv"
    rows = "title,url,seen_at\n{},https://a.example/1,2024-01-02T10:00:00Z\nEther rises,,2024-01-05T10:00:00Z\n"
    archive.write_text(rows.format("Bitcoin falls"), encoding="utf-8")
    later.write_text(rows.format("Bitcoin  Falls!").replace("https", "http"), encoding="utf-8")
    found = import_files([archive, later], settings, NOW)
    assert found.articles == 2
    assert found.set_aside == {"row of an article that another row has: same address and title": 2}


def test_nothing_is_kept_where_a_file_cannot_be_read(tmp_path: Path) -> None:
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path / "home"), "NEWS_FOLDER": str(tmp_path / "news")})
    good, bad = tmp_path / "good.csv", tmp_path / "bad.parquet"
    good.write_text(TEXT, encoding="utf-8")
    bad.write_bytes(b"no parquet")
    with pytest.raises(SourceError, match=r"bad\.parquet cannot be read"):
        import_files([good, bad], settings, NOW)
    with pytest.raises(UsageError, match="give files as"):
        import_files([tmp_path / "notes.txt"], settings, NOW)
    assert not (tmp_path / "news").exists()


def test_what_rests_on_news_alone_is_derived_again() -> None:
    tables = tables_of_news()
    assert tables[0] == "news_articles" and {"news_events", "narratives", "coin_events"} <= set(tables)
    assert "ml_features" not in tables
