"""The day in words: its largest themes, and in each the events that most outlets reported on that day.

The text gives only counts, figures of tables, quoted titles, and summaries of a model under its name. It makes up no sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any, cast

import pandas as pd

from crypto_assets.narratives.boilerplate import cleaned
from crypto_assets.narratives.digest_entries import Article, entry, texts
from crypto_assets.narratives.event_summaries import summaries
from crypto_assets.narratives.past_reactions import PastReactions
from crypto_assets.narratives.story_words import story_words
from crypto_assets.tables.derived_source import DERIVED, SANDBOX_DERIVED, SANDBOX_PREFIX
from crypto_assets.tables.digests import EVENTS_SHOWN, LARGEST_THEMES

OTHER = "other"
COINS = 5  # of a theme that are named
SAME_WORDS = 0.4  # of a headline's stems that another headline of the digest has, so that it says nothing more
_USUAL = frozenset({"crypto", "btc", "eth", "say"})  # stems that headlines of any happening share
_MARKS, _ESCAPE = re.compile(r"([\\`*_{}\[\]<>#|!])"), r"\\\1"
COLUMNS = ["theme", "date", "available_at", "source", "rank", "digest", "article_ids", "links"]


def theme_digests(
    news_events: pd.DataFrame,
    theme_trends: pd.DataFrame,
    news_articles: pd.DataFrame,
    event_reactions: pd.DataFrame,
    event_narratives: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Build the rows of ``theme_digests``, for each day on which an event has an article.

    Args:
        news_events: rows of the table, of the days that are wanted.
        theme_trends: rows of the table, of the same days.
        news_articles: rows of the table, ``tables.events.EVENT_DAYS`` and ``tables.news.SEEN_LATE_DAYS`` back.
        event_reactions: rows of the table, ``tables.events.SIMILAR_DAYS`` back.
        event_narratives: rows of the table, of the days that are wanted; None: no entry has a summary.

    Returns:
        The rows, in order of day and rank.
    """
    known = _by_id(news_articles, news_events)
    change = {(row.date, row.theme): row.share_change_7d for row in cast(Iterable[Any], theme_trends.itertuples())}
    past = PastReactions(event_reactions)
    said = {} if event_narratives is None else summaries(event_narratives)
    rows = []
    for day, events in news_events.groupby("date", sort=True):
        at = datetime.combine(cast(date, day), datetime.min.time(), timezone.utc) + timedelta(days=1)
        sandbox = events["source"].astype(str).str.startswith(SANDBOX_PREFIX).any()
        made_from = SANDBOX_DERIVED if sandbox else DERIVED
        for rank, (theme, listed) in enumerate(_largest(events, known), start=1):
            shown = _shown(listed, known)
            entries = [entry(event, known, past, at, said.get((event.date, event.event_id))) for event in shown]
            head = _head(theme, listed, len(events), change.get((day, theme)))
            text = " ".join([*head, *texts(entries)])
            quoted = [article for one in entries for article in one.quoted]
            ids, links = [article.article_id for article in quoted], [article.url for article in quoted]
            rows.append((theme, day, at, made_from, rank, text, ids, links))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["available_at"] = pd.to_datetime(frame["available_at"], utc=True).astype("datetime64[us, UTC]")
    return frame


def as_markdown(digests: pd.DataFrame) -> str:
    """Render digests as Markdown, with a link to each article.

    Args:
        digests: rows of ``theme_digests``.

    Returns:
        The text.
    """
    parts = []
    for row in cast(Iterable[Any], digests.sort_values("rank").itertuples()):
        links = [f"[{n}](<{_address(link)}>)" for n, link in enumerate(row.links, start=1) if link]
        parts.append(f"{row.rank}. {escaped(row.digest)} {' '.join(links)}".rstrip())
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """Escape Markdown's characters: titles come from outside."""
    return re.sub(_MARKS, _ESCAPE, text)


def _address(link: str) -> str:
    return link.replace("<", "%3C").replace(">", "%3E")


def _by_id(articles: pd.DataFrame, news_events: pd.DataFrame) -> dict[str, Article]:
    """Return the articles of events by id, with the titles that analyses read."""
    wanted = {name for names in news_events["articles"] for name in names}
    known = cleaned(articles[articles["article_id"].isin(wanted)])
    rows = cast(Iterable[Any], known.itertuples())
    return {
        row.article_id: Article(
            row.article_id, row.available_at, row.feed, row.title, row.url if isinstance(row.url, str) else ""
        )
        for row in rows
    }


def _largest(events: pd.DataFrame, known: Mapping[str, Article]) -> list[tuple[str, list[Any]]]:
    """Return the themes that most outlets reported on beside a first one, with their events; OTHER only where it is alone."""
    by_theme: dict[str, list[Any]] = {}
    for event in events.sort_values("event_id").itertuples():
        by_theme.setdefault(event.theme if isinstance(event.theme, str) else OTHER, []).append(event)
    themes = [name for name in by_theme if name != OTHER] or list(by_theme)

    def size(name: str) -> tuple[int, int, str]:
        listed = by_theme[name]
        return -sum(max(0, _outlets(event, known) - 1) for event in listed), -len(listed), name

    return [(name, by_theme[name]) for name in sorted(themes, key=size)[:LARGEST_THEMES]]


def _outlets(event: Any, known: Mapping[str, Article]) -> int:
    """Return the number of outlets that reported an event on the day."""
    return len({known[name].feed for name in event.articles[-event.new_article_count :] if name in known})


def _shown(listed: list[Any], known: Mapping[str, Article]) -> list[Any]:
    """Return the first events of a theme, without those that another one's headline says already."""
    shown: list[Any] = []
    for event in sorted(listed, key=lambda event: _order(event, known)):
        if not any(_repeats(event, other) for other in shown):
            shown.append(event)
        if len(shown) == EVENTS_SHOWN:
            break
    return shown


def _repeats(event: Any, other: Any) -> bool:
    """Whether an event's headline says what another one's says; other coins or other amounts are another happening."""
    one, two = (story_words(each.headline, None) for each in (event, other))
    coins = (set(event.symbols), set(other.symbols))
    if any(all(pair) and not pair[0] & pair[1] for pair in (coins, (one.numbers, two.numbers))):
        return False
    stems = (one.title - _USUAL, two.title - _USUAL)
    shared = len(stems[0] & stems[1])
    return shared >= 2 and shared >= SAME_WORDS * min(map(len, stems))


def _order(event: Any, known: Mapping[str, Article]) -> tuple[bool, int, bool, int, str]:
    """Order events: questions last, then by the outlets that reported them on the day, new ones first, then by articles."""
    asks, old = event.headline.rstrip().endswith("?"), event.first_seen.date() != event.date
    return asks, -_outlets(event, known), old, -event.new_article_count, event.event_id


def _head(theme: str, listed: list[Any], total: int, change: float | None) -> list[str]:
    """Return the counts of a theme. Without 7 days of stories before, nothing is said of a change."""
    said = [f"{theme.replace('_', ' ').capitalize()}: {len(listed)} of {total} events."]
    if change is not None and pd.notna(change):
        said.append(f"Share of stories {round(change * 100):+d} points against 7 days before.")
    tones = [event.tone for event in listed if pd.notna(event.tone)]
    if tones:
        said.append(f"Tone {sum(tones) / len(tones):+.2f}.")
    named = Counter(symbol for event in listed for symbol in event.symbols)
    if coins := sorted(named, key=lambda symbol: (-named[symbol], symbol))[:COINS]:
        said.append(f"Coins: {', '.join(coins)}.")
    return said
