"""Take files of news into the folder that ``news_articles`` reads, and materialise the days that they are about."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from io import BytesIO
from pathlib import Path

from crypto_assets.errors import CryptoAssetsError, UsageError, free_space_note
from crypto_assets.narratives.tagging import article_id
from crypto_assets.settings import Settings
from crypto_assets.sources import news_files
from crypto_assets.sources.news_files import IMPORTED, NewsRows
from crypto_assets.tables.news import NEWS_ARTICLES
from crypto_assets.tables.registry import LOOK_BACK, REQUIRED_INPUTS, TABLES


@dataclass(frozen=True)
class Imported:
    """What was taken from files.

    Attributes:
        articles: Articles that the files have, each once.
        written: Files that the folder did not have before.
        set_aside: Reason -> rows that were left out.
        first: The first day of publication, UTC; None without any article.
        last: The last day.
        kept_at: When the newest of the files was written into the folder; None without any article.
    """

    articles: int
    written: tuple[str, ...]
    set_aside: dict[str, int]
    first: date | None
    last: date | None
    kept_at: datetime | None


def import_files(files: Sequence[Path], settings: Settings, now: datetime) -> Imported:
    """Copy files of news, as Parquet, into the folder that is read. A file that is there already is not written again.

    Args:
        files: CSV, JSON lines or Parquet, as docs/news.md says.
        settings: name the folder.
        now: the current instant.

    Returns:
        What was taken.

    Raises:
        UsageError: a file is of another kind.
        SourceError: a file cannot be read; nothing was written.
        CryptoAssetsError: the folder cannot be written.
    """
    unknown = [path for path in files if path.suffix not in news_files.SUFFIXES]
    if unknown:
        raise UsageError(
            f"{unknown[0]} is no {', '.join(sorted(news_files.SUFFIXES))} file; give files as docs/news.md says"
        )
    read = [(path, news_files.read_file(path, now)) for path in files]
    folder = settings.news_folder or settings.home / IMPORTED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept = [stored for path, rows in read if (stored := _store(folder, path, rows)) is not None]
        times = [(folder / name).stat().st_mtime for name, _ in kept]
    except OSError as error:
        raise CryptoAssetsError(
            f"{folder} cannot be written ({error}){free_space_note(error, folder)}; make it writable, or set NEWS_FOLDER"
        ) from error
    aside: Counter[str] = Counter()
    for _, rows in read:
        for record in rows.set_aside:
            aside[record.reason] += record.count
    rows_read, articles = sum(rows.frame.height for _, rows in read), _distinct(rows for _, rows in read)
    if rows_read > articles:
        aside["row of an article that another row has: same address and title"] = rows_read - articles
    first, last = news_files.days_of(rows for _, rows in read) or (None, None)
    written = tuple(name for name, new in kept if new)
    kept_at = datetime.fromtimestamp(max(times), timezone.utc) if times else None
    return Imported(articles, written, dict(aside), first, last, kept_at)


def _distinct(read: Iterable[NewsRows]) -> int:
    """Count the articles as ``news_articles`` tells them apart."""
    named = (rows.frame.select("url", "title").iter_rows() for rows in read)
    return len({article_id(url, title) for cells in named for url, title in cells})


def _store(folder: Path, path: Path, rows: NewsRows) -> tuple[str, bool] | None:
    """Write the articles of a file under a name that says its content.

    Returns:
        The name, and whether the folder did not have it; None where the file has no article.
    """
    if rows.frame.is_empty():
        return None
    kept = rows.frame.rename({"first_seen_at": "seen_at"})
    body = BytesIO()
    kept.select("feed", "title", "summary", "url", "language", "published_at", "seen_at").write_parquet(body)
    name = f"{path.name.partition('.')[0]}-{hashlib.sha256(body.getvalue()).hexdigest()[:12]}.parquet"
    if (folder / name).exists():
        return name, False
    part = folder / f".{name}.{os.getpid()}"
    part.write_bytes(body.getvalue())
    part.replace(folder / name)
    return name, True


def tables_of_news() -> list[str]:
    """Return ``news_articles`` and what is derived from it alone or mostly, inputs first."""
    found = {NEWS_ARTICLES.table}
    for table in LOOK_BACK:
        if found & set(REQUIRED_INPUTS[table]) and TABLES[table].group == TABLES[NEWS_ARTICLES.table].group:
            found.add(table)
    return [table for table in TABLES if table in found]
