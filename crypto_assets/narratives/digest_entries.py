"""One event in words, for the digest of a day: what is new, who reports it, how it turned, and what followed such events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from crypto_assets.narratives.event_rows import turns
from crypto_assets.narratives.past_reactions import BTC, HORIZON, PastReactions
from crypto_assets.tables.events import SIMILAR_DAYS

TITLE_CHARS = 160
COINS = 4  # of an event that are named


class Article(NamedTuple):
    """What a digest says of an article."""

    article_id: str
    available_at: datetime
    feed: str
    title: str
    url: str


class Entry(NamedTuple):
    """An event in words.

    Attributes:
        text: What happened.
        followed: What followed such events before; "" where that is unknown.
        quoted: The articles whose titles it has.
    """

    text: str
    followed: str
    quoted: tuple[Article, ...]


def entry(
    event: Any, articles: Mapping[str, Article], past: PastReactions, at: datetime, summary: str | None = None
) -> Entry:
    """Say what happened.

    Args:
        event: a row of ``news_events``.
        articles: by id; those of the event.
        past: reactions of the days before.
        at: the day's end: only reactions that were known by then count.
        summary: what a model says of it, with the model's name; None where none does.

    Returns:
        The entry. An event that turned is quoted with what was said first and what was said then.
    """
    members = [articles[name] for name in event.articles if name in articles]
    turn = _turn(event, members)
    first = members[:1] if turn else [article for article in members if article.title == event.headline][:1]
    said = f"{quoted(first[0].title if first else event.headline)} ({_about(event)})."
    then = [f"Then: {quoted(turn.title)} ({turn.feed})."] if turn else []
    followed = " ".join(_followed(event, past, at))
    return Entry(
        " ".join([said, *then, *([summary] if summary else [])]), followed, (*first, *([turn] if turn else []))
    )


def texts(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the sentences of entries. What followed events of one kind is said once, behind the first of them."""
    said = {""}
    for one in entries:
        yield one.text
        if one.followed not in said:
            said.add(one.followed)
            yield one.followed


def quoted(title: str) -> str:
    """Return a title in quotation marks, cut where it is long. Marks of its own cannot end the quotation."""
    short = title if len(title) <= TITLE_CHARS else title[: TITLE_CHARS - 1].rstrip() + "…"
    return f"“{short.replace('“', '‘').replace('”', '’')}”"


def _turn(event: Any, members: list[Article]) -> Article | None:
    """Return the article that first took back what was said; None where none did."""
    later = (article for article in members[1:] if article.available_at == event.turned_at and turns(article.title))
    return next(later, None)


def _about(event: Any) -> str:
    outlets = list(event.outlets)
    since = "new" if event.first_seen.date() == event.date else f"since {event.first_seen:%Y-%m-%d}"
    by = outlets[0] if len(outlets) == 1 else f"{len(outlets)} outlets, first {outlets[0]}"
    coins = ", ".join(list(event.symbols)[:COINS])
    return "; ".join([since, by, *([coins] if coins else [])])


def _followed(event: Any, past: PastReactions, at: datetime) -> Iterator[str]:
    """Say what followed such events, for the coin that the first article names first."""
    symbol = next(iter(event.first_symbols), None)
    found = past.after(event.first_theme, event.first_tone, symbol, at) if symbol is not None else None
    if found is None:
        return
    beside = "BTC" if symbol == BTC else "coins against BTC"
    hits = "" if found.hits is None else f"; {found.hits:.0%} went the way of the tone"
    yield (
        f"After such events of the {SIMILAR_DAYS} days before, {beside}: {found.median:+.1%} in {HORIZON} hours "
        f"(median of {found.reactions}){hits}."
    )
