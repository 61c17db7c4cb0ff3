"""RSS and Atom: the articles that the configured feeds list now, as plain text.

Formats: RSS 2.0, Atom (RFC 4287). A feed lists only its newest dozens of items. Items that it no longer lists stay in
the table.

An item is dated by its publication, else by its last change. The whole date must be understood (``feed_dates.py``). Of
several dates of one meaning the latest counts (``feed_elements.py``). An item with a date that is not understood gets
the time of the fetch and is counted: it was public when we saw it, but it is not known since when. An item without a
date, dated before 2009 or more than a day ahead, is skipped and counted.

Bytes and charsets do not belong here (see ``feed_text.py``), nor the coins that an article names (see
``narratives/tagging.py``).
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import pandas as pd

from crypto_assets.errors import SourceError
from crypto_assets.lazy import lazy
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Answer, Client
from crypto_assets.sources.feed_dates import Stated, read_date
from crypto_assets.sources.feed_elements import one_date_each
from crypto_assets.sources.feed_text import document
from crypto_assets.sources.fetched import Fetched, SetAsideLog, gather, source_name, utc

if TYPE_CHECKING:
    import feedparser
else:
    feedparser = lazy("feedparser")

NAME = "rss"
TITLE_CHARS, SUMMARY_CHARS = 1000, 2000  # longer texts are cut: they go to the model and into tables
EARLIEST = datetime(2009, 1, 1, tzinfo=timezone.utc)  # crypto news cannot be older than Bitcoin, so the date is wrong
AHEAD = timedelta(days=1)  # how far a feed's clock or time zone may run ahead of ours
NOT_UNDERSTOOD = "date not understood: known from when it was first seen"
_COLUMNS = ["feed", "title", "summary", "url", "published_at", "out_by", "language", "dated", "guid", "source"]
_UNSEEN = {"script", "style", "template", "noscript", "iframe", "svg"}  # their text is not prose
_BREAKS = {"p", "br", "div", "li", "ul", "ol", "tr", "td", "h1", "h2", "h3", "h4", "blockquote", "figure", "figcaption"}
# C0/C1 controls, surrogates, zero-width space, byte-order mark and the marks that reverse text; joiners stay.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u200b\u202a-\u202e\u2066-\u2069\ufeff]")
# In feedparser an empty dc:description or itunes:summary clears the item's own description (CoinDesk sends both). It
# also uses media:title and media:description of an image for the item when they come first. So these are not read.
_NOISE = re.compile(
    r"<((?:dc|itunes|content):(?:title|description|summary|subtitle|encoded))\b[^<>]*(?:/>|>\s*</\1\s*>)"
    r"|<(media:(?:title|description))\b[^<>]*(?:/>|>(?:(?!<media:).)*?</\2\s*>)",
    re.DOTALL,
)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*$")  # RFC 5646
_WHOLE = re.compile(r"https?://[^\s/?#]", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?![0-9]+(?:/|$))", re.IGNORECASE)


async def fetch_articles(client: Client, settings: Settings, now: datetime) -> Fetched:
    """Fetch the items of every feed.

    A row has feed, title, summary, url, published_at (UTC), out_by (UTC), language, dated, guid and source. ``out_by``
    is the instant at which the article was public for certain: its publication, or the last instant that the feed's
    text can mean (without a zone: in the zone furthest west; for a day alone: its end). ``dated`` is False where the
    date is not understood; both times are then ``now``. ``guid`` is the feed's own name of the item, for items without
    a link.

    Args:
        client: makes the requests: one per feed.
        settings: the feeds.
        now: the instant of the fetch.

    Returns:
        One row per item. ``missing`` names feeds that fail or list nothing. ``set_aside`` counts items that are skipped
        or whose date is not understood, by feed, day and reason.

    Raises:
        SourceError: every feed failed.
    """
    before = client.calls
    names = list(settings.news_feeds)
    answers = await gather(_fetch(client, name, settings.news_feeds[name]) for name in names)
    rows: list[tuple[Any, ...]] = []
    aside = SetAsideLog()
    digests, missing = [], {}
    for name, answer in zip(names, answers, strict=True):
        try:
            if isinstance(answer, SourceError):
                raise answer
            digests.append(answer.digest)
            found = read_feed(answer.body, name, now, settings.news_feeds[name], answer.content_type)
        except SourceError as error:
            missing[name] = str(error)
            continue
        source = source_name(NAME, answer)
        rows += [(name, *article, True, guid, source) for article, guid in found.dated]
        rows += [(name, *article, False, guid, source) for article, guid in found.undated]
        for skip in found.counted:
            aside.add(name, skip.day, skip.reason, skip.example, skip.column, skip.items)
    if len(missing) == len(names):
        first = f"; first: {missing[names[0]]}" if names else ""
        raise SourceError(
            f"None of the {len(names)} news feeds gave articles; nothing was written; check NEWS_FEEDS and the "
            f"network{first}"
        )
    return Fetched(_frame(rows), tuple(digests), missing, client.calls - before, set_aside=aside.records())


def no_articles() -> pd.DataFrame:
    """Return the frame of :func:`fetch_articles` without any item."""
    return _frame([])


def _frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    frame = utc(pd.DataFrame(rows, columns=_COLUMNS), "published_at", "out_by")
    return frame.astype({"dated": bool})


async def _fetch(client: Client, name: str, url: str) -> Answer | SourceError:
    """Return the answer, or the failure as a value, so that one feed does not fail the others."""
    try:
        return await client.get_bytes(NAME, url, subject=name, endpoint=name)
    except SourceError as error:
        return error


class Article(NamedTuple):
    """One usable item of a feed, as plain text."""

    title: str
    summary: str | None
    url: str | None
    published_at: datetime
    out_by: datetime
    language: str | None  # as the item or its feed states it, e.g. "en-us"


class Counted(NamedTuple):
    """An item that is set aside or skipped: the day it is about, the reason, and the text that shows it."""

    day: date
    reason: str
    example: str
    column: str = ""
    items: int = 1


@dataclass
class Listed:
    """The items of a feed. Each article has the feed's own name of it ("" where it has none).

    Attributes:
        dated: articles whose date is understood.
        undated: articles whose date is not understood; their times are those of the fetch.
        counted: one entry for each undated article, and for each item that is skipped.
    """

    dated: list[tuple[Article, str]] = field(default_factory=list)
    undated: list[tuple[Article, str]] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)


def read_feed(body: bytes, name: str, now: datetime, address: str = "", content_type: str = "") -> Listed:
    """Read every item of a feed as an article, or count it by reason.

    Args:
        body: the bytes of the answer.
        name: the feed's name in ``NEWS_FEEDS``.
        now: the instant of the fetch; it dates items whose own date is not understood.
        address: the address of the feed; the last resort for relative links.
        content_type: the HTTP header of that name.

    Returns:
        The articles and the counted items.

    Raises:
        SourceError: the body is not a feed, is cut off, lists nothing usable, or declares entities.
    """
    what = f"News feed {name}"
    text, behind = document(body, content_type, what)
    parsed = _parse(text, what)
    if not parsed.get("version"):
        raise SourceError(f"{what} did not answer RSS or Atom; it was not read; correct its address in NEWS_FEEDS")
    found = Listed()
    head = parsed.get("feed", {})
    spoken = _language(_text(head, "language"))
    base = _absolute(_text(head, "link"), address) or address
    atom = str(parsed["version"]).startswith("atom")
    for entry in parsed.get("entries", []):
        title = _title(entry, atom)
        said = _dates(entry)
        stated = read_date(said) if said else None
        skipped = _skipped(title, said, stated, now, entry)
        if skipped is not None:
            found.counted.append(skipped)
            continue
        article, guid = _article(entry, title, stated, now, base, spoken, atom), _guid(entry)
        if stated is None:
            found.undated.append((article, guid))
            found.counted.append(Counted(now.date(), NOT_UNDERSTOOD, str(said), "published_at"))
        else:
            found.dated.append((article, guid))
    if behind:
        reason = "item of a second document behind the feed's end"
        found.counted.append(Counted(now.date(), reason, "", items=behind))
    if not found.dated and not found.undated:
        raise SourceError(
            f"{what} lists no usable item ({sum(skip.items for skip in found.counted)} without a title or a plausible "
            "date); check its address in NEWS_FEEDS"
        )
    return found


def _article(
    entry: Any, title: str, stated: Stated | None, now: datetime, base: str, spoken: str | None, atom: bool
) -> Article:
    summary = _plain(entry, "summary", atom) or plain_text(_content(entry))
    language = _language(_text(dict.get(entry, "title_detail") or {}, "language")) or spoken
    published, out_by = stated or (now, now)
    return Article(title, summary[:SUMMARY_CHARS].rstrip() or None, _url(entry, base), published, out_by, language)


def _guid(entry: Any) -> str:
    return _CONTROLS.sub("", _text(entry, "id")).strip()[:TITLE_CHARS]


def _skipped(title: str, said: str | None, stated: Stated | None, now: datetime, entry: Any) -> Counted | None:
    """Say why an item is not an article; None if it is one.

    The reasons are: nothing to show, no date at all, or a date that news cannot have.
    """
    day = stated.at.date() if stated else now.date()
    if not title:
        return Counted(day, "item without a title", _text(entry, "link"))
    if said is None:
        return Counted(day, "item without a date", title)
    if stated is not None and not EARLIEST <= stated.at <= now + AHEAD:
        reason = "date before 2009" if stated.at < EARLIEST else "date more than a day ahead"
        return Counted(day, reason, said)
    return None


def _parse(text: str, what: str) -> Any:
    body = b'<?xml version="1.0" encoding="utf-8"?>' + one_date_each(_NOISE.sub("", text)).encode("utf-8", "replace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            # feedparser gets a stream, because it would open a string as an address or a file name. Markup is removed
            # below, so its own (slower) cleaning of HTML is not needed.
            return feedparser.parse(io.BytesIO(body), sanitize_html=False, resolve_relative_uris=False)
    except Exception as error:  # its fallback parser can raise anything on bad input; that means "not a feed"
        raise SourceError(
            f"{what} cannot be parsed ({type(error).__name__}); it was not read; correct its address in NEWS_FEEDS"
        ) from error


def _text(entry: Any, name: str) -> str:
    value = dict.get(entry, name)
    return value if isinstance(value, str) else ""


def _content(entry: Any) -> str:
    parts = dict.get(entry, "content") or []
    return next((part["value"] for part in parts if isinstance(part.get("value"), str) and part["value"].strip()), "")


def _title(entry: Any, atom: bool) -> str:
    return _plain(entry, "title", atom)[:TITLE_CHARS].rstrip()


def _plain(entry: Any, name: str, atom: bool) -> str:
    """Return the text of an element.

    In Atom the element's type says whether it is markup. In RSS, text that looks like markup is markup. A title that
    opens a script element and never closes it is plain text about scripts.
    """
    text = _text(entry, name)
    kind = dict.get(dict.get(entry, f"{name}_detail") or {}, "type")
    if atom and kind == "text/plain":
        return _clean(text)
    if name == "title":
        for tag in _UNSEEN:
            close = text.lower().rfind(f"</{tag}") + 1
            text = text[:close] + re.sub(rf"<(?={tag}\b)", "&lt;", text[close:], flags=re.IGNORECASE)
    return plain_text(text)


def _url(entry: Any, base: str) -> str | None:
    """Find the address of an article.

    It is the link, absolute or relative to ``base``, else the id where that is an address.
    """
    link, own = (_CONTROLS.sub("", _text(entry, name)).strip() for name in ("link", "id"))
    # For an item without a link, feedparser returns an RSS guid as the link, even if it is not an address.
    found = None if link == own and not link.startswith("/") else _absolute(link, base)
    return found or _absolute(link, "") or _absolute(own, "")


def _absolute(link: str, base: str) -> str | None:
    """Resolve a link on a page with the address ``base``; None where the result is not an http(s) address.

    Source: RFC 3986, section 5. Feeds also leave out only the scheme ("host/path").
    """
    link = re.sub(r"\s", "%20", _CONTROLS.sub("", link).strip())
    if _WHOLE.match(link):
        return link
    if not link or not base or _SCHEME.match(link):
        return None
    try:
        host = urlsplit(base).netloc.lower().removeprefix("www.")
        first = link.lstrip("/").split("/")[0].lower()
        bare = not link.startswith(("/", "?", "#")) and (first.removeprefix("www.") == host or first.startswith("www."))
        found = urljoin(base, f"//{link}" if bare else link)
    except ValueError:
        return None
    return found if _WHOLE.match(found) else None


def _language(tag: str) -> str | None:
    tag = tag.strip().lower().replace("_", "-")
    return tag if _LANGUAGE.match(tag) else None


def _dates(entry: Any) -> str | None:
    """Return the text that dates the item: its publication, else its last change.

    Returns "" where the item only has another date, and None where it has no date at all. A publication that is not
    understood is not replaced by a change, because a planned article is changed before it is published. The day on
    which the text was begun (dcterms:created) does not count either.
    """
    said = [
        _text(entry, name).strip() for name in ("published", "updated")
    ]  # feedparser's own lookup returns one for the other
    return next(filter(None, said), "" if _text(entry, "created").strip() else None)


class _Text(HTMLParser):
    """Collects the text that a reader would see."""

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
    """Remove tags, scripts, entities and control characters, and collapse white space.

    Args:
        markup: text or HTML.

    Returns:
        The plain text.
    """
    parser = _Text()
    try:
        parser.feed(markup)
        parser.close()
        text = "".join(parser.parts)
    except (AssertionError, ValueError):  # html.parser fails on some malformed declarations
        text = re.sub(r"<[^>]*>", " ", markup)
    return _clean(text)


def _clean(text: str) -> str:
    return " ".join(_CONTROLS.sub("", text).split())
