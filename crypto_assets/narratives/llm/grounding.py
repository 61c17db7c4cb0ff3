"""What of an answer the article bears out. The rest is named in ``ungrounded`` and shown nowhere else.

A summary stands if each number, coin and address in it is in the article; a driver if its quote is, word for word, and
its own numbers and coins are; a coin if the text names it. Judgements (theme, sentiment) are not claims of fact.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from crypto_assets.catalog import Coin
from crypto_assets.narratives.llm import numbers
from crypto_assets.narratives.llm.answer import Answer
from crypto_assets.narratives.llm.text import Article
from crypto_assets.narratives.news import find_symbols

SUMMARY_CHARS = 600
CLAIMS = 12  # what is listed as ungrounded, at most
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|xyz|app|finance|ru|cn)\b", re.I)
_CASHTAG = re.compile(r"\$[A-Za-z][A-Za-z0-9]{1,9}\b")
_ALIKE = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‑": "-", "…": " "})


@dataclass(frozen=True)
class Grounded:
    """The part of an answer that the text bears out; ``ungrounded`` names what was dropped."""

    drivers: list[str]
    quotes: list[str]
    affected: list[str]
    summary: str | None
    ungrounded: list[str]


def ground(answer: Answer, article: Article, coins: Sequence[Coin]) -> Grounded:
    """Hold an answer against its article."""
    text = article.text
    named = find_symbols(text, coins)
    spoken = _spoken(text)
    # Most answers are borne out: all claims at once first, one by one only where something is not.
    claims = " | ".join([answer.summary or "", *(driver.driver for driver in answer.drivers)])
    borne = not unborne(claims, text, named, coins)
    drivers, quotes, dropped = [], [], []
    for driver in answer.drivers:
        wrong = [] if _occurs(driver.quote, spoken) else [f"quote {driver.quote[:60]}"]
        wrong += [] if borne else unborne(driver.driver, text, named, coins)
        if wrong or not driver.driver:
            dropped.append(f"driver {driver.driver[:60]}: {', '.join(wrong) or 'empty'}")
        elif driver.driver not in drivers:
            drivers.append(driver.driver)
            quotes.append(driver.quote)
    claimed = [_symbol(name, coins) for name in answer.affected_symbols]
    affected = [symbol for symbol in named if symbol in claimed]
    dropped += [
        f"coin {name[:20]}"
        for name, symbol in zip(answer.affected_symbols, claimed, strict=True)
        if symbol not in named and name
    ]
    summary, wrong = answer.summary, []
    if summary is not None:
        wrong = ["too long"] if len(summary) > SUMMARY_CHARS else []
        wrong += [] if borne else unborne(summary, text, named, coins)
    dropped += [f"summary {what}" for what in wrong]
    return Grounded(drivers, quotes, affected, None if wrong else summary, dropped[:CLAIMS])


def unborne(claim: str, text: str, named: Sequence[str], coins: Sequence[Coin]) -> list[str]:
    """Numbers, coins and addresses of a claim that the text lacks; ``named`` are the symbols of the coins in the text."""
    wrong = [f"number {number}" for number in numbers.missing(claim, text)]
    wrong += [f"coin {symbol}" for symbol in find_symbols(claim, coins) if symbol not in named]
    exact = _spellings(tuple(coins))
    wrong += [
        f"coin {match.group()}"
        for match in exact[0].finditer(claim)
        if exact[1][match.group()] not in named and not re.search(rf"\b{re.escape(match.group())}\b", text, re.I)
    ]
    lower = text.lower()
    wrong += [f"coin {tag}" for tag in _CASHTAG.findall(claim) if tag[1:].lower() not in lower]
    wrong += [f"address {found[:40]}" for found in _ADDRESS.findall(claim) if found.lower() not in lower]
    return list(dict.fromkeys(wrong))


@cache
def _spellings(coins: tuple[Coin, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """Names and symbols exactly as the catalogue spells them: stricter than what counts as naming a coin in an article."""
    by_spelling: dict[str, str] = {}
    for coin in coins:
        for spelling in (coin.name, *(alias for alias in coin.aliases if alias != alias.lower()), coin.symbol):
            if len(spelling) > 1:
                by_spelling.setdefault(spelling, coin.symbol)
    words = "|".join(re.escape(word) for word in sorted(by_spelling, key=lambda word: (-len(word), word)))
    return re.compile(rf"(?<![\w$])(?:{words})(?!\w)"), by_spelling


def _symbol(name: str, coins: Sequence[Coin]) -> str | None:
    """The catalogue's symbol for what the model wrote: a symbol, a cashtag or a name."""
    bare = name.strip().lstrip("$").upper()
    if any(coin.symbol == bare for coin in coins):
        return bare
    found = find_symbols(name, coins)
    return found[0] if len(found) == 1 else None


def _spoken(text: str) -> str:
    alike = unicodedata.normalize("NFKC", text.translate(_ALIKE)).casefold()
    return " ".join(re.sub(r"[^\w$%€£.,'-]+", " ", alike).split())


def _occurs(quote: str, spoken: str) -> bool:
    """Are the quote's words in the text, whole and in order? Case, quotation marks and white space do not matter."""
    wanted = _spoken(quote).strip(" .,'-")
    if len(re.findall(r"\w", wanted)) < 3:
        return False
    begin = spoken.find(wanted)
    while begin >= 0:
        around = spoken[begin - 1 : begin] + spoken[begin + len(wanted) : begin + len(wanted) + 1]
        if not re.search(r"\w", around):
            return True
        begin = spoken.find(wanted, begin + 1)
    return False
