"""A text as the model gets it: plain, short, and without characters that could imitate the frame of the prompt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

TITLE_CHARS, BODY_CHARS = 300, 2000
EVENT_CHARS = 6000  # of all articles of an event; each has the same share
# C0/C1 controls, surrogates, zero-width and bidirectional marks, variation selectors, the invisible "tag" letters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufe00-\ufe0f\ufeff"
    "\ufff9-\uffff\U000e0000-\U000e0fff]"
)
# Chat templates use angle brackets; one family of models uses [INST].
_FRAMES = str.maketrans({"<": "‹", ">": "›"})
_INST = re.compile(r"\[(/?\s*(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS))\s*\]", re.IGNORECASE)


def plain(text: str) -> str:
    """Remove invisible characters and collapse white space."""
    return " ".join(_UNSEEN.sub("", text).split())


def framed(text: str) -> str:
    """Make a text plain, and unable to open or close a frame of the prompt or of a chat template."""
    return _INST.sub(r"(\1)", plain(text).translate(_FRAMES))


class Passage(Protocol):
    """A part of a text that is quoted by itself: the title and the body of one article, both framed."""

    @property
    def title(self) -> str:
        """The title."""

    @property
    def body(self) -> str:
        """The body; empty where the feed gave none."""

    @property
    def text(self) -> str:
        """Title and body as one text."""


class Text(Protocol):
    """What a model is asked about: one or more passages."""

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The passages, in the order in which they are shown."""

    @property
    def text(self) -> str:
        """All passages as one text."""

    @property
    def content_hash(self) -> str:
        """SHA-256 of the text, in hex."""


@dataclass(frozen=True)
class Article:
    """Title and body as they are analysed, both framed; ``body`` is empty where the feed gave none."""

    title: str
    body: str

    @classmethod
    def of(cls, title: object, summary: object) -> Article:
        """Build an article from cells of ``news_articles``; a missing summary may be None or NaN."""
        body = framed(summary) if isinstance(summary, str) else ""
        return cls(framed(str(title))[:TITLE_CHARS], body[:BODY_CHARS])

    @property
    def text(self) -> str:
        """Title and body as one text."""
        return f"{self.title}. {self.body}" if self.body else self.title

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(f"{self.title}\n{self.body}".encode()).hexdigest()

    @property
    def passages(self) -> tuple[Article, ...]:
        """The article itself."""
        return (self,)


@dataclass(frozen=True)
class Reports:
    """Articles about one happening, the first known first."""

    passages: tuple[Article, ...]

    @classmethod
    def of(cls, articles: Sequence[Article]) -> Reports:
        """Shorten articles so that all of them together have at most :data:`EVENT_CHARS` characters."""
        share = EVENT_CHARS // max(1, len(articles))
        shortened = (Article(one.title[:share], one.body[: max(0, share - len(one.title))]) for one in articles)
        return cls(tuple(shortened))

    @property
    def text(self) -> str:
        """All articles as one text."""
        return "\n".join(article.text for article in self.passages)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the articles' hashes, in hex."""
        parts = "\n".join(article.content_hash for article in self.passages)
        return hashlib.sha256(f"reports\n{parts}".encode()).hexdigest()
