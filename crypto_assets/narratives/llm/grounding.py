"""Keep the part of an answer that the text (an article, or the articles of an event) supports. The rest is listed in ``ungrounded`` and shown nowhere else.

A summary is kept if every number, coin and address in it is in the text. A driver is kept if its quote is in one of the
articles word for word, and its own numbers and coins are. A coin is kept if the text names it. Judgements (theme,
sentiment) are not claims of fact and are not checked.
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
from crypto_assets.narratives.llm.text import Text
from crypto_assets.narratives.tagging import find_symbols

SUMMARY_CHARS = 600
CLAIMS = 12  # the largest number of claims in ``ungrounded``
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|xyz|app|finance|ru|cn)\b", re.I)
_CASHTAG = re.compile(r"\$[A-Za-z][A-Za-z0-9]{1,9}\b")
_ALIKE = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‑": "-", "…": " "})


@dataclass(frozen=True)
class Grounded:
    """The part of an answer that the text supports; ``ungrounded`` lists what was dropped.

    ``quoted`` has, for each driver, the place of the passage that its quote is from.
    """

    drivers: list[str]
    quotes: list[str]
    quoted: list[int]
    affected: list[str]
    summary: str | None
    ungrounded: list[str]


def ground(answer: Answer, article: Text, coins: Sequence[Coin]) -> Grounded:
    """Compare an answer with its text.

    Args:
        answer: the model's answer.
        article: the article, or the articles of an event.
        coins: the coins of the catalogue.

    Returns:
        The part that the text supports.
    """
    text = article.text
    named = find_symbols(text, coins)
    spoken = [_spoken(passage.text) for passage in article.passages]
    # Most answers are supported. So all claims are checked at once first, and one by one only if that fails.
    claims = " | ".join([answer.summary or "", *(driver.driver for driver in answer.drivers)])
    borne = not unborne(claims, text, named, coins)
    drivers, quotes, quoted, dropped = [], [], [], []
    for driver in answer.drivers:
        place = next((n for n, one in enumerate(spoken) if _occurs(driver.quote, one)), None)
        wrong = [] if place is not None else [f"quote {driver.quote[:60]}"]
        wrong += [] if borne else unborne(driver.driver, text, named, coins)
        if wrong or not driver.driver:
            dropped.append(f"driver {driver.driver[:60]}: {', '.join(wrong) or 'empty'}")
        elif place is not None and driver.driver not in drivers:
            drivers.append(driver.driver)
            quotes.append(driver.quote)
            quoted.append(place)
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
    return Grounded(drivers, quotes, quoted, affected, None if wrong else summary, dropped[:CLAIMS])


def unborne(claim: str, text: str, named: Sequence[str], coins: Sequence[Coin]) -> list[str]:
    """Find the numbers, coins and addresses of a claim that the text does not have.

    Args:
        claim: a sentence of the answer.
        text: the text of the article.
        named: the symbols of the coins in the text.
        coins: the coins of the catalogue.

    Returns:
        What is missing, as written.
    """
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
    """Return names and symbols exactly as the catalogue spells them.

    This is stricter than naming a coin in an article.
    """
    by_spelling: dict[str, str] = {}
    for coin in coins:
        for spelling in (coin.name, *(alias for alias in coin.aliases if alias != alias.lower()), coin.symbol):
            if len(spelling) > 1:
                by_spelling.setdefault(spelling, coin.symbol)
    words = "|".join(re.escape(word) for word in sorted(by_spelling, key=lambda word: (-len(word), word)))
    return re.compile(rf"(?<![\w$])(?:{words})(?!\w)"), by_spelling


def _symbol(name: str, coins: Sequence[Coin]) -> str | None:
    """Return the catalogue's symbol for what the model wrote: a symbol, a cashtag or a name."""
    bare = name.strip().lstrip("$").upper()
    if any(coin.symbol == bare for coin in coins):
        return bare
    found = find_symbols(name, coins)
    return found[0] if len(found) == 1 else None


def _spoken(text: str) -> str:
    alike = unicodedata.normalize("NFKC", text.translate(_ALIKE)).casefold()
    return " ".join(re.sub(r"[^\w$%€£.,'-]+", " ", alike).split())


def _occurs(quote: str, spoken: str) -> bool:
    """Whether the text has the words of the quote in order; case, quotation marks and white space do not count."""
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
