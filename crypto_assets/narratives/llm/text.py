"""An article as the model gets it: plain, short, and without characters that could imitate the frame of the prompt."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

TITLE_CHARS, BODY_CHARS = 300, 2000
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
