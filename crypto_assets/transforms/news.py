"""Articles from feed items: an identity that survives tracking links, when each was known, what it repeats."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, timedelta
from types import MappingProxyType
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np
import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.transforms import stories
from crypto_assets.transforms.mentions import find_symbols

STORED_DAYS = 7  # a feed may change an article's date; within so many days it is still the stored one
ARTICLE = [
    "article_id", "date", "available_at", "source", "published_at", "first_seen_at", "feed", "language", "title",
    "summary", "url",
]  # fmt: skip
_TRACKING = re.compile(r"^(utm_.*|fbclid|gclid|ref|ref_src|source|src|mc_[ce]id|cmpid|guccounter)$", re.IGNORECASE)


def article_id(url: str | None, title: str) -> str:
    """The first 32 hex digits of SHA-256 over the normalised address and title."""
    address = _address(url) if isinstance(url, str) else _address("")  # pandas gives NaN where there is none
    return hashlib.sha256(f"{address}\n{_words(title)}".encode()).hexdigest()[:32]


def _address(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # an address with a broken host is still the item's own
        return url.strip()
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if not _TRACKING.match(k)])
    return urlunsplit(("https", parts.netloc.lower().removeprefix("www."), parts.path.rstrip("/"), query, ""))


def _words(title: str) -> str:
    return " ".join(re.findall(r"\w+", title.lower()))


def tag_articles(
    raw: pd.DataFrame,
    coins: Sequence[Coin],
    start: date,
    end: date,
    *,
    stored: pd.DataFrame | None = None,
    read_before: Mapping[date, Set[str]] = MappingProxyType({}),
    seen_at: datetime | None = None,
) -> pd.DataFrame:
    """Rows of ``news_articles`` published in the inclusive UTC days, one an article (contract of the same name).

    ``raw`` is what the feeds list at ``seen_at``; ``stored`` is what the table has of those days and ``STORED_DAYS``
    to either side: a stored article stays as it was first seen, only its coins and its link to an earlier one are
    worked out again. ``read_before`` tells which feeds earlier fetches read, by day. Of an article that several feeds
    carry under one identity, the earliest published is kept.
    """
    listed = _known_from(_identified(raw), read_before, seen_at)
    rows = listed[ARTICLE]
    if stored is not None and len(stored):
        new = ~listed["article_id"].isin(stored["article_id"])
        rows = pd.concat([stored[ARTICLE], rows[new]]) if new.any() else stored[ARTICLE]
    rows = rows[(rows["date"] >= start - timedelta(days=stories.WINDOW_DAYS)) & (rows["date"] <= end)]
    rows = rows.sort_values("article_id").reset_index(drop=True)
    rows["coins"] = pd.Series([find_symbols(title, coins) for title in rows["title"]], dtype=object)
    rows["address"] = [_address(url) if isinstance(url, str) else "" for url in rows["url"]]
    rows["duplicate_of"] = pd.Series(np.array(stories.repeats(rows), dtype=object), dtype=object)
    rows = rows[rows["date"] >= start].reset_index(drop=True)
    texts = rows["title"].astype(str).str.cat(rows["summary"].fillna("").astype(str), sep=". ")
    rows["symbols"] = pd.Series([find_symbols(text, coins) for text in texts], dtype=object)
    return rows[[*ARTICLE, "symbols", "duplicate_of"]]


def _identified(raw: pd.DataFrame) -> pd.DataFrame:
    """The listed items with ``article_id`` and ``date``, one an identity: the earliest, then the first feed by name."""
    rows = raw.assign(
        article_id=[article_id(url, title) for url, title in zip(raw["url"], raw["title"], strict=True)],
        date=raw["published_at"].dt.date,
    )
    return rows.sort_values(["article_id", "published_at", "feed"]).drop_duplicates("article_id")


def _known_from(listed: pd.DataFrame, read_before: Mapping[date, Set[str]], seen_at: datetime | None) -> pd.DataFrame:
    """The items with ``first_seen_at`` and ``available_at``.

    A feed's first fetch of a day takes its word: the article was out at ``out_by``, whoever looked then could have
    known it. What turns up in a later fetch was not listed before, whatever its date says: it is known from then.
    """
    watched = [feed in read_before.get(day, ()) for feed, day in zip(listed["feed"], listed["date"], strict=True)]
    seen = pd.Series([seen_at if w else None for w in watched], index=listed.index, dtype=listed["published_at"].dtype)
    later = listed["published_at"].where(listed["published_at"] > seen, seen)
    return listed.assign(first_seen_at=seen, available_at=listed["out_by"].where(seen.isna(), later))
