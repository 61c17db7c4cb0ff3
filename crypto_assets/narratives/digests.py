"""The day in words: the numbers of each of its largest themes, and the titles of the articles behind them.

The text gives only the counts of ``theme_trends`` and quoted titles. It makes up no sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

import pandas as pd

LARGEST = 3
TITLE_CHARS = 160
_MARKS, _ESCAPE = re.compile(r"([\\`*_{}\[\]<>#|!])"), r"\\\1"
COLUMNS = ["theme", "date", "available_at", "source", "rank", "digest", "article_ids", "links"]


def theme_digests(trends: pd.DataFrame, articles: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``theme_digests`` for the days of ``trends``; ``articles`` reach ``tables.news.SEEN_LATE_DAYS`` back."""
    known = articles.drop_duplicates("article_id").set_index("article_id")[["title", "feed", "url"]]
    rows = []
    for _, day in trends[trends["story_count"] > 0].groupby("date", sort=True):
        total = int(day["story_count"].sum())
        themes = day[day["theme"] != "other"]
        ranked = (themes if len(themes) else day).sort_values(["story_count", "theme"], ascending=[False, True])
        largest = cast(Iterable[Any], ranked[:LARGEST].itertuples())
        for rank, row in enumerate(largest, start=1):
            ids = [name for name in row.top_articles if name in known.index]
            named = [known.loc[name] for name in ids]
            links = [found["url"] if isinstance(found["url"], str) else "" for found in named]
            quoted = [_quoted(found["title"], found["feed"]) for found in named]
            text = " ".join([*_numbers(row, total), *([f"{'; '.join(quoted)}."] if quoted else [])])
            rows.append((row.theme, row.date, row.available_at, row.source, rank, text, ids, links))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["available_at"] = pd.to_datetime(frame["available_at"], utc=True).astype("datetime64[us, UTC]")
    return frame


def as_markdown(digests: pd.DataFrame) -> str:
    """Render digests as Markdown, with a link to each article.

    Titles and addresses come from outside, so their Markdown characters are escaped.

    Args:
        digests: rows of ``theme_digests``.

    Returns:
        The text.
    """
    parts = []
    for row in cast(Iterable[Any], digests.sort_values("rank").itertuples()):
        links = [f"[{n}](<{_escaped(link)}>)" for n, link in enumerate(row.links, start=1) if link]
        parts.append(f"{row.rank}. {re.sub(_MARKS, _ESCAPE, row.digest)} {' '.join(links)}".rstrip())
    return "\n\n".join(parts)


def _escaped(link: str) -> str:
    return link.replace("<", "%3C").replace(">", "%3E")


def _numbers(row: Any, total: int) -> list[str]:
    said = [f"{row.theme.replace('_', ' ').capitalize()}: {row.story_count} of {total} stories ({row.share:.0%}"]
    change = row.share_change_7d
    said[0] += ")." if pd.isna(change) else f", {change * 100:+.0f} points against 7 days before)."
    if pd.notna(row.sentiment):
        said.append(f"Tone {row.sentiment:+.2f}.")
    if len(row.top_symbols):
        said.append(f"Coins: {', '.join(row.top_symbols)}.")
    return said


def _quoted(title: str, feed: str) -> str:
    short = title if len(title) <= TITLE_CHARS else title[: TITLE_CHARS - 1].rstrip() + "…"
    return f"“{short.replace('“', '‘').replace('”', '’')}” ({feed})"
