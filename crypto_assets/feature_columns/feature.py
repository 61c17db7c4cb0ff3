"""What a feature is: its formula in words, what it looks at, how far back, how old a value may be, and which coins have it.

Look-back windows, the data dictionary, the UI's column descriptions and the population check are all read from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from math import ceil, log

import polars as pl

from crypto_assets.catalog import Coin
from crypto_assets.contract import Column

HOUR = timedelta(hours=1)
DAY_HOURS = 24
WEEK_HOURS = 7 * DAY_HOURS
MONTH_HOURS = 30 * DAY_HOURS
DAILY_STALENESS = timedelta(days=2)  # as-of joins of daily tables look back no further than this after available_at
SNAPSHOT_STALENESS = timedelta(hours=2)  # hourly snapshots: one missed tick is bridged, a second one is not
LEAST_SHARE = 0.8  # of a statistical window's hours or days, below which its value is unknown
FILL_HOURS = 24  # a hole between bars no longer than this counts as flat bars for indicators
NEAR_MARK = timedelta(minutes=30)  # a price observed later after its hour mark is no end of a return
NEGLIGIBLE = 2.0**-53  # a weight that no longer changes a double
SEED_TOLERANCE = 1e-9  # what a recursive mean's seed may still count for once a value is shown


class Coins(Enum):
    """Which coins a source can give a column for, in words; :meth:`has` decides from the catalogue."""

    PRICED = "coins with a CoinGecko identifier"
    BARRED = "coins with a pair at a bar source"
    TRADED = "coins with a pair at a venue that gives volume (Binance, Kraken)"
    ONCHAIN = "coins that Coin Metrics covers"
    MINED = "proof-of-work coins that Coin Metrics covers"
    CHAIN = "native coins of a chain that DefiLlama lists"
    EVERY = "every coin"
    NONE = "no coin: no source gives it"

    def has(self, coin: Coin) -> bool:
        rules = {
            Coins.PRICED: bool(coin.coingecko),
            Coins.BARRED: bool(coin.binance or coin.kraken or coin.coingecko),
            Coins.TRADED: bool(coin.binance or coin.kraken),
            Coins.ONCHAIN: bool(coin.coinmetrics),
            Coins.MINED: bool(coin.coinmetrics) and coin.consensus == "pow",
            Coins.CHAIN: bool(coin.defillama),
            Coins.EVERY: True,
            Coins.NONE: False,
        }
        return rules[self]


class Change(Enum):
    """A column against itself ``hours - 1`` hours before, each as it was known at its own decision time."""

    NONE = "none"
    DIFFERENCE = "difference"
    RELATIVE = "relative"


@dataclass(frozen=True)
class Feature:
    """One column of ``ml_features``.

    ``inputs`` are ``table.column``; ``table[entity].column`` where the row is not the coin's own (``all``, ``chain``,
    ``MARKET``). ``hours``: hour marks that a value looks at, its own included. ``least``: share of them that must be
    there. ``warmup``: hours without a value after an input begins; default: what ``hours`` and ``least`` say.
    ``stale``: the value is looked up as-of, and serves this long after it became known. ``where``: the rows in which it
    is expected, as an SQL condition over columns of the table; empty: all.
    """

    name: str
    unit: str
    formula: str
    inputs: tuple[str, ...]
    hours: int = 1
    least: float = 1.0
    stale: timedelta | None = None
    change: Change = Change.NONE
    coins: Coins = Coins.EVERY
    lower: float | None = None
    upper: float | None = None
    reference: str = ""
    warmup: int | None = None
    where: str = ""

    @property
    def tables(self) -> set[str]:
        return {table_of(name) for name in self.inputs}

    @property
    def first_hours(self) -> int:
        """Hours from an input's first value until this column's first value is due."""
        return ceil(self.least * (self.hours - 1)) if self.warmup is None else self.warmup

    @property
    def column(self) -> Column:
        return Column(
            self.name, pl.Float64, self.unit, self.described(), lower=self.lower, upper=self.upper,
            max_staleness=self.stale,
        )  # fmt: skip

    def described(self) -> str:
        """The definition in one cell of the data dictionary."""
        said = [self.formula]
        if self.inputs:
            said.append(f"From {', '.join(self.inputs)}{', as-of' if self.stale else ''}.")
        if self.hours > 1:
            missing = "none may be missing" if self.least == 1.0 else f"null below {self.least:.0%} of them"
            said.append(f"Looks at {self.hours} hour marks, {missing}.")
        if self.warmup:
            said.append(f"Null for the first {self.warmup} hours after a start or a gap.")
        if self.coins is not Coins.EVERY:
            said.append(f"Expected for {self.coins.value}.")
        if self.where:
            said.append(f"Expected where {self.where}.")
        if self.reference:
            said.append(f"{self.reference}.")
        return " ".join(said)


def table_of(name: str) -> str:
    """``'defi_metrics'`` of ``'defi_metrics[all].tvl_usd'``."""
    return name.partition(".")[0].partition("[")[0]


def entity_of(name: str) -> str | None:
    """``'all'`` of ``'defi_metrics[all].tvl_usd'``; None where the row is the coin's own."""
    return name.partition("[")[2].partition("]")[0] or None


def column_of(name: str) -> str:
    return name.rpartition(".")[2]


def warmup_bars(alpha: float, tolerance: float = SEED_TOLERANCE) -> int:
    """Bars after which the seed of a recursive mean with weight ``alpha`` counts for less than ``tolerance``."""
    return ceil(log(tolerance) / log(1 - alpha))


def memory_bars(alpha: float) -> int:
    """Bars an exponential mean looks back here: the power of two beyond which weights are lost in a double."""
    return 1 << (warmup_bars(alpha, NEGLIGIBLE) - 1).bit_length()


def ema_alpha(bars: int) -> float:
    return 2.0 / (bars + 1)


WILDER_BARS = 14
WILDER_ALPHA = 1.0 / WILDER_BARS
