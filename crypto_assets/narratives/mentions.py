"""Find the coins that a text really names: whole words only, never a part of a word.

An unambiguous symbol counts in upper case, an unambiguous name in any case; some names need a capital (Avalanche). A
longer name wins over a name inside it (Bitcoin Cash). A symbol that is also an English word (OP, ONE, NEAR, LINK) counts
as a cashtag, in parentheses, in a list with a symbol that counts ("BTC, DOT and LINK"), or in upper case before a word
that is used for coins ("ATOM rallies").

A name that is also a word (Optimism, Compound, Stellar) counts with a capital before a word that shows it ("Optimism
network", "Stellar price"). It also counts where a sentence that is not in title case writes it with a capital in
mid-sentence, alone ("a bug in Optimism"), and in a list beside coins that count. A name of a word and its kind (Secret
Network) needs its capital too. A name that is also a firm's (Ripple) counts only before a word of prices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from crypto_assets.catalog import Coin
from crypto_assets.narratives.name_tree import either

# A name that is also an ordinary word must be followed by one of these.
_KINDS = "protocol|network|token|coin|blockchain|finance|chain|labs|foundation|dao"
_SAYS_SO = (
    rf"(?:['’]s)?(?=\s+(?:{_KINDS}|mainnet|ecosystem|hub"
    r"|(?:co-)?founders?|developers?|validators?|liquid\s+staking|staking|ibc)\b|-(?:based|native)\b)"
)
_COMMON = re.compile(rf"\w+ (?:{_KINDS})")
# Words of prices, after a name that is also a word or a firm. A word that an adjective can stand before ("stellar gains",
# "stellar rise") is not among them.
_PRICED = (
    r"(?:['’]s)?(?=\s+(?:prices?|tokens?|coins?|surge[sd]|soar(?:s|ed)|jump(?:s|ed)|rall(?:ies|ied)|plunge[sd]|tumble[sd]"
    r"|slump(?:s|ed)|climb(?:s|ed)|plummet(?:s|ed)|skyrocket(?:s|ed)|bulls|bears|holders|whales)\b)"
)
# Words used for coins, directly after a symbol in upper case that is also a word.
_TRADED = (
    r"(?:['’]s)?(?=\s+(?i:prices?|tokens?|coins?|holders|whales?|bulls|bears|futures|rall(?:y|ies|ied)|surge[sd]?|fell"
    r"|soar(?:s|ed)?|jump(?:s|ed)?|dive[sd]?|drop(?:s|ped)?|falls?|gain(?:s|ed)?|climb(?:s|ed)?|tumble[sd]?|rose|rises?"
    r"|slump(?:s|ed)?|slides?|plunge[sd]?|crash(?:es|ed)?|pump(?:s|ed)?|network|protocol|ecosystem|blockchain"
    r"|foundation|(?:co-)?founders?|developers?|breaks|hits|eyes|reclaims|retests|slips|sinks|spikes|rebounds"
    r"|outperforms|trades\s+(?:at|near|above|below)|hovers|bounces|stalls|staking|airdrop|etfs?|spot\s+etfs?|treasury)\b)"
)
_TICKER = r"[A-Z0-9]{2,10}"
_LIST = re.compile(
    rf"(?<![\w$.-]){_TICKER}(?:(?:,\s*(?:and\s+|&\s*)?|\s*/\s*|\s+(?:and|&|vs\.?)\s+){_TICKER})+(?![\w-])"
)
_SENTENCE = re.compile(r"[^.!?:|]+")
SHOUTED = 0.3  # below this share of lower-case letters a text is in capitals, which then prove nothing
TITLE_CASE = 0.5  # above this share of words with a capital, first letters prove nothing either
# Products whose name contains a coin's name: they are matched first, so that the coin inside is not counted.
_DECOYS = (
    "wrapped bitcoin", "bitcoin depot", "ethereum name service", "little baby doge", "the verge", "colorado avalanche",
)  # fmt: skip
# Firms and schools whose name begins with a symbol ("BTC Digital", "ETH Zurich").
_NOT_FIRM = r"(?!\s+(?:Digital|Inc|Ltd|Limited|Corp|Properties|Z[uü]rich)\b)"
# The office of the United States government of 2025 that was called DOGE.
_OFFICE, _OFFICE_SYMBOL = (
    re.compile(
        r"(?i:government\s+efficiency)|\bDOGE(?:['’]s)?\s+(?i:staff(?:ers?)?|team|employees?|cuts?|agency|budget|layoffs|workers?|officials?"
        r"|savings?|dividends?|department|access|operatives?|subcommittee|caucus|cost[\s-]cutting)\b"
        r"|\b(?i:federal\s+(?:workers|employees|spending|agenc(?:y|ies))|civil\s+servants)\b"
    ),
    "DOGE",
)
_SURELY_DOGE = re.compile(r"(?i:dogecoin|doge\s+(?:price|coin|etf))|\$DOGE\b|\bDOGE/")
# Symbols that people write in lower case in posts, and that are nothing else in lower case.
_POSTED = frozenset(
    [
        "BTC",
        "ETH",
        "XRP",
        "BNB",
        "DOGE",
        "LTC",
        "BCH",
        "XLM",
        "XMR",
        "USDT",
        "USDC",
        "SHIB",
        "TRX",
        "AVAX",
        "MATIC",
        "ALGO",
        "HBAR",
        "VET",
        "XTZ",
        "EGLD",
        "AAVE",
        "SNX",
        "MKR",
        "CRV",
        "FTM",
        "DGB",
        "XVG",
        "ADA",
        "LUNC",
        "KSM",
        "ZEC",
        "CRO",
    ]
)
_BETWEEN = r"(?:,\s*(?:and\s+|&\s*)?|\s+(?:and|&|or|vs\.?)\s+|\s*/\s*)"
_ENDS_LIST = re.compile(r"(?:['’]s)?\s*(?:[,.;:!?()|/–—-]|$|(?:and|&|or|vs|prices?|tokens?|coins?)\b)")
_AFTER, _BEFORE = re.compile(rf"\)?{_BETWEEN}$"), re.compile(rf"{_BETWEEN}\$?")
LEAST_IN_LIST = 2  # coins that count, for a list that shows that a word in it is a coin too


def find_symbols(text: str, coins: Sequence[Coin]) -> list[str]:
    """Find the coins that a text names.

    Args:
        text: the text.
        coins: the coins of the catalogue.

    Returns:
        Symbols in catalogue order.
    """
    patterns = _patterns(tuple(coins))
    found: set[str] = set()
    spans: list[tuple[int, int]] = []
    for match in patterns.exact.finditer(text):
        found.add(next(filter(None, match.groups())))
        spans.append(match.span())
    for match in patterns.names.finditer(text):
        name = match.group("plain") or match.group("said") or match.group("priced")
        symbol = patterns.by_name.get(_compared(name))
        if symbol and not (_compared(name) in patterns.capital and not _as_name(name, text[match.end() :])):
            found.add(symbol)
            spans.append(match.span())
    letters = [char for char in _LIST.sub("", text) if char.isalpha()]
    if letters and sum(map(str.islower, letters)) >= SHOUTED * len(letters):
        found.update(_spelled_as_symbols(text, patterns, found))
        found.update(_spelled_as_names(text, patterns))
        if len(found) >= LEAST_IN_LIST:
            found.update(_listed_names(text, patterns, spans))
    if _OFFICE_SYMBOL in found and _OFFICE.search(text) and not _SURELY_DOGE.search(text):
        found.discard(_OFFICE_SYMBOL)
    return [coin.symbol for coin in coins if coin.symbol in found]


def find_posted_symbols(text: str, coins: Sequence[Coin]) -> list[str]:
    """Find the coins that a post names: as ``find_symbols``, and by common symbols in lower case ("btc to the moon").

    Args:
        text: the text.
        coins: the coins of the catalogue.

    Returns:
        Symbols in catalogue order.
    """
    found = set(find_symbols(text, coins))
    found.update(word.upper() for word in re.findall(r"(?<![\w@./-])[#$]?([a-z]{3,5})(?![\w/.-]\w)(?!\w)", text)
                 if word.upper() in _POSTED)  # fmt: skip
    return [coin.symbol for coin in coins if coin.symbol in found]


def _as_name(name: str, after: str) -> bool:
    """Return whether a name that needs a capital has it, and is no ordinary word ("An Avalanche of Sales")."""
    return not any(word[0].islower() for word in name.split()) and not re.match(r"\s+(?i:of)\b", after)


def _listed_names(text: str, patterns: _Patterns, spans: list[tuple[int, int]]) -> Iterator[str]:
    """Find names that are words, in a list beside a coin that counts ("Bitcoin, Stellar and Solana")."""
    starts, ends = {start for start, _ in spans}, {end for _, end in spans}
    for match in patterns.listed.finditer(text):
        if not _ENDS_LIST.match(text, match.end()):
            continue
        before = _AFTER.search(text[max(0, match.start() - 12) : match.start()])
        after = _BEFORE.match(text, match.end())
        start = match.start() - len(before.group().lstrip(")")) if before else -1
        beside = before is not None and (start in ends or match.start() - len(before.group()) in ends)
        if beside or (after is not None and after.end() in starts):
            yield patterns.by_name[_compared(match.group())]


@dataclass(frozen=True)
class _Patterns:
    exact: re.Pattern[str]  # cashtags, parentheses, unambiguous symbols
    names: re.Pattern[str]  # unambiguous names (plain), and others before a word that shows it (said)
    traded: re.Pattern[str]  # symbols that are words, before a word used for coins
    listed: re.Pattern[str]  # names that are words, with a capital
    proper: re.Pattern[str]  # names that are words, with a capital in mid-sentence and nothing capital beside them
    by_name: dict[str, str]
    capital: frozenset[str]  # names that need a capital: "a secret network" is not a coin
    symbols: frozenset[str]


def _spelled_as_symbols(text: str, patterns: _Patterns, found: set[str]) -> set[str]:
    """Find symbols that are words: before a word used for coins, or in a list with a symbol that counts."""
    named = {match.group(1) for match in patterns.traded.finditer(text)}
    for match in _LIST.finditer(text):
        members = set(re.findall(_TICKER, match.group()))
        if members & (found | named):
            named |= members & patterns.symbols
    return named


def _spelled_as_names(text: str, patterns: _Patterns) -> Iterator[str]:
    for sentence in _SENTENCE.findall(text):
        words = re.findall(r"[^\W\d_][\w'’-]*", sentence)[1:]
        if words and sum(word[0].isupper() for word in words) <= TITLE_CASE * len(words):
            for match in patterns.proper.finditer(sentence):
                yield patterns.by_name[_compared(match.group(1))]


def _compared(name: str) -> str:
    return " ".join(name.lower().split())


@cache
def _patterns(coins: tuple[Coin, ...]) -> _Patterns:
    by_name: dict[str, str] = {}
    ordinary: dict[str, str] = {}  # name in lower case -> as spelled
    priced: set[str] = {_compared(name) for coin in coins for name in coin.company_names}
    for coin in coins:
        for name in (coin.name, *coin.aliases):
            key = _compared(name)
            by_name.setdefault(key, coin.symbol)
            if (coin.name_is_word and name == coin.name) or (coin.symbol_is_word and key == coin.symbol.lower()):
                ordinary[key] = name[0].upper() + name[1:]
                if not coin.symbol_is_word:  # "gas prices", "optimism soars" are no coins
                    priced.add(key)
    firms = {_compared(name) for coin in coins for name in coin.company_names}
    plain = sorted({*(set(by_name) - set(ordinary) - firms), *_DECOYS}, key=lambda name: (-len(name), name))
    certain, doubtful = either(plain), either(sorted(ordinary))
    needing = {_compared(name) for coin in coins for name in coin.capital_names}
    every = either(sorted((coin.symbol for coin in coins), key=lambda symbol: -len(symbol)))
    bare = [c.symbol for c in coins if not c.symbol_is_word and len(c.symbol) >= 3 and c.symbol.isalnum()]
    worded = [c.symbol for c in coins if c.symbol_is_word and len(c.symbol) >= 2]
    return _Patterns(
        exact=re.compile(
            rf"\$({every})(?!\w)|\(\$?({every})\)|(?:(?<![\w$.-])|(?<=-to-)|(?<=[A-Z]-))({either(bare)})(?!\w){_NOT_FIRM}"
        ),
        names=re.compile(
            rf"(?<![\w$])(?:(?P<plain>{certain})(?:(?<=coin)s)?(?!\w)|(?P<said>{doubtful}){_SAYS_SO}"
            rf"|(?P<priced>{either(sorted(priced))}){_PRICED})",
            re.IGNORECASE,
        ),
        listed=re.compile(rf"(?<![\w$])(?:{either(sorted(ordinary.values()))})(?![\w])"),
        traded=re.compile(rf"(?<![\w$.-])(?<!\bUS )(?<!\bU\.S\. )({either(worded)}){_TRADED}"),
        proper=re.compile(
            rf"(?<![\w$])(?!(?:the|an?)\s)[a-z0-9$%][\w.%-]*,?\s+({either(sorted(ordinary.values()))})(?:['’]s)?(?![\w-])(?!\s+[A-Z])"
        ),
        by_name=by_name,
        capital=frozenset({*ordinary, *priced, *needing, *filter(_COMMON.fullmatch, by_name)}),
        symbols=frozenset(coin.symbol for coin in coins if len(coin.symbol) >= 2),
    )
