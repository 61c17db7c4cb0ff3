"""Columns about perpetual futures and implied volatility, from tables with a history.

A venue's number counts for the coin where the venue is the first in DERIVATIVE_SOURCES that has it; each value comes from
one venue. A settlement is in force until the next one is due, and two hours longer. Open interest and the volatility
index are levels: the newest value serves for some hours, so that a missing hour is bridged.
"""

from typing import Any

from crypto_assets.features.feature import (
    DAY_HOURS,
    MONTH_HOURS,
    WEEK_HOURS,
    Coins,
    Feature,
    Need,
    ends,
    share,
)

GRACE_HOURS = 2  # a settlement that is late: the one before is in force so much longer
LONGEST_INTERVAL = 8  # hours between settlements; what an unknown interval counts as
CARRIED_HOURS = LONGEST_INTERVAL + GRACE_HOURS
INTEREST_SERVES = 8  # hours that a statistic of open interest serves, its own included
DVOL_SERVES = 24  # hours that a close of the volatility index serves
PREFERRED = "at the first venue that has it"

RATE = ("funding_rates.funding_rate",)
HOURLY = ("funding_rates.funding_rate_hourly",)
INTERVAL = ("funding_rates.interval_hours",)
BOTH = ("funding_rates[binance].funding_rate_hourly", "funding_rates[bybit].funding_rate_hourly")
INTEREST = ("open_interest.open_interest",)
INTEREST_USD = ("open_interest.open_interest_usd",)
LONG_SHORT = ("open_interest.long_short_ratio",)
TAKER = ("open_interest.taker_buy_sell_ratio",)
BASIS = ("perpetual_bars.basis",)
VOLUME = ("perpetual_bars.volume_usd",)
DVOL = ("implied_volatility.close",)
PRICE = ("prices.price_usd",)


def _funding(name: str, unit: str, formula: str, inputs: tuple[str, ...], window: int = 1, **more: Any) -> Feature:
    return Feature(name, unit, formula, inputs, **{"coins": Coins.PERPETUAL, "memory": window + CARRIED_HOURS, **more})


def _every_hour(inputs: tuple[str, ...], window: int) -> tuple[Need, ...]:
    return (Need(tuple((name, 0) for name in inputs), window),)


_FUNDING = (
    _funding("funding_rate_hourly", "fraction an hour",
             f"Rate of the settlement in force / the hours that it covers, {PREFERRED}.", HOURLY),
    *(
        _funding(f"funding_sum_{span}", "fraction", f"Sum of the rates settled in (ts - {hours} h, ts], {PREFERRED}; a settlement is in force at every hour.",
                 RATE, hours, needs=_every_hour(RATE, hours))
        for span, hours in (("24h", DAY_HOURS), ("7d", WEEK_HOURS))
    ),
    _funding("funding_zscore_30d", "sigma",
             "z-score of funding_rate_hourly over the rates in force at the last 720 hours, ddof 1; null where they do not differ.",
             HOURLY, MONTH_HOURS, needs=share(HOURLY, MONTH_HOURS, own=True)),
    _funding("funding_venue_spread", "fraction an hour", "Highest - lowest of the venues' hourly rates in force.", BOTH,
             coins=Coins.TWO_VENUES, lower=0),
    _funding("hours_to_funding", "hours", "Hours from ts to the next settlement, by the interval of the one in force; null where it is overdue.",
             INTERVAL, lower=0, upper=LONGEST_INTERVAL),
)  # fmt: skip


def _interest(
    name: str, unit: str, formula: str, inputs: tuple[str, ...], needs: tuple[Need, ...] = (), **more: Any
) -> Feature:
    formula += f" A statistic serves for {INTEREST_SERVES} hours."
    coins = more.pop("coins", Coins.PERPETUAL)
    return Feature(name, unit, formula, inputs, needs, memory=_reach(needs, INTEREST_SERVES), coins=coins, **more)


def _reach(needs: tuple[Need, ...], serves: int) -> int:
    """The hour marks that are used where the oldest cell may be a value that still serves."""
    return max((need.span for need in needs), default=1) + serves


_INTEREST = (
    _interest("open_interest_base", "base units", f"Open interest in coins as known at ts, {PREFERRED}.", INTEREST, lower=0),
    *(
        _interest(f"open_interest_base_change_{span}", "fraction", f"open_interest_base / that of {hours} hours before - 1, at one venue.",
                  INTEREST, ends(INTEREST, hours), lower=-1)
        for span, hours in (("24h", DAY_HOURS), ("7d", WEEK_HOURS))
    ),
    _interest("open_interest_zscore_30d", "sigma", "z-score of open_interest_base over the last 720 hours, ddof 1.", INTEREST,
              share(INTEREST, MONTH_HOURS, own=True)),
    _interest("open_interest_to_volume", "ratio", "open_interest_usd of the venue / volume_24h_usd at ts.",
              (*INTEREST_USD, "prices.volume_24h_usd"), coins=Coins.BINANCE_PERPETUAL, lower=0),
    *(
        feature
        for name, what, inputs in (("long_short", "Accounts that are long / short", LONG_SHORT),
                                   ("taker_buy_sell", "Volume bought / sold by takers in the last 5 minutes", TAKER))
        for feature in (
            _interest(f"{name}_ratio", "ratio", f"{what}, as known at ts.", inputs, coins=Coins.BINANCE_PERPETUAL, lower=0),
            _interest(f"{name}_zscore_30d", "sigma", f"z-score of {name}_ratio over the last 720 hours, ddof 1.", inputs,
                      share(inputs, MONTH_HOURS, own=True), coins=Coins.BINANCE_PERPETUAL),
        )
    ),
)  # fmt: skip

_BASIS = (
    Feature("futures_basis_change_24h", "fraction of the index", "Basis at the last close - that of 24 hours before, at one venue.",
            BASIS, ends(BASIS, DAY_HOURS), coins=Coins.PERPETUAL),
)  # fmt: skip

FUTURES_FEATURES = (*_FUNDING, *_INTEREST, *_BASIS)


def _dvol(
    name: str, unit: str, formula: str, inputs: tuple[str, ...] = DVOL, needs: tuple[Need, ...] = (), **more: Any
) -> Feature:
    formula += f" A close serves for {DVOL_SERVES} hours."
    memory = _reach(needs, DVOL_SERVES)
    return Feature(name, unit, formula, inputs, needs, memory=memory, coins=Coins.OPTIONS, **more)


VOLATILITY_FEATURES = (
    _dvol("dvol", "percent a year", "DVOL at the last close: the volatility that options imply for 30 days.", lower=0),
    *(
        _dvol(f"dvol_change_{span}", "points", f"dvol - that of {hours} hours before.", needs=ends(DVOL, hours))
        for span, hours in (("24h", DAY_HOURS), ("7d", WEEK_HOURS))
    ),
    _dvol("dvol_minus_realised_30d", "points", "dvol - 100 x volatility_30d x sqrt(8760), which is a year's.",
          (*DVOL, *PRICE), (Need(((DVOL[0], 0),)), *share(PRICE, MONTH_HOURS, steps=True))),
)  # fmt: skip
