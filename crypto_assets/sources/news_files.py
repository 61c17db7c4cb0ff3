"""News from files: what feeds no longer list, in a folder that is read at every fetch.

A file is CSV (``.csv``, ``.csv.gz``), JSON lines (``.jsonl``) or Parquet. Each row has ``title``, and ``seen_at`` or
``published_at`` or both: ISO 8601 with an offset, seconds since 1970, or a Parquet timestamp with a zone. ``feed``,
``summary``, ``url`` and ``language`` are read where they are there. A time without an offset is set aside: a clock of UTC+8
that is read as UTC would know tomorrow's news.

``seen_at`` says when the article was seen, so it is known from then and its row counts as ``first_seen``. Without it the
article is known from its publication, and its row is ``backfilled``.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import polars as pl

from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.cells import UNREADABLE_TIME, require_readable
from crypto_assets.sources.fetched import SetAside, SetAsideLog
from crypto_assets.sources.rss import AHEAD, EARLIEST, SUMMARY_CHARS, TITLE_CHARS, plain_text
from crypto_assets.sources.social import NO_TIME_ZONE, read_time
from crypto_assets.tables.contract import TIMESTAMP
from crypto_assets.tables.pit_quality import BACKFILLED, FIRST_SEEN, PIT_QUALITY

NAME, FILE = "news", "file"
IMPORTED = "news"  # folder of the home into which import-news writes, where NEWS_FOLDER is unset
NO_TITLE, BROKEN = "row without a title", "row that is not readable"
BEFORE_NEWS, IN_THE_FUTURE = "date before 2009", "date more than a day ahead"
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "feed": pl.String, "title": pl.String, "summary": pl.String, "url": pl.String, "language": pl.String, "source": pl.String,
    "published_at": TIMESTAMP, "first_seen_at": TIMESTAMP, "available_at": TIMESTAMP, PIT_QUALITY: pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class NewsRows:
    """What files hold.

    Attributes:
        frame: One row an article, with the columns of :data:`COLUMNS`.
        set_aside: Rows that are no articles, by reason.
        missing: Files that cannot be read, and why.
    """

    frame: pl.DataFrame
    set_aside: tuple[SetAside, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()


def news_folder(settings: Settings) -> Path | None:
    """Return the folder that is read: NEWS_FOLDER, else that of ``import-news`` in the home once it is there."""
    own = settings.home / IMPORTED
    return settings.news_folder or (own if own.is_dir() else None)


def files_of(folder: Path | None) -> list[Path]:
    """Return the files of a folder that can be read, by name.

    Args:
        folder: the folder; None where none is configured.

    Raises:
        SourceError: it is not a folder.
    """
    if folder is None:
        return []
    if not folder.is_dir():
        raise SourceError(f"NEWS_FOLDER {folder} is not a folder; nothing was written; correct it, or leave it unset")
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith("."))


def read_folder(folder: Path | None, start: date, end: date, now: datetime) -> NewsRows:
    """Read the articles of the days ``start``..``end`` from a folder.

    Args:
        folder: the folder; None where none is configured.
        start: the first UTC day of publication.
        end: the last UTC day, included.
        now: the instant of the fetch; what is known later is left out.

    Returns:
        The articles. A file that cannot be read is in ``missing``.

    Raises:
        SourceError: the folder is not one.
    """
    found, aside, missing = [_empty()], [], []
    for path in files_of(folder):
        try:
            rows = read_file(path, now)
        except SourceError as error:
            missing.append((path.name, str(error)))
            continue
        shown = pl.col("published_at").dt.date().is_between(start, end) & (pl.col("available_at") <= now)
        found.append(rows.frame.filter(shown))
        aside += [record for record in rows.set_aside if start <= record.day <= end]
    return NewsRows(pl.concat(found), tuple(aside), tuple(missing))


def read_file(path: Path, now: datetime) -> NewsRows:
    """Read one file.

    Args:
        path: the file.
        now: dates more than a day later are set aside.

    Returns:
        Its articles, in order of publication.

    Raises:
        SourceError: it cannot be read, lacks a column, or most of its times cannot be read.
    """
    what = f"{NAME} {path.name}"
    log, rows, bad, count = SetAsideLog(), [], 0, 0
    try:
        for row in _READERS[path.suffix](path, what):
            count += 1
            article, why, example = (None, BROKEN, row) if isinstance(row, str) else _article(row, path, now)
            if article is not None:
                rows.append(article)
                continue
            bad += why in (UNREADABLE_TIME, NO_TIME_ZONE, BROKEN)
            log.add(path.name, now.date(), why, example)
    except (pl.exceptions.PolarsError, OSError, EOFError, ValueError, csv.Error) as error:
        first = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise SourceError(f"{what} cannot be read ({first}); it was left out; write it as docs/news.md says") from None
    require_readable(bad, count, what, "times are not ISO 8601 with an offset, or seconds")
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    return NewsRows(frame.sort("published_at", "feed", "title"), log.records())


def _of_csv(path: Path, what: str) -> Iterator[dict[str, Any] | str]:
    """Yield the rows of a CSV file; the text of one that has more cells than the header."""
    with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as body:
        reader = csv.DictReader(TextIOWrapper(body, encoding="utf-8-sig", newline=""), strict=True)  # type: ignore[arg-type]
        _has_columns(reader.fieldnames or (), what)
        for row in reader:
            yield row if None not in row else str(row.get("title"))


def _of_lines(path: Path, what: str) -> Iterator[dict[str, Any] | str]:
    """Yield the objects of a file of JSON lines; the text of a line that is none."""
    with path.open(encoding="utf-8") as lines:
        for line in filter(str.strip, lines):
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                row = None
            yield row if isinstance(row, dict) else line[:120]


def _of_parquet(path: Path, what: str) -> Iterator[dict[str, Any] | str]:
    listed = pl.read_parquet(path)
    _has_columns(listed.columns, what)
    yield from listed.iter_rows(named=True)


def _has_columns(names: Collection[str], what: str) -> None:
    timed = [name for name in ("seen_at", "published_at") if name in names]
    if "title" not in names or not timed:
        lacking = "title" if timed else "seen_at or published_at"
        raise SourceError(f"{what} lacks the column {lacking}; it was left out; write it as docs/news.md says")


_READERS: dict[str, Callable[[Path, str], Iterator[dict[str, Any] | str]]] = {
    ".csv": _of_csv,
    ".gz": _of_csv,
    ".jsonl": _of_lines,
    ".parquet": _of_parquet,
}
SUFFIXES = frozenset(_READERS)


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=COLUMNS)


def _article(row: dict[str, Any], path: Path, now: datetime) -> tuple[tuple[Any, ...] | None, str, object]:
    """Return the cells of an article, or why a row is none and the text that shows it."""
    times: dict[str, datetime | None] = {}
    for name in ("seen_at", "published_at"):
        raw = row.get(name)
        times[name], why = (None, "") if raw is None or raw == "" else read_time(_seconds(raw))
        if why:
            return None, why, raw
    seen, published = times["seen_at"], times["published_at"] or times["seen_at"]
    title = plain_text(str(row.get("title") or ""))[:TITLE_CHARS].rstrip()
    if published is None:
        return None, UNREADABLE_TIME, title
    if not title:
        return None, NO_TITLE, row.get("url")
    if not EARLIEST <= published <= now + AHEAD:
        return None, BEFORE_NEWS if published < EARLIEST else IN_THE_FUTURE, published
    url, summary = _text(row.get("url")), plain_text(_text(row.get("summary")) or "")[:SUMMARY_CHARS].rstrip()
    feed = _text(row.get("feed")) or _host(url) or path.name.partition(".")[0]
    known = published if seen is None else max(seen, published)
    quality = BACKFILLED if seen is None else FIRST_SEEN
    return (
        (feed, title, summary or None, url, _text(row.get("language")), FILE, published, seen, known, quality),
        "",
        "",
    )


def _seconds(raw: object) -> object:
    """Return seconds since 1970 as a number also where a CSV file has them as text."""
    try:
        return float(raw) if isinstance(raw, str) and raw.strip()[:4].isdigit() and "-" not in raw else raw
    except ValueError:
        return raw


def _text(cell: object) -> str | None:
    return cell.strip() or None if isinstance(cell, str) else None


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url or "").netloc.lower().removeprefix("www.") or None
    except ValueError:
        return None


def as_items(rows: NewsRows) -> pd.DataFrame:
    """Return articles as the items that ``narratives.tagging.tag_articles`` takes as ``imported``."""
    frame = rows.frame.to_pandas()
    for name in ("summary", "url", "language"):
        frame[name] = pd.Series(rows.frame[name].to_list(), dtype=object)
    return frame


def days_of(rows: Iterable[NewsRows]) -> tuple[date, date] | None:
    """Return the first and last UTC day of publication; None without any article."""
    found = pl.concat([_empty(), *(part.frame for part in rows)])["published_at"].dt.date()
    first, last = found.min(), found.max()
    return (first, last) if isinstance(first, date) and isinstance(last, date) else None
