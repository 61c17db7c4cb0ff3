"""Boilerplate: find the parts of an article that are no news (advertisements, calls to subscribe, author lines, tickers).

Two rules find them. The first needs no history: patterns that mark a sentence as boilerplate in any feed (``_SENTENCE``
and ``_PHRASES``). The second learns from the feed itself: a sentence, or a run of at least ``RUN`` words, that recurs
under different titles of the same feed. Numbers count as equal, so that a ticker or an offer with a changed price is
still the same text. Of a title only a last part that recurs ("... - The Outlet") is stripped.

The result is point-in-time. What is stripped from an article depends only on articles of its feed that were available
by then and were published on the same day or one of the ``WINDOW_DAYS`` days before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from typing import Any

import pandas as pd

WINDOW_DAYS = 7  # a text that recurs is remembered for this long
LEAST = 3  # titles, the article's own included, under which a text must have stood
RUN = 8  # words; a shorter text must be a whole sentence
SHORTEST = 3  # words of a sentence that can be learned
SHARE_OF_RUN = 0.05  # of the feed's titles in the window that a run of words must have
SHARE_OF_ENDING = 0.2  # the same for the last part of a title
SAME_RUN = 0.8  # words beside a run belong to it if they recur at least this often, measured on its most frequent words
ENDING_WORDS = 5
ADDRESSED_WORDS = 40  # a longer "sentence" lacks its full stops, and may hold news beside the words of a pattern
TEXT_CHARS = 2_000  # the work on one article is bounded by this many characters of its summary
KEPT_PARTS = 20  # stripped parts that are kept for an article

_NUMBER = re.compile(r"[+\-−]?[$€£₿]?\d[\d.,:]*\s?(?:%|[kmbt]n?\b)?", re.IGNORECASE)
_BREAK = re.compile(r"(?<=[.!?…»])(?<!\b[A-Z]\.)[\"”')\]]*\s+|\s+[|•·]\s+|[\r\n]+")
_ENDING = re.compile(r"\s+[|–—·»-]\s+(?=[^|–—·»]*$)")
_TIDY = re.compile(r"^[\s,;:|•·–—-]+|[\s,;:|•·–—-]+$")

# A sentence of a summary that has one of these is addressed to the reader or is about the outlet.
_SENTENCE = re.compile(
    r"^\W*(?:(?:please\s+)?(?:subscribe|sign\s+up|register\s+(?:now|today|here|for)|follow\s+(?:us|our|me)|join\s+(?:us|our|the\s+"
    r"(?:conversation|discussion|community))|click\s+(?:here|the)|tap\s+here|download\s+(?:our|the\s+app)|stay\s+(?:tuned|up\s+to\s+date)"
    r"|don['’]t\s+miss\s+(?:out|our|this|a)|check\s+(?:out|our)|read\s+(?:more|also|the\s+full|full|our|on)|continue\s+reading|learn\s+more"
    r"|keep\s+reading|watch\s+(?:now|live|the\s+(?:full\s+)?(?:video|episode|interview))|listen\s+to|see\s+(?:also|more|full)|also\s+read"
    r"|related\s*:|source\s*:|sponsored|advertis(?:e|ement)|ad\s*:|promoted|disclaimer|disclosure|editor['’]s\s+note|tags?\s*:"
    r"|photo\s+(?:by|credit|courtesy)|(?:featured\s+)?image\s*(?::|by|from|credit|source|courtesy|via)|copyright|©|all\s+rights\s+reserved"
    r"|get\s+(?:the\s+latest|your\s+daily|our\s+(?:daily|weekly)|started|all\s+the)|claim\s+your|trade\s+now|buy\s+now|start\s+trading"
    r"|last\s+updated|published\s+(?:by|on|at)|updated\s+(?:on|at)|reading\s+time|(?:\d+\s+)?min(?:ute)?s?\s+read|share\s+this)\b"
    r"|©|by\s+(?-i:[A-Z][\w.'’-]*(?:\s+[A-Z][\w.'’-]*){1,3})\W*$)"
    r"|\b(?:use\s+(?:this|our|the|my)\s+(?:\w+\s+)?(?:link|code)|promo\s*code|referral\s+(?:link|code)|sign[\s-]?up\s+bonus|welcome\s+bonus"
    r"|(?:our|free|daily|weekly)\s+newsletter|(?:limited[\s-]time|exclusive)\s+(?:offer|bonus|deal)|subscribe\s+(?:to|now|today|here|for)"
    r"|(?:join|follow)\s+us\b|our\s+(?:telegram|discord|twitter|x|youtube|whatsapp)\s+(?:channel|group|account|server)"
    r"|(?:not|no|nor)\s+(?:\w+\s+){0,3}(?:financial|investment|trading)\s+advice|do\s+your\s+own\s+research"
    r"|for\s+(?:informational|educational)\s+purposes|editorial\s+(?:policy|standards|guidelines|independence|team)"
    r"|(?:reviewed|created|written)\s+by\s+(?:\w+\s+){0,2}experts|highest\s+standards\s+in|affiliate\s+(?:links?|commission)"
    r"|may\s+(?:receive|earn)\s+(?:a\s+)?commission|views\s+(?:and\s+opinions\s+)?expressed|originally\s+published"
    r"|all\s+rights\s+reserved|paid\s+(?:press\s+release|post|content|promotion)|press\s+release\s+(?:distributed|provided)"
    r"|terms\s+and\s+conditions\s+apply|your\s+capital\s+is\s+at\s+risk)\b",
    re.IGNORECASE,
)
# Parts inside a text that are boilerplate wherever they stand.
_PHRASES = re.compile(
    r"\bthe\s+post\s+.{0,400}?\b(?:appeared\s+first|first\s+appeared)\s+on\s+[^.!?\n]{1,60}(?:[.!?]|$)"
    r"|\[(?:\.\.\.|…|&hellip;|\+\d+\s+chars)\]|\((?:read|see)\s+(?:more|also)[^)]{0,80}\)"
    r"|\b(?:read\s+more|continue\s+reading|read\s+the\s+full\s+(?:story|article))\b[^.!?\n]{0,80}(?:→|»|\.{3}|…|$)"
    r"|(?:reasons?\s+to\s+trust\s+)?strict\s+editorial\s+policy\s+that\s+focuses\s+on\s+accuracy,?\s+relevance,?\s+and\s+impartiality"
    r"|(?:created|written)\s+by\s+industry\s+experts\s+and\s+meticulously\s+reviewed|the\s+highest\s+standards\s+in\s+reporting\s+and\s+publishing"
    r"|(?:\b[A-Z]{2,6}\b\s*[:/]?\s*[$€]\s?\d[\d.,]*\s*(?:\(?[+\-−]?\d[\d.,]*\s?%\)?)?[\s|,;]*){3,}",
    re.IGNORECASE | re.DOTALL,
)


@dataclass
class _Seen:
    """How many titles a feed had a text under, by day of publication."""

    titles: dict[date, set[str]] = field(default_factory=dict)

    def add(self, day: date, title: str) -> None:
        self.titles.setdefault(day, set()).add(title)

    def count(self, day: date) -> int:
        """Return the titles of the window that ends with ``day``; a title of two days counts for both."""
        return sum(len(self.titles.get(day - timedelta(days=n), ())) for n in range(WINDOW_DAYS + 1))

    def recurs(self, day: date) -> bool:
        """Return whether at least ``LEAST`` different titles of the window have the text."""
        found: set[str] = set()
        for n in range(WINDOW_DAYS + 1):
            found |= self.titles.get(day - timedelta(days=n), set())
            if len(found) >= LEAST:
                return True
        return False


@dataclass(frozen=True)
class _Read:
    """An article, cut into the texts that can recur."""

    index: Any
    day: date
    title: str
    summary: str
    heading: str  # the title with its numbers masked
    ending: str  # the last part of the title, masked; "" where it has only one
    sentences: list[str]
    masked: list[tuple[str, ...]]  # the words of each sentence, masked

    @property
    def words(self) -> list[str]:
        return [word for sentence in self.masked for word in sentence]


def strip(articles: pd.DataFrame) -> pd.DataFrame:
    """Strip the boilerplate of articles.

    Args:
        articles: a frame with feed, date, available_at, title and summary, from ``WINDOW_DAYS`` before the first day
            of interest on. The order of its rows does not matter.

    Returns:
        A frame with the same index: ``clean_title``, ``clean_summary`` (None where the article has no summary, ""
        where all of it is boilerplate) and ``boilerplate`` (what was stripped, at most ``KEPT_PARTS`` parts).
    """
    found: dict[Any, tuple[str, str | None, list[str]]] = {}
    for _, rows in articles.groupby("feed", sort=True):
        found.update(_strip_feed(rows.sort_values("available_at", kind="stable")))
    values = [found[index] for index in articles.index]
    return pd.DataFrame(
        {name: pd.Series([value[n] for value in values], index=articles.index, dtype=object)
         for n, name in enumerate(("clean_title", "clean_summary", "boilerplate"))}
    )  # fmt: skip


def cleaned(articles: pd.DataFrame) -> pd.DataFrame:
    """Return articles with the title and summary that analyses read, where the rows have them.

    Args:
        articles: rows of ``news_articles``; rows from before boilerplate was stripped have nulls or no such columns.

    Returns:
        The same rows, with ``title`` and ``summary`` replaced by ``clean_title`` and ``clean_summary``.
    """
    if "clean_title" not in articles:
        return articles
    known = articles["clean_title"].notna()
    title = articles["title"].where(~known, articles["clean_title"])
    return articles.assign(title=title, summary=articles["summary"].where(~known, articles["clean_summary"]))


def _strip_feed(rows: pd.DataFrame) -> Iterator[tuple[Any, tuple[str, str | None, list[str]]]]:
    """Strip the articles of one feed, in order of time. Articles of one instant know each other."""
    sentences: dict[Any, _Seen] = {}
    runs: dict[Any, _Seen] = {}
    endings: dict[Any, _Seen] = {}
    titles = _Seen()
    cells = zip(rows.index, rows["available_at"], rows["date"], rows["title"], rows["summary"], strict=True)
    for _, instant in groupby(cells, key=lambda cell: cell[1]):
        read = [_read(index, day, title, summary) for index, _, day, title, summary in instant]
        for article in read:
            titles.add(article.day, article.heading)
            _note(endings, [article.ending] if article.ending else [], article)
            _note(sentences, set(article.masked), article)
            _note(runs, set(_runs(article.words)), article)
        for article in read:
            yield article.index, _stripped(article, titles.count(article.day), sentences, runs, endings)


def _read(index: Any, day: date, title: object, summary: object) -> _Read:
    heading = str(title)
    text = summary[:TEXT_CHARS] if isinstance(summary, str) else ""
    parts = [part for part in _BREAK.split(text) if part.strip()]
    last = _ENDING.split(heading[-200:])[-1] if _ENDING.search(heading[-200:]) else ""
    return _Read(
        index, day, heading, text, " ".join(_masked(heading)),
        " ".join(_masked(last)) if 0 < len(last.split()) <= ENDING_WORDS else "", parts, [_masked(part) for part in parts],
    )  # fmt: skip


def _masked(text: str) -> tuple[str, ...]:
    """Return the words of a text in lower case, with each number as "0"."""
    return tuple(_NUMBER.sub("0 ", text.lower()).split())


def _runs(words: Sequence[str]) -> list[int]:
    """Return a key for each run of ``RUN`` words."""
    return [hash(tuple(words[n : n + RUN])) for n in range(len(words) - RUN + 1)]


def _note(seen: dict[Any, _Seen], keys: Iterable[Any], article: _Read) -> None:
    for key in keys:
        if key not in seen:
            seen[key] = _Seen()
        seen[key].add(article.day, article.heading)


def _stripped(
    article: _Read, titles: int, sentences: dict[Any, _Seen], runs: dict[Any, _Seen], endings: dict[Any, _Seen]
) -> tuple[str, str | None, list[str]]:
    """Return the clean title, the clean summary and what was stripped."""
    parts: list[str] = []
    title = article.title
    seen = endings.get(article.ending)
    if seen and seen.recurs(article.day) and seen.count(article.day) >= SHARE_OF_ENDING * titles:
        cut = list(_ENDING.finditer(title))[-1]
        parts.append(title[cut.end() :])
        title = title[: cut.start()]
    if not article.summary:
        return title, None, parts
    in_runs = _words_in_runs(article, titles, runs)
    kept, place = [], 0
    for sentence, words in zip(article.sentences, article.masked, strict=True):
        recurring = in_runs[place : place + len(words)]
        place += len(words)
        if (len(words) >= SHORTEST and sentences[words].recurs(article.day)) or (recurring and all(recurring)):
            parts.append(sentence)
            continue
        rest = _without_runs(sentence, recurring, parts) if any(recurring) else sentence
        rest = _without_phrases(rest, parts)
        if len(rest.split()) <= ADDRESSED_WORDS and _SENTENCE.search(rest):
            parts.append(rest)
        else:
            kept.append(rest)
    text = _without_phrases(" ".join(filter(None, kept)), parts)  # again: a phrase can reach over several sentences
    return title, _TIDY.sub("", " ".join(text.split())), parts[:KEPT_PARTS]


def _without_phrases(text: str, parts: list[str]) -> str:
    """Return a text without the phrases that are boilerplate anywhere; ``parts`` gains what was stripped."""
    parts += [match.group().strip() for match in _PHRASES.finditer(text)]
    return _PHRASES.sub(" ", text).strip()


def _words_in_runs(article: _Read, titles: int, runs: dict[Any, _Seen]) -> list[bool]:
    """Return, for each masked word of the summary, whether it stands in a run that recurs."""
    words = article.words
    covered = [False] * len(words)
    least = max(LEAST, SHARE_OF_RUN * titles)
    counts = []
    for key in _runs(words):
        seen = runs[key]
        count = seen.count(article.day)
        counts.append(count if count >= least and seen.recurs(article.day) else 0)
    for recurring, group in groupby(enumerate(counts), key=lambda pair: pair[1] > 0):
        if recurring:
            members = list(group)
            # The words that often follow an advertisement ("Bitcoin price") are not part of it.
            most = max(count for _, count in members)
            for n, count in members:
                if count >= SAME_RUN * most:
                    covered[n : n + RUN] = [True] * RUN
    return covered


def _without_runs(sentence: str, recurring: Sequence[bool], parts: list[str]) -> str:
    """Return a sentence without the words in runs that recur; ``parts`` gains what was stripped.

    A masked number can be more or fewer words than the text has, so each original word is masked by itself again. A
    sentence whose words do not match then is kept whole.
    """
    spelled = sentence.split()
    lengths = [len(_masked(word)) for word in spelled]
    if sum(lengths) != len(recurring):
        return sentence
    place, kept = 0, []
    for stripped, group in groupby(_flags(lengths, recurring, place), key=lambda pair: pair[1]):
        text = " ".join(spelled[n] for n, _ in group)
        if stripped:
            parts.append(text)
        else:
            kept.append(text)
    return " ".join(kept)


def _flags(lengths: Sequence[int], recurring: Sequence[bool], place: int) -> Iterator[tuple[int, bool]]:
    for n, length in enumerate(lengths):
        yield n, length > 0 and all(recurring[place : place + length])
        place += length
