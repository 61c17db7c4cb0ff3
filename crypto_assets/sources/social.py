"""Posts: feeds of the kind that the news reader reads, and files in a folder. Names and handles do not leave this file.

A file is CSV (``.csv``, ``.csv.gz``), JSON lines (``.jsonl``) or Parquet with the columns ``time`` (ISO 8601 with an offset, or
seconds since 1970) and ``text``, and any of ``title``, ``author``, ``url``, ``language``, ``score``, ``comments``. A time without
an offset is refused: a clock of UTC+8 that is read as UTC would be eight hours early.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from crypto_assets.catalog import Coin
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources import rss
from crypto_assets.sources.cells import UNREADABLE_TIME, Cells, require_readable
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched, SetAsideLog, utc
from crypto_assets.tables.social import SOCIAL_POSTS

NAME, FILE = "social", "file"
TEXT_CHARS = 2000
LATIN = 0.5  # share of the letters of a text that must be Latin for it to be read as English
HANDLE = re.compile(r"(?<![\w/])(?:@\w{1,40}|/?u/[\w-]{1,40})")
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": pl.read_csv,
    ".gz": pl.read_csv,
    ".jsonl": pl.read_ndjson,
    ".parquet": pl.read_parquet,
}
NO_TIME_ZONE = "its time has no offset from UTC"


async def fetch_posts(
    client: Client, settings: Settings, start: date, end: date, now: datetime, find: Any, coins: Sequence[Coin]
) -> Fetched:
    """Read the posts of the days ``start``..``end``.

    Args:
        client: makes the requests: one for each feed.
        settings: ``SOCIAL_FEEDS`` and ``SOCIAL_FOLDER``; without both there are no posts.
        start: the first UTC day.
        end: the last UTC day, included.
        now: the instant of the fetch; later posts are left out.
        find: finds the coins that a text names.
        coins: the coins of the catalogue.

    Returns:
        Rows of contract ``social_posts``. A feed or file that cannot be read is in ``missing``.

    Raises:
        SourceError: none of the feeds and files can be read.
    """
    before, log = client.calls, SetAsideLog()
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    digests: tuple[str, ...] = ()
    if settings.social_feeds:
        try:
            listed = await rss.fetch_articles(client, replace(settings, news_feeds=settings.social_feeds), now)
            dated = listed.frame[listed.frame["dated"]]
            rows += [_of_item({str(name): cell for name, cell in item.items()}) for item in dated.to_dict("records")]
            missing, digests = dict(listed.missing), listed.digests
            for record in listed.set_aside:
                log.add(record.subject, record.day, record.reason, record.example, record.column, record.count)
        except SourceError as error:
            missing |= dict.fromkeys(settings.social_feeds, str(error))
    for path in _files(settings.social_folder):
        try:
            rows += _of_file(path, (start, end), log)
        except SourceError as error:
            missing[path.name] = str(error)
    if missing and not rows:
        raise SourceError(f"no post could be read; first: {next(iter(missing.values()))}")
    kept = [row for row in rows if start <= row["published_at"].date() <= end and row["available_at"] <= now]
    frame = pd.DataFrame(
        [{**row, "symbols": find(row["text"], coins)} for row in kept], columns=SOCIAL_POSTS.given_names
    ).drop_duplicates("post_id")
    frame = utc(frame, "published_at", "available_at").astype(
        {"score_at_crawl": "float64", "comments_at_crawl": "float64"}
    )
    return Fetched(frame, digests, missing, client.calls - before, set_aside=log.records())


def _of_item(item: dict[str, Any]) -> dict[str, Any]:
    summary = item["summary"] if isinstance(item["summary"], str) else ""
    language = item["language"] if isinstance(item["language"], str) else None
    return _row(item["feed"], item["source"], item["published_at"].to_pydatetime(), item["out_by"].to_pydatetime(),
                item["title"], summary, language=language, url=item["url"])  # fmt: skip


def _row(
    feed: str, source: str, published: datetime, known: datetime, title: str, text: str, *, language: str | None = None,
    author: object = None, url: object = None, score: float | None = None, comments: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    whole = text if text.startswith(title) else f"{title}. {text}" if text else title
    shown = HANDLE.sub("@…", rss.plain_text(whole))[:TEXT_CHARS].strip()
    words = " ".join(re.findall(r"\w+", shown.lower()))
    return {
        "post_id": _hash(f"{feed}\n{published.isoformat()}\n{shown}")[:32], "published_at": published,
        "date": published.date(), "available_at": known, "source": source, "feed": feed, "text": shown,
        "text_hash": _hash(words), "author_hash": _hash_of(author), "url_hash": _hash_of(url),
        "language": language or _script(shown), "score_at_crawl": score, "comments_at_crawl": comments,
    }  # fmt: skip


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_of(value: object) -> str | None:
    return _hash(value) if isinstance(value, str) and value else None


def _script(text: str) -> str | None:
    """``und`` where most letters are not Latin, so that no English lexicon judges the text; else None."""
    letters = [letter for letter in text if letter.isalpha()]
    latin = sum("a" <= letter.lower() <= "z" for letter in letters)
    return "und" if letters and latin < LATIN * len(letters) else None


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise SourceError(f"SOCIAL_FOLDER {folder} is not a folder; nothing was written; correct it, or leave it unset")
    return sorted(path for path in folder.iterdir() if path.suffix in READERS and not path.name.startswith("."))


def _of_file(path: Path, window: tuple[date, date], log: SetAsideLog) -> list[dict[str, Any]]:
    name = path.name.partition(".")[0]
    what = f"{NAME} {path.name}"
    try:
        listed = READERS[path.suffix](path).to_dicts()
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0][:120]
        raise SourceError(
            f"{what} cannot be read ({first}); it was left out; write it as docs/sources.md says"
        ) from None
    if listed and not {"time", "text"} <= listed[0].keys():
        raise SourceError(f"{what} lacks the columns time and text; it was left out; write it as docs/sources.md says")
    rows, bad = [], 0
    cells = Cells(SOCIAL_POSTS, log)
    for post in listed:
        at, why = read_time(post["time"])
        if at is None:
            bad += 1
            log.add(name, window[0], why, post["time"])
            continue
        if not isinstance(post["text"], str) or not post["text"].strip() or not window[0] <= at.date() <= window[1]:
            continue
        score, comments = (cells.read(post.get(n), f"{n}_at_crawl", name, at.date()) for n in ("score", "comments"))
        language = post.get("language") if isinstance(post.get("language"), str) else None
        rows.append(_row(name, FILE, at, at, str(post.get("title") or ""), post["text"], language=language,
                         author=post.get("author"), url=post.get("url"), score=score, comments=comments))  # fmt: skip
    require_readable(bad, len(listed), what, "times are not ISO 8601 with an offset, or seconds")
    return rows


def read_time(raw: object) -> tuple[datetime | None, str]:
    """Read a time of a file.

    Args:
        raw: ISO 8601 with an offset, seconds since 1970, or a datetime.

    Returns:
        The instant, UTC, and ""; or None and why it does not name one instant.
    """
    try:
        if isinstance(raw, datetime):
            found = raw
        elif isinstance(raw, int | float) and math.isfinite(raw):
            found = datetime.fromtimestamp(raw, timezone.utc)
        else:
            found = datetime.fromisoformat(str(raw).strip())
    except (ValueError, OverflowError, OSError):
        return None, UNREADABLE_TIME
    return (None, NO_TIME_ZONE) if found.tzinfo is None else (found.astimezone(timezone.utc), "")
