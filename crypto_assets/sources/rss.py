"""RSS and Atom: the articles that the configured feeds list right now, as plain text.

RSS 2.0, Atom (RFC 4287). A feed lists only its newest dozens of items; what it no longer lists stays in the table.
Dates: the item's publication, else its last change; a time without a zone, or with one that nobody knows, is UTC (RSS
2.0 leaves it open). An item whose date has no day, lies before 2009 or more than a day ahead is skipped and counted:
a date is never made up. What does not belong here: which coins an article names (``transforms/news.py``).
"""

from __future__ import annotations

import calendar
import io
import re
import warnings
from collections import Counter
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import Any, NamedTuple
from xml.sax import SAXException

import feedparser
import pandas as pd

from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Answer, Client
from crypto_assets.sources.fetched import Fetched, gather, source_name, utc

NAME = "rss"
TITLE_CHARS, SUMMARY_CHARS = 1000, 2000  # what is longer is no headline: it goes to the model and to every table
EARLIEST = datetime(2009, 1, 1, tzinfo=timezone.utc)  # before Bitcoin there is no crypto news, only broken dates
AHEAD = timedelta(days=1)  # how far a feed's clock or time zone may run ahead of ours
_COLUMNS = ["feed", "title", "summary", "url", "published_at", "out_by", "language", "source"]
_UNSEEN = {"script", "style", "template", "noscript", "iframe", "svg"}  # their text is not prose
_BREAKS = {"p", "br", "div", "li", "ul", "ol", "tr", "td", "h1", "h2", "h3", "h4", "blockquote", "figure", "figcaption"}
# C0/C1 controls, surrogates, zero-width space, byte-order mark and the marks that reverse text; joiners stay.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u200b\u202a-\u202e\u2066-\u2069\ufeff]")
# feedparser lets an empty dc:description or itunes:summary wipe the item's own description (CoinDesk sends both), and
# takes an image's media:title and media:description for the item's where they come first. Neither is read.
_NOISE = re.compile(
    rb"<((?:dc|itunes|content):(?:title|description|summary|subtitle|encoded))\b[^<>]*(?:/>|>\s*</\1\s*>)"
    rb"|<(media:(?:title|description))\b[^<>]*(?:/>|>(?:(?!<media:).)*?</\2\s*>)",
    re.DOTALL,
)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*$")  # RFC 5646
_NO_DAY = re.compile(r"\s*\d{4}(-\d{2})?\s*$")  # a year or a month, which feedparser completes to their first day
_CLOSED = re.compile(rb"</(rss|feed|[\w.-]+:RDF|RDF)\s*>\s*(<!--.*?-->\s*)*\x00*$", re.DOTALL | re.IGNORECASE)


async def fetch_articles(client: Client, settings: Settings, now: datetime) -> Fetched:
    """One row an item of every feed: feed, title, summary, url, published_at (UTC), out_by (UTC), language, source.

    ``out_by`` is the instant at which the article was out for certain: its publication, or the end of the day where
    the feed says only the day (``published_at`` is then the day's midnight).
    A feed that fails, or that lists nothing, is in ``missing`` with its reason, as are counts of skipped items.
    Raises :class:`SourceError` when every feed fails.
    """
    before = client.calls
    names = list(settings.news_feeds)
    answers = await gather(_fetch(client, name, settings.news_feeds[name]) for name in names)
    rows: list[tuple[Any, ...]] = []
    digests, missing, failed = [], {}, []
    for name, answer in zip(names, answers, strict=True):
        try:
            if isinstance(answer, SourceError):
                raise answer
            digests.append(answer.digest)
            articles, skipped = parse_feed(answer.body, name, now)
        except SourceError as error:
            missing[name] = str(error)
            failed.append(name)
            continue
        rows += [(name, *article, source_name(NAME, answer)) for article in articles]
        if skipped:
            listed = ", ".join(f"{count} {why}" for why, count in sorted(skipped.items()))
            missing[name] = f"{skipped.total()} of {skipped.total() + len(articles)} items skipped ({listed})"
    if len(failed) == len(names):
        first = f"; first: {missing[failed[0]]}" if failed else ""
        raise SourceError(
            f"None of the {len(names)} news feeds gave articles; nothing was written; check NEWS_FEEDS and the "
            f"network{first}"
        )
    frame = utc(pd.DataFrame(rows, columns=_COLUMNS), "published_at", "out_by")
    return Fetched(frame, tuple(digests), missing, client.calls - before)


async def _fetch(client: Client, name: str, url: str) -> Answer | SourceError:
    """The answer, or the failure as a value: one feed's failure is its own."""
    try:
        return await client.get_text(NAME, url, subject=name, endpoint=name)
    except SourceError as error:
        return error


class Article(NamedTuple):
    """One usable item of a feed, as plain text."""

    title: str
    summary: str | None
    url: str | None
    published_at: datetime
    out_by: datetime
    language: str | None  # as the item or its feed says, e.g. "en-us"


def parse_feed(body: bytes, name: str, now: datetime) -> tuple[list[Article], Counter[str]]:
    """Each usable item, and how many were skipped, by reason.

    Raises :class:`SourceError` for a body that is no feed, is cut off, lists nothing usable or declares entities.
    """
    what = f"News feed {name}"
    if b"<!ENTITY" in body.replace(b"\x00", b"").upper():  # without NULs: UTF-16 hides nothing
        raise SourceError(f"{what} declares XML entities, which can be a bomb; it was not read; remove it")
    parsed = _parse(body, what)
    if not parsed.get("version"):
        raise SourceError(f"{what} did not answer RSS or Atom; it was not read; correct its address in NEWS_FEEDS")
    # feedparser reads on after an error; half a document would give half an article, under a key of its own.
    if isinstance(parsed.get("bozo_exception"), SAXException) and not _CLOSED.search(body):
        raise SourceError(f"{what} was cut off; it was not read; run again later")
    articles: list[Article] = []
    skipped: Counter[str] = Counter()
    spoken = _language(_text(parsed.get("feed", {}), "language"))
    for entry in parsed.get("entries", []):
        title = plain_text(_text(entry, "title"))[:TITLE_CHARS].rstrip()
        published, out_by = _published(entry)
        if not title:
            skipped["without a title"] += 1
        elif published is None or out_by is None or not EARLIEST <= published <= now + AHEAD:
            skipped["without a plausible date"] += 1
        else:
            summary = plain_text(_text(entry, "summary") or _content(entry))[:SUMMARY_CHARS].rstrip()
            language = _language(_text(dict.get(entry, "title_detail") or {}, "language")) or spoken
            articles.append(Article(title, summary or None, _url(entry), published, out_by, language))
    if not articles:
        raise SourceError(
            f"{what} lists no usable item ({skipped.total()} without a title or a plausible date); "
            "check its address in NEWS_FEEDS"
        )
    return articles, skipped


def _parse(body: bytes, what: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            # A stream, never the text itself: feedparser takes a string for an address or a file name and opens it.
            # Markup is taken off below, so its own (slower) cleaning of HTML is not needed.
            return feedparser.parse(io.BytesIO(_NOISE.sub(b"", body)), sanitize_html=False, resolve_relative_uris=False)
    except Exception as error:  # its fallback parser was written for well-meant input; any crash means "not a feed"
        raise SourceError(
            f"{what} cannot be parsed ({type(error).__name__}); it was not read; correct its address in NEWS_FEEDS"
        ) from error


def _text(entry: Any, name: str) -> str:
    value = dict.get(entry, name)
    return value if isinstance(value, str) else ""


def _content(entry: Any) -> str:
    parts = dict.get(entry, "content") or []
    return next((part["value"] for part in parts if isinstance(part.get("value"), str) and part["value"].strip()), "")


def _url(entry: Any) -> str | None:
    for address in (_text(entry, "link"), _text(entry, "id")):
        address = _CONTROLS.sub("", address).strip()
        if address.lower().startswith(("http://", "https://")) and not re.search(r"\s", address):
            return address
    return None


def _language(tag: str) -> str | None:
    tag = tag.strip().lower().replace("_", "-")
    return tag if _LANGUAGE.match(tag) else None


def _published(entry: Any) -> tuple[datetime | None, datetime | None]:
    """(publication in UTC, when it was out for certain), else of the last change; (None, None) where neither can be read."""
    for name in ("published", "updated", "created"):
        said = _text(entry, name)
        parsed = dict.get(entry, f"{name}_parsed")  # dict's own: feedparser's lookup answers one date with another
        at = None if _NO_DAY.match(said) else _moment(parsed, said)
        if at is not None and at.year < datetime.max.year:
            return at, at if ":" in said or at.hour or at.minute else at + timedelta(days=1)
    return None, None


def _moment(parsed: Any, said: str) -> datetime | None:
    try:
        if parsed is not None:
            return datetime.fromtimestamp(calendar.timegm(parsed), timezone.utc)
        at = parsedate_to_datetime(said)  # RFC 822 without a zone, which feedparser does not take
        return at.astimezone(timezone.utc) if at.tzinfo else at.replace(tzinfo=timezone.utc)
    except (OverflowError, ValueError, OSError, TypeError, IndexError):
        return None


class _Text(HTMLParser):
    """Collects the text a reader would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._hidden.append(tag)
        elif tag in _BREAKS:
            self.parts.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BREAKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        elif tag in _BREAKS:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def plain_text(markup: str) -> str:
    """Text without tags, scripts, entities and control characters, white space collapsed."""
    parser = _Text()
    try:
        parser.feed(markup)
        parser.close()
        text = "".join(parser.parts)
    except (AssertionError, ValueError):  # html.parser gives up on some malformed declarations
        text = re.sub(r"<[^>]*>", " ", markup)
    return " ".join(_CONTROLS.sub("", text).split())
