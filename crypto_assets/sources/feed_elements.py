"""The date elements of a feed's items: each item says one publication and one change, as plain text.

Feeds repeat a date in several elements (``pubDate`` beside ``dcterms:issued``) and put markup into one. feedparser keeps
the last of the elements, and of its text what stands in front of the markup: both may be hours before the truth. What does
not belong here: what a date's text means (``feed_dates.py``).
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from crypto_assets.sources.feed_dates import read_date
from crypto_assets.sources.feed_text import outside

MAX_CHARS = 300  # of a date element's content; what is longer is no date
_PARTS = re.compile(
    r"<!--|<!\[CDATA\[|<(?P<end>/?)(?:[\w.-]+:)?(?P<box>item|entry|source)(?=[\s/>])[^<>]*>"
    r"|<(?P<name>(?:[\w.-]+:)?(?:(?P<issue>pubDate|published|issued)|updated|modified|lastBuildDate)|(?:dc:)?date)"
    rf"(?=[\s>])[^<>]*(?<!/)>(?P<said>.{{0,{MAX_CHARS}}}?)</(?P=name)\s*>",
    re.IGNORECASE | re.DOTALL,
)
_EMPTY = re.compile(r"<(?:[\w.-]+:)?(?:pubDate|published|issued|updated|modified)(?:\s[^<>]*)?/>", re.IGNORECASE)
_UNSEEN = re.compile(r"<!--.*?-->|<!\[CDATA\[|\]\]>", re.DOTALL)
_TAG = re.compile(r"<[^<>]*>|<")


class _Said(NamedTuple):
    """The content of one date element: where it stands, and its text without comments, CDATA marks and tags."""

    begin: int
    end: int
    text: str
    marked: bool  # whether it had tags


def one_date_each(text: str) -> str:
    """The feed's text, in which the publications of an item are equal to each other, and so are its changes.

    Args:
        text: a feed's XML from its root on.

    Returns:
        The same text. Where an item gives several publications (or changes) that differ, each of these elements holds the
        one whose latest instant is last, or the first that is not understood. Markup in a date element is white space.
        What is about another feed (the ``source`` of an entry) stays as it is.
    """
    text = _EMPTY.sub("", text)
    found, done = [], 0
    for said, same in _elements(text):
        if same != said.text or said.marked:
            found += [text[done : said.begin], html.escape(html.unescape(same), quote=False)]
            done = said.end
    return "".join([*found, text[done:]])


def _elements(text: str) -> Iterator[tuple[_Said, str]]:
    """Each date element of each item in order, and the text that counts for its kind in its item."""
    position, inside, of_source = 0, False, False
    kinds: dict[bool, list[_Said]] = defaultdict(list)
    while (part := outside(text, _PARTS, position)) is not None:
        position = part.end()
        if part["box"] is None:
            if inside and not of_source:
                raw = _UNSEEN.sub("", part["said"])
                said = _Said(*part.span("said"), " ".join(_TAG.sub(" ", raw).split()), "<" in raw)
                kinds[part["issue"] is not None].append(said)
        elif part["box"].lower() == "source":
            of_source = not part["end"] and not part.group().endswith("/>")
        else:
            yield from _settled(kinds)
            inside, of_source = not part["end"], False
    yield from _settled(kinds)


def _settled(kinds: dict[bool, list[_Said]]) -> list[tuple[_Said, str]]:
    found = []
    for elements in kinds.values():
        counts = _counts([said.text for said in elements])
        found += [(said, counts) for said in elements]
    kinds.clear()
    return sorted(found)


def _counts(texts: Sequence[str]) -> str:
    """The text that dates an item which gives all of these: the last instant, or the first that is not understood."""
    given = [text for text in texts if text]
    if len(set(given)) < 2:
        return given[0] if given else ""
    dates = [(read_date(text), text) for text in given]
    unclear = next((text for stated, text in dates if stated is None), None)
    return unclear if unclear is not None else max((stated.latest, text) for stated, text in dates if stated)[1]
