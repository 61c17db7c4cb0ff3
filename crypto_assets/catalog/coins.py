"""The known coins and the names that each source gives them: rows, not code.

The rows are in ``coins.csv``; an identifier is empty where the source does not have the coin. Coins are joined on their
exact symbol, never by substring.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Coin:
    """One row of the catalogue. Identifiers are None where a source does not list the coin."""

    symbol: str  # unique, upper case
    name: str  # "Bitcoin"
    coingecko: str | None  # "bitcoin"
    coinmetrics: str | None  # "btc"
    kraken: str | None  # altname of the USD pair, "XBTUSD"
    binance: str | None  # USDT spot pair, "BTCUSDT"
    binance_perpetual: str | None  # USD-M perpetual contract, "BTCUSDT"; "1000SHIBUSDT" is of a thousand coins
    bybit_perpetual: str | None  # linear perpetual contract, "BTCUSDT"; "SHIB1000USDT" is of a thousand coins
    deribit: str | None  # currency of the volatility index, "BTC"
    defillama: str | None  # chain name as DefiLlama spells it, where the coin is a chain's native coin: "Ethereum"
    consensus: str  # "pow", "pos", "token", "stable" or "other"
    aliases: tuple[str, ...]  # other names in the news: ("ether",)
    symbol_is_word: bool  # the symbol is also an English word (OP, ONE, NEAR): only its cashtag counts in news
    name_is_word: bool  # its name is one (Optimism, Cosmos): it needs a word like "Cosmos network"
    capital_names: tuple[str, ...] = ()  # of name and aliases, in lower case: those that count with a capital only
    company_names: tuple[str, ...] = ()  # those that also name a firm (Ripple): they need a word like "Ripple price"

    def __hash__(self) -> int:  # the symbol is unique; caches of patterns use coins as keys
        return hash(self.symbol)


@cache
def all_coins() -> tuple[Coin, ...]:
    """Return every coin, in catalogue order (by market capitalisation when the row was added)."""
    with (files("crypto_assets.catalog") / "coins.csv").open(encoding="utf-8") as handle:
        return tuple(
            Coin(
                symbol=row["symbol"],
                name=row["name"],
                coingecko=row["coingecko"] or None,
                coinmetrics=row["coinmetrics"] or None,
                kraken=row["kraken"] or None,
                binance=row["binance"] or None,
                binance_perpetual=row["binance_perpetual"] or None,
                bybit_perpetual=row["bybit_perpetual"] or None,
                deribit=row["deribit"] or None,
                defillama=row["defillama"] or None,
                consensus=row["consensus"],
                aliases=tuple(filter(None, row["aliases"].split("|"))),
                symbol_is_word=row["symbol_is_word"] == "1",
                name_is_word=row["name_is_word"] == "1",
                capital_names=tuple(filter(None, (row["capital_names"] or "").split("|"))),
                company_names=tuple(filter(None, (row["company_names"] or "").split("|"))),
            )
            for row in csv.DictReader(handle)
        )


@cache
def by_symbol() -> dict[str, Coin]:
    """Return symbol -> coin for the whole catalogue."""
    return {coin.symbol: coin for coin in all_coins()}


def symbols(coins: Sequence[Coin]) -> list[str]:
    """Return the symbols of coins, in order."""
    return [coin.symbol for coin in coins]
