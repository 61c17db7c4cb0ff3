"""Build articles from feed items: their identity, when each became available, and what it repeats.

The identity survives tracking parameters in links.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import date, datetime, timedelta
from types import MappingProxyType
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np
import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.narratives import boilerplate, stories
from crypto_assets.narratives.mentions import find_symbols
from crypto_assets.narratives.relevance import relevance

STORED_DAYS = 7  # if a feed changes an article's date by at most this, it is still the stored article
ARTICLE = [
    "article_id", "date", "available_at", "source", "published_at", "first_seen_at", "feed", "language", "title",
    "summary", "url",
]  # fmt: skip
_STRIPPED = ["clean_title", "clean_summary", "boilerplate"]
_TRACKING = re.compile(
    r"^(utm_.*|fbclid|gclid|dclid|msclkid|yclid|igshid|ref_src|mc_[ce]id|mkt_tok|_hs(enc|mi)|xtor|cmpid|guccounter)$",
    re.IGNORECASE,
)
# These name where a reader came from ("rss", "twitter"); on other sites they name the article ("1001", "a-bank-fails").
_PERHAPS_TRACKING = re.compile(r"^(ref|source|src)$", re.IGNORECASE)
_ORIGIN = re.compile(r"^[a-z_.]{0,20}$", re.IGNORECASE)
_PLACE = re.compile(
    r"^(top|content|main|comments?|respond|:~:.*)?$", re.IGNORECASE | re.DOTALL
)  # of one page, no other


def article_id(url: str | None, title: str, guid: str = "") -> str:
    """Compute the identity of an article: the first 32 hex digits of SHA-256 over the normalised address and title.

    Args:
        url: the article's address, or None.
        title: its title; case, white space and punctuation do not count.
        guid: the feed's own name of it, which counts where there is no address.

    Returns:
        The identity.
    """
    # pandas gives NaN where there is no address
    address = _address(url) if isinstance(url, str) else guid or _address("")
    return hashlib.sha256(f"{address}\n{_words(title)}".encode()).hexdigest()[:32]


def _address(url: str) -> str:
    """Normalise an address: drop scheme, "www.", trailing slash, tracking, and a place in the page.

    Any other query or fragment is part of it: "?id=2", "?20240105", "#/2024/a" and "#post-7" name different articles.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # an address with a broken host still identifies the item
        return url.strip()
    fragment = parts.fragment
    if _PLACE.match(fragment) or ("=" in fragment and "/" not in fragment.split("=")[0] and not _kept(fragment)):
        fragment = ""
    host = parts.netloc.lower().removeprefix("www.")
    return urlunsplit(("https", host, parts.path.rstrip("/"), urlencode(_kept(parts.query)), fragment))


def _kept(query: str) -> list[tuple[str, str]]:
    """Return the parts of a query that are not tracking, including those without a value."""
    return [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if not _TRACKING.match(name) and not (_PERHAPS_TRACKING.match(name) and _ORIGIN.match(value))
    ]


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
    known: Collection[str] = (),
    imported: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Build the rows of ``news_articles`` published in the UTC days ``start``..``end``, one per article.

    ``raw`` is what the feeds list at ``seen_at``; ``stored`` is what the table has of those days and ``STORED_DAYS``
    to either side: a stored article stays as it was first seen, only its coins and its link to an earlier one are
    worked out again. A frame without the columns ``guid`` and ``dated`` has neither names of the feeds' own nor items
    without a date. ``read_before`` tells which feeds earlier fetches read, by day. Of an article that several feeds
    carry under one identity, the earliest published is kept. An item without a date (``dated`` False) is dated with
    ``seen_at``; ``known`` are articles of any day, which such an item is not again. Coins and repeats are found in the
    text without its boilerplate.
    ``imported`` are articles of files, which say themselves from when they were known (``first_seen_at``,
    ``available_at``).
    """
    listed = _known_from(_identified(raw, seen_at), read_before, seen_at)
    if imported is not None and len(imported):
        listed = pd.concat([_identified(imported, None), listed]).sort_values(
            ["article_id", "available_at"], kind="stable"
        )
        listed = listed.drop_duplicates("article_id")
    listed = listed[listed["dated"] | ~listed["article_id"].isin(known)]
    rows = listed[ARTICLE]
    if stored is not None and len(stored):
        # Also the identity that today's rule gives a stored article, so that a better rule does not store it twice.
        again = [article_id(url, title) for url, title in zip(stored["url"], stored["title"], strict=True)]
        new = ~listed["article_id"].isin(stored["article_id"]) & ~listed["article_id"].isin(again)
        rows = pd.concat([stored[ARTICLE], rows[new]]) if new.any() else stored[ARTICLE]
    rows = rows[(rows["date"] >= start - timedelta(days=boilerplate.WINDOW_DAYS)) & (rows["date"] <= end)]
    rows = rows.sort_values("article_id").reset_index(drop=True)
    rows[_STRIPPED] = boilerplate.strip(rows)
    clean = boilerplate.cleaned(rows)
    rows["symbols"] = pd.Series([find_symbols(text, coins) for text in _texts(clean)], dtype=object)
    rows["relevance"] = pd.Series(relevance(clean.assign(symbols=rows["symbols"])), dtype=object)
    rows = rows[rows["date"] >= start - timedelta(days=stories.WINDOW_DAYS)].reset_index(drop=True)
    clean = boilerplate.cleaned(rows)
    clean["coins"] = pd.Series([find_symbols(title, coins) for title in clean["title"]], dtype=object)
    clean["address"] = [_address(url) if isinstance(url, str) else "" for url in clean["url"]]
    rows["title_symbols"] = clean["coins"]
    rows["duplicate_of"] = pd.Series(np.array(stories.repeats(clean), dtype=object), dtype=object)
    return rows.loc[
        rows["date"] >= start, [*ARTICLE, "symbols", "title_symbols", "relevance", "duplicate_of", *_STRIPPED]
    ].reset_index(drop=True)


def _texts(rows: pd.DataFrame) -> pd.Series:
    """Return title and summary as one text."""
    return rows["title"].astype(str).str.cat(rows["summary"].fillna("").astype(str), sep=". ")


def _identified(raw: pd.DataFrame, seen_at: datetime | None) -> pd.DataFrame:
    """Return the items with ``article_id`` and ``date``, one per identity: the earliest, then the first feed by name.

    An item with a date goes before one without.
    """
    rows = raw.assign(
        guid=raw.get("guid", ""),
        dated=raw.get("dated", True),
    )
    rows["article_id"] = [article_id(*cells) for cells in zip(rows["url"], rows["title"], rows["guid"], strict=True)]
    if seen_at is not None and len(rows):
        moment = pd.Series(seen_at, index=rows.index).astype(rows["published_at"].dtype)
        for column in ("published_at", "out_by"):
            rows[column] = rows[column].where(rows["dated"], moment)
    rows["date"] = rows["published_at"].dt.date
    rows = rows.assign(undated=~rows["dated"]).sort_values(["article_id", "undated", "published_at", "feed"])
    return rows.drop_duplicates("article_id")


def _known_from(listed: pd.DataFrame, read_before: Mapping[date, Set[str]], seen_at: datetime | None) -> pd.DataFrame:
    """Return the items with ``first_seen_at`` and ``available_at``.

    In the first fetch of a feed on a day, its dates are trusted: the article was public at ``out_by``, and available at
    the fetch at the latest. An item that appears in a later fetch was not listed before, whatever its date says, so it
    is available from then. The same holds for an item without a date.
    """
    watched = [
        not dated or feed in read_before.get(day, ())
        for feed, day, dated in zip(listed["feed"], listed["date"], listed["dated"], strict=True)
    ]
    kind = listed["published_at"].dtype
    seen = pd.Series([seen_at if w else None for w in watched], index=listed.index, dtype=kind)
    fetch = pd.Series([seen_at] * len(listed), index=listed.index, dtype=kind)
    later = listed["published_at"].where(listed["published_at"] > fetch, fetch)
    out_by = listed["out_by"].where(fetch.isna() | (listed["out_by"] <= later), later)
    return listed.assign(first_seen_at=seen, available_at=out_by.where(seen.isna(), later))
