"""Find the coins that a text really names: whole words only, never a part of a word.

An unambiguous symbol counts in upper case, an unambiguous name in any case. A longer name wins over a name inside it
(Bitcoin Cash). A symbol that is also an English word (OP, ONE, NEAR, LINK) counts as a cashtag, in parentheses, in a
list with a symbol that counts ("BTC, DOT and LINK"), or in upper case before a word that is used for coins ("ATOM
rallies").

A name that is also a word (Optimism, Compound) counts with a capital before a word that shows it ("Optimism network").
It also counts where a sentence that is not in title case writes it with a capital in mid-sentence, alone ("a bug in
Optimism"). A name of a word and its kind (Secret Network) needs its capital too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from crypto_assets.catalog import Coin

# A name that is also an ordinary word must be followed by one of these.
_KINDS = "protocol|network|token|coin|blockchain|finance|chain|labs|foundation|dao"
_SAYS_SO = (
    rf"(?:['’]s)?(?=\s+(?:{_KINDS}|mainnet|ecosystem|hub"
    r"|(?:co-)?founders?|developers?|validators?|liquid\s+staking|staking|ibc)\b|-(?:based|native)\b)"
)
_COMMON = re.compile(rf"\w+ (?:{_KINDS})")
# Words used for coins, directly after a symbol in upper case that is also a word.
_TRADED = (
    r"(?:['’]s)?(?=\s+(?i:prices?|tokens?|coins?|holders|whales?|bulls|bears|futures|rall(?:y|ies|ied)|surge[sd]?|fell"
    r"|soar(?:s|ed)?|jump(?:s|ed)?|dive[sd]?|drop(?:s|ped)?|falls?|gain(?:s|ed)?|climb(?:s|ed)?|tumble[sd]?|rose|rises?"
    r"|slump(?:s|ed)?|slides?|plunge[sd]?|crash(?:es|ed)?|pump(?:s|ed)?|network|protocol|ecosystem|blockchain"
    r"|foundation|(?:co-)?founders?|developers?|staking)\b)"
)
_TICKER = r"[A-Z0-9]{2,10}"
_LIST = re.compile(
    rf"(?<![\w$.-]){_TICKER}(?:(?:,\s*(?:and\s+|&\s*)?|\s*/\s*|\s+(?:and|&|vs\.?)\s+){_TICKER})+(?![\w-])"
)
_SENTENCE = re.compile(r"[^.!?:|]+")
SHOUTED = 0.3  # below this share of lower-case letters a text is in capitals, which then prove nothing
TITLE_CASE = 0.5  # above this share of words with a capital, first letters prove nothing either
END = ""  # the end of a name, in a tree of letters
# Products whose name contains a coin's name: they are matched first, so that the coin inside is not counted.
_DECOYS = ("wrapped bitcoin", "bitcoin depot", "ethereum name service", "little baby doge")


def find_symbols(text: str, coins: Sequence[Coin]) -> list[str]:
    """Find the coins that a text names.

    Args:
        text: the text.
        coins: the coins of the catalogue.

    Returns:
        Symbols in catalogue order.
    """
    patterns = _patterns(tuple(coins))
    found = {next(filter(None, match.groups())) for match in patterns.exact.finditer(text)}
    for match in patterns.names.finditer(text):
        name = match.group("plain") or match.group("said")
        symbol = patterns.by_name.get(_compared(name))
        if symbol and not (name[0].islower() and _compared(name) in patterns.capital):
            found.add(symbol)
    letters = [char for char in _LIST.sub("", text) if char.isalpha()]
    if letters and sum(map(str.islower, letters)) >= SHOUTED * len(letters):
        found.update(_spelled_as_symbols(text, patterns, found))
        found.update(_spelled_as_names(text, patterns))
    return [coin.symbol for coin in coins if coin.symbol in found]


@dataclass(frozen=True)
class _Patterns:
    exact: re.Pattern[str]  # cashtags, parentheses, unambiguous symbols
    names: re.Pattern[str]  # unambiguous names (plain), and others before a word that shows it (said)
    traded: re.Pattern[str]  # symbols that are words, before a word used for coins
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
    for coin in coins:
        for name in (coin.name, *coin.aliases):
            key = _compared(name)
            by_name.setdefault(key, coin.symbol)
            if coin.name_is_word or (coin.symbol_is_word and key == coin.symbol.lower()):
                ordinary[key] = name[0].upper() + name[1:]
    plain = sorted({*(set(by_name) - set(ordinary)), *_DECOYS}, key=lambda name: (-len(name), name))
    certain, doubtful = _either(plain), _either(sorted(ordinary))
    every = _either(sorted((coin.symbol for coin in coins), key=lambda symbol: -len(symbol)))
    bare = [c.symbol for c in coins if not c.symbol_is_word and len(c.symbol) >= 3 and c.symbol.isalnum()]
    worded = [c.symbol for c in coins if c.symbol_is_word and len(c.symbol) >= 2]
    return _Patterns(
        exact=re.compile(rf"\$({every})(?!\w)|\(\$?({every})\)|(?<![\w$.-])({_either(bare)})(?!\w)"),
        # A lost apostrophe ("Bitcoins price") looks like a plural.
        names=re.compile(
            rf"(?<![\w$])(?:(?P<plain>{certain})(?:(?<=\w{{5}})s)?(?!\w)|(?P<said>{doubtful}){_SAYS_SO})", re.IGNORECASE
        ),
        traded=re.compile(rf"(?<![\w$.-])(?<!\bUS )(?<!\bU\.S\. )({_either(worded)}){_TRADED}"),
        proper=re.compile(
            rf"(?<![\w$])[a-z0-9$%][\w.%-]*,?\s+({_either(sorted(ordinary.values()))})(?:['’]s)?(?![\w-])(?!\s+[A-Z])"
        ),
        by_name=by_name,
        capital=frozenset({*ordinary, *filter(_COMMON.fullmatch, by_name)}),
        symbols=frozenset(coin.symbol for coin in coins if len(coin.symbol) >= 2),
    )


def _either(names: Sequence[str]) -> str:
    """Build an alternative of literal names, where a blank matches any white space; it never matches without names.

    It is written as a tree of first letters with the longest name first, so that hundreds of names cost about as much
    as one.
    """
    tree: dict[str, Any] = {}
    for name in names:
        node = tree
        for letter in (*" ".join(name.split()), END):
            node = node.setdefault(letter, {})
    return _branches(tree) or r"(?!)"


def _branches(node: dict[str, Any]) -> str:
    """Build the pattern of everything below a letter; a name that ends here comes after the longer ones."""
    longer = [
        (r"\s+" if letter == " " else re.escape(letter)) + _branches(below)
        for letter, below in node.items()
        if letter != END
    ]
    if len(longer) + (END in node) <= 1:
        return "".join(longer)
    return f"(?:{'|'.join([*longer, *([''] if END in node else [])])})"
