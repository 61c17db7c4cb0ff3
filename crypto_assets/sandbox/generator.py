"""A seeded, plausible market: regimes, correlated coins, volume, on-chain activity that follows it, headlines.

None of it is real, and the response header says so. The same seed gives the same market for every window.
"""

from __future__ import annotations

import zlib
from datetime import date, datetime, timedelta, timezone
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.catalog import Coin, all_coins, by_symbol
from crypto_assets.sandbox.futures import Futures, GeneratedFutures
from crypto_assets.sandbox.macro import LEVELS as LEVELS_OF_MACRO
from crypto_assets.sandbox.macro import Stood, generated
from crypto_assets.sandbox.market import HOUR_S, Bars, Item

FIRST = datetime(2017, 1, 1, tzinfo=timezone.utc)
MEMORY_H = 24 * 90  # half-life of the return of prices to their level, which keeps every coin plausible
NEWS_DAYS = 60
COMPLETION = "AssetEODCompletionTime"  # epoch seconds, a metric like the others
FEEDS = ("coindesk", "cointelegraph", "decrypt", "bitcoinmagazine", "theblock")
LEVELS = {"BTC": 60_000.0, "ETH": 2_800.0, "BNB": 550.0, "SOL": 140.0, "XRP": 0.9, "ADA": 0.6, "DOGE": 0.15}
SUPPLIES = {"BTC": 19.7e6, "ETH": 120e6, "BNB": 150e6, "SOL": 460e6, "XRP": 55e9, "ADA": 35e9, "DOGE": 145e9}
NETWORK_LEVELS = {
    "n-transactions": 4e5, "n-unique-addresses": 6e5, "estimated-transaction-volume-usd": 5e9, "transaction-fees-usd": 6e5,
    "miners-revenue": 4.5e7, "hash-rate": 8e8, "difficulty": 1.2e14, "fee-rates": 4.0,
}  # fmt: skip
POST_DAYS = 45
BOT = "Join our channel for BTC signals"
POSTS = (
    "{name} looks strong today", "I sold all my ${symbol}, this is going down", "Anyone else buying {name}?",
    "{name} fees are terrible", "Great news for {name} holders", "{name} wallet hacked, funds gone",
)  # fmt: skip
CHAINS = frozenset({"all", *(coin.defillama for coin in all_coins() if coin.defillama)})
HEADLINES = (
    ("{name} rallies as institutional inflows reach a record", "Traders point to steady buying of {symbol}."),
    ("{name} plunges after liquidations sweep the market", "Leveraged positions in {name} were closed within hours."),
    ("Regulator opens inquiry into {name} products", "The agency asks issuers how {name} reserves are kept."),
    ("Developers schedule the next {name} network upgrade", "The upgrade lowers fees, testers say."),
    ("Exchange hack drains wallets holding {name}", "Stolen funds are being traced on chain."),
    ("Large retailer accepts {name} payments", "Customers can pay with {symbol} from next month."),
    ("Central bank decision moves {name} and stocks alike", "Inflation figures came in above expectations."),
    ("DeFi lending on {name} grows", "Deposits reached a new high for the quarter."),
    ("Fund files for a {name} ETF", "The filing names a custodian for {symbol}."),
    ("Sanctions debate reaches {name} miners", "Lawmakers from several countries met."),
)


def _number(value: np.float64 | np.int64) -> str:
    return repr(value.item())


class Generator:
    """The generated market as a back end; the methods are those of :class:`~crypto_assets.sandbox.market.Backend`."""

    mark = "sandbox"

    def __init__(self, seed: int = 7, now: datetime | None = None) -> None:
        self._seed = seed
        self._fixed_now = now
        self.futures: Futures = GeneratedFutures(self)

    def now(self) -> datetime:
        """Return the current time of the market: the fixed one where there is one."""
        return self._fixed_now or datetime.now(timezone.utc)

    def _random(self, *name: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, zlib.crc32("/".join(name).encode())])

    def _hours(self) -> int:
        return int((self.now() - FIRST).total_seconds() // HOUR_S) + 2

    @cached_property
    def _capacity(self) -> int:
        """Hours generated at once: a year ahead, so that a long-lived sandbox does not run out."""
        return self._hours() + 24 * 366

    @cached_property
    def _market(self) -> NDArray[np.float64]:
        """Hourly log returns that all coins share; volatility and drift change by regime, every 40 days."""
        random = self._random("market")
        noise = random.standard_normal(self._capacity)
        regimes = self._random("regimes").integers(0, 3, self._capacity // (24 * 40) + 1).repeat(24 * 40)
        regimes = regimes[: self._capacity]
        return np.array([0.003, 0.005, 0.009])[regimes] * noise + np.array([0.0, 1.5e-4, -1.5e-4])[regimes]

    def _close(self, symbol: str) -> NDArray[np.float64]:
        coin = by_symbol()[symbol]
        own = self._random("coin", symbol).standard_normal(self._capacity)
        stable = coin.consensus == "stable"
        returns = 2e-4 * own if stable else 0.9 * self._market + 0.002 * own
        alpha = 1 - 0.5 ** (1 / (24 if stable else MEMORY_H))
        wander = pl.Series(returns).ewm_mean(alpha=alpha, adjust=False).to_numpy() / alpha
        return self._level(coin) * np.exp(np.clip(wander, -2.5, 2.5))

    @lru_cache(maxsize=512)
    def _full(self, symbol: str) -> Bars:
        coin, close = by_symbol()[symbol], self._close(symbol)
        stable = coin.consensus == "stable"
        opened = np.concatenate([close[:1], close[:-1]])
        # One random stream per series. The rows of one array would shift when the capacity grows with the clock.
        spread = [
            np.abs(self._random("spread", side, symbol).standard_normal(self._capacity)) * (1e-4 if stable else 0.002)
            for side in ("high", "low")
        ]
        high, low = np.maximum(opened, close) * (1 + spread[0]), np.minimum(opened, close) * (1 - spread[1])
        turnover = (
            self._supply(coin) * 0.002 * np.exp(0.4 * self._random("volume", symbol).standard_normal(self._capacity))
        )
        volume = turnover * (1 + 60 * np.abs(np.log(close / opened)))
        ts = int(FIRST.timestamp()) + HOUR_S * np.arange(self._capacity)
        return Bars(ts, opened, high, low, close, volume)

    def bars(self, symbol: str) -> Bars | None:
        """Return the hourly bars of a coin up to now; None for an unknown coin."""
        if symbol not in by_symbol():
            return None
        return self._full(symbol).between(0, self.now().timestamp())

    def newest(self, symbol: str) -> tuple[int, float] | None:
        """Return open time and close of a coin's newest bar, without its other series; None for an unknown coin."""
        if symbol not in by_symbol():
            return None
        hour = int((self.now() - FIRST).total_seconds() // HOUR_S)
        return int(FIRST.timestamp()) + HOUR_S * hour, self._close_of_hour(symbol, hour)

    @lru_cache(maxsize=1024)  # the closes of every coin would take a gigabyte with the bars around them
    def _close_of_hour(self, symbol: str, hour: int) -> float:
        return float(self._close(symbol)[hour])

    def _level(self, coin: Coin) -> float:
        if coin.consensus == "stable":
            return 1.0
        return LEVELS.get(coin.symbol) or float(10 ** self._random("level", coin.symbol).uniform(-2, 2))

    def _supply(self, coin: Coin) -> float:
        return SUPPLIES.get(coin.symbol) or float(
            10 ** self._random("cap", coin.symbol).uniform(8.5, 10.5)
        ) / self._level(coin)

    def _days(self) -> list[date]:
        return [FIRST.date() + timedelta(days=n) for n in range((self.now().date() - FIRST.date()).days + 1)]

    def market_cap(self, symbol: str) -> dict[date, float]:
        """Return day -> market cap in USD of a coin at the beginning of the day; empty for an unknown coin."""
        bars = self.bars(symbol)
        if bars is None:
            return {}
        supply = self._supply(by_symbol()[symbol])
        return dict(zip(self._days(), (bars.open[::24] * supply).tolist(), strict=False))

    @lru_cache(maxsize=512)
    def _onchain_series(self, symbol: str, today: date) -> dict[str, NDArray[Any]]:
        """Compute the metrics of closed days, each completed minutes after its end, so that a demo is complete at any hour."""
        coin, bars = by_symbol()[symbol], self._full(symbol)
        count = (today - FIRST.date()).days
        close = bars.close[23::24][:count]
        volume = bars.volume[: count * 24].reshape(count, 24).sum(axis=1)
        noise = [
            np.exp(0.1 * self._random("onchain", str(n), symbol).standard_normal(self._capacity // 24))[:count]
            for n in range(4)
        ]
        supply = self._supply(coin) * (1 + 5e-5 * np.arange(count))
        moved = volume * close * 0.8 * noise[0]
        transactions = np.round(20_000 + moved**0.5 * noise[1])
        realized = pl.Series(close).ewm_mean(half_life=200, adjust=False).to_numpy() * supply
        series = {
            "AdrActCnt": np.round(transactions * 1.7 * noise[2]), "TxCnt": transactions, "TxTfrValAdjUSD": moved,
            "TxTfrValAdjNtv": moved / close, "FeeTotUSD": transactions * 1.3 * noise[3], "SplyCur": supply,
            "CapMrktCurUSD": supply * close, "CapRealUSD": realized, "PriceUSD": close,
            "CapMVRVCur": supply * close / realized, "NVTAdj": supply * close / moved,
            "FlowInExUSD": moved * 0.11 * noise[1], "FlowOutExUSD": moved * 0.11 * noise[2],
        }  # fmt: skip
        if coin.consensus == "pow":
            growth = np.exp(np.arange(count) / 900)
            series |= {"HashRate": 1e7 * growth * noise[3], "DiffMean": 1e12 * growth}
        lag = self._random("completion", symbol).integers(30, 600, self._capacity // 24)[:count]
        return {**series, COMPLETION: int(FIRST.timestamp()) + 86_400 * np.arange(1, count + 1) + lag}

    def onchain(self, asset: str, first: str = "", last: str = "9999") -> list[dict[str, str]] | None:
        """Return the rows of an asset (by its Coin Metrics name) on these days, as the provider writes them.

        None if it is unknown.
        """
        symbol = next((coin.symbol for coin in by_symbol().values() if coin.coinmetrics == asset), None)
        if symbol is None:
            return None
        series = self._onchain_series(symbol, self.now().date())
        closed = int(np.searchsorted(series[COMPLETION], self.now().timestamp(), "right"))
        return [
            {"time": day, **{name: _number(values[n]) for name, values in series.items()}}
            for n, day in enumerate(self._day_names(closed))
            if first <= day <= last
        ]

    @lru_cache(maxsize=4)
    def _day_names(self, count: int) -> list[str]:
        return [str(day) for day in self._days()[:count]]

    def _daily_level(self, name: str, level: float) -> dict[date, float]:
        daily = (
            np.exp(np.clip(self._market.cumsum()[::24], -1, 1))
            if name.startswith("tvl")
            else np.ones(self._capacity // 24)
        )
        noise = np.exp(0.02 * self._random(name).standard_normal(self._capacity // 24 + 1))
        return {day: level * float(daily[n] * noise[n]) for n, day in enumerate(self._days())}

    def tvl(self, chain: str) -> dict[date, float] | None:
        """Return day -> value locked in USD of a chain, or of ``all``; None for an unknown chain."""
        if chain not in CHAINS:
            return None
        return self._daily_level(
            f"tvl/{chain}", 9e10 if chain == "all" else 10 ** self._random("chain", chain).uniform(8, 10)
        )

    def stablecoins(self, chain: str) -> dict[date, float] | None:
        """Return day -> stablecoin supply in USD of a chain, or of ``all``; None for an unknown chain."""
        if chain not in CHAINS:
            return None
        return self._daily_level(
            f"stable/{chain}", 1.6e11 if chain == "all" else 10 ** self._random("peg", chain).uniform(8, 10)
        )

    def fear_greed(self) -> list[tuple[date, int]]:
        """Return the index (5 to 95) by day, in order of time."""
        weekly = np.convolve(self._market, np.ones(168), "full")[: self._capacity][::24]
        return [(day, int(np.clip(50 + 180 * weekly[n], 5, 95))) for n, day in enumerate(self._days())]

    def posts(self) -> list[Item]:
        """Return some twenty posts a day about the largest coins, newest first; a bot repeats one of them every day."""
        now, coins = self.now(), list(by_symbol().values())[:10]
        found = []
        for back in range(POST_DAYS):
            opened = datetime.combine(now.date() - timedelta(days=back), datetime.min.time(), timezone.utc)
            random = self._random("posts", opened.isoformat())
            for n, second in enumerate(sorted(random.integers(0, 86_400, 20))):
                coin, saying = coins[int(len(coins) * random.random() ** 2)], POSTS[int(random.integers(len(POSTS)))]
                text = BOT if n % 5 == 0 else saying.format(name=coin.name, symbol=coin.symbol)
                at = opened + timedelta(seconds=int(second))
                found += (
                    [Item(text, "", f"https://sandbox.example/posts/{opened:%Y-%m-%d}/{n}", at)] if at <= now else []
                )
        return sorted(found, key=lambda item: item.published, reverse=True)

    def macro(self, series: str, today: date) -> list[Stood] | None:
        """Return what stood of a macro series by a day; None for an unknown series."""
        return list(generated(self._seed, series, today)) if series in LEVELS_OF_MACRO else None

    def network(self, name: str) -> dict[date, float] | None:
        """Return day -> value of a chart of Bitcoin, or of a chain's volume or fees; None if unknown."""
        chain = name.partition("/")[2]
        if name not in NETWORK_LEVELS and (chain not in CHAINS or name.partition("/")[0] not in ("dexs", "fees")):
            return None
        return self._daily_level(f"network/{name}", NETWORK_LEVELS.get(name, 1e8))

    def feeds(self) -> dict[str, list[Item]]:
        """Return about 30 articles a day in five feeds, for the newest ``NEWS_DAYS`` days."""
        now, coins = self.now(), list(by_symbol().values())[:40]
        found: dict[str, list[Item]] = {name: [] for name in FEEDS}
        for back in range(NEWS_DAYS):
            day = now.date() - timedelta(days=back)
            random = self._random("news", day.isoformat())
            for n in range(30):
                at = datetime(day.year, day.month, day.day, tzinfo=timezone.utc) + timedelta(
                    seconds=int(random.integers(86_400))
                )
                coin = coins[int(len(coins) * random.random() ** 2)]
                title, text = HEADLINES[int(random.integers(len(HEADLINES)))]
                feed = FEEDS[int(random.integers(len(FEEDS)))]
                if at > now:
                    continue
                words = {"name": coin.name, "symbol": coin.symbol}
                url = f"https://sandbox.example/{day}/{n}"
                item = Item(title.format(**words), f"<p>{text.format(**words)}</p>", url, at)
                found[feed].append(item)
        return {name: sorted(items, key=lambda item: item.published, reverse=True) for name, items in found.items()}
