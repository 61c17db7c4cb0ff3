"""Articles from feed items: an identity that survives tracking links, and the coins a text really names.

Coins are found by whole words only. A symbol that is also an English word (OP, ONE, NEAR, LINK) counts only as a
cashtag or in parentheses; other symbols only in upper case; a longer name wins over one inside it (Bitcoin Cash).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import date
from functools import cache
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pandas as pd

from crypto_assets.catalog import Coin

_TRACKING = re.compile(r"^(utm_.*|fbclid|gclid|ref|ref_src|source|src|mc_[ce]id|cmpid|guccounter)$", re.IGNORECASE)
# What must follow a name that is also an ordinary word.
_SAYS_SO = r"(?=\s+(?:protocol|network|token|coin|blockchain|finance|chain|labs|foundation|dao|mainnet)\b)"
# Products that carry another coin's name: they are swallowed so that the coin inside is not counted.
_DECOYS = ("wrapped bitcoin", "bitcoin depot", "ethereum name service")


def article_id(url: str | None, title: str) -> str:
    """The first 32 hex digits of SHA-256 over the normalised address and title."""
    return hashlib.sha256(f"{_address(url or '')}\n{_words(title)}".encode()).hexdigest()[:32]


def _address(url: str) -> str:
    parts = urlsplit(url.strip())
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if not _TRACKING.match(k)])
    return urlunsplit(("https", parts.netloc.lower().removeprefix("www."), parts.path.rstrip("/"), query, ""))


def _words(title: str) -> str:
    return " ".join(re.findall(r"\w+", title.lower()))


def find_symbols(text: str, coins: Sequence[Coin]) -> list[str]:
    """Symbols of the coins that the text names, in catalogue order."""
    exact, names, by_name, by_symbol = _patterns(tuple(coins))
    found = {by_symbol[next(filter(None, match.groups()))] for match in exact.finditer(text)}
    for match in names.finditer(text):
        symbol = by_name.get(" ".join(match.group().lower().split()))
        if symbol:
            found.add(symbol)
    return [coin.symbol for coin in coins if coin.symbol in found]


@cache
def _patterns(coins: tuple[Coin, ...]) -> tuple[re.Pattern[str], re.Pattern[str], dict[str, str], dict[str, str]]:
    by_name: dict[str, str] = {}
    ordinary = []
    for coin in coins:
        for name in (coin.name, *coin.aliases):
            key = " ".join(name.lower().split())
            by_name.setdefault(key, coin.symbol)
            if coin.name_is_word or (coin.symbol_is_word and key == coin.symbol.lower()):
                ordinary.append(key)
    plain = sorted({*(set(by_name) - set(ordinary)), *_DECOYS}, key=lambda name: (-len(name), name))
    words = [re.escape(name).replace(r"\ ", r"\s+") for name in plain]
    words += [re.escape(name).replace(r"\ ", r"\s+") + _SAYS_SO for name in sorted(ordinary)]
    names = re.compile(r"(?<![\w$])(?:" + "|".join(words) + r")(?!\w)", re.IGNORECASE)
    every = "|".join(re.escape(c.symbol) for c in sorted(coins, key=lambda c: -len(c.symbol)))
    bare = [re.escape(c.symbol) for c in coins if not c.symbol_is_word and len(c.symbol) >= 3 and c.symbol.isalnum()]
    exact = re.compile(
        rf"\$({every})(?!\w)|\(\$?({every})\)" + (rf"|(?<![\w$.-])({'|'.join(bare)})(?!\w)" if bare else "")
    )
    return exact, names, by_name, {coin.symbol: coin.symbol for coin in coins}


def tag_articles(raw: pd.DataFrame, coins: Sequence[Coin], start: date, end: date) -> pd.DataFrame:
    """Rows of ``news_articles`` published in the inclusive UTC days, one an article (contract of the same name).

    ``raw`` has feed, title, summary, url, published_at, source. Of an article that several feeds carry under one
    identity, the first feed by name is kept. ``available_at`` is the publication time: the instant from which the
    article could have been known, the same whenever it is fetched.
    """
    columns = [
        "article_id", "date", "available_at", "source", "published_at", "feed", "title", "summary", "url", "symbols",
    ]  # fmt: skip
    day = raw["published_at"].dt.date
    rows = raw[(day >= start) & (day <= end)].copy()
    if rows.empty:
        return pd.DataFrame(columns=columns).astype(
            {"published_at": raw["published_at"].dtype, "available_at": raw["published_at"].dtype}
        )
    rows["article_id"] = [article_id(url, title) for url, title in zip(rows["url"], rows["title"], strict=True)]
    rows = rows.sort_values(["article_id", "feed", "published_at"]).drop_duplicates("article_id")
    texts = rows["title"].str.cat(rows["summary"].fillna("").astype(str), sep=". ")
    rows["symbols"] = [find_symbols(text, coins) for text in texts]
    rows["date"] = rows["published_at"].dt.date
    rows["available_at"] = rows["published_at"]
    return rows[columns].reset_index(drop=True)
