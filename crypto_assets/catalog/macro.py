"""The macro series that are stored: who gives each, how often, in which unit, and when of the day it is published.

Each series has one provider, also where a second one copies it, so that a key changes which series there are and not
what a series means. Names are FRED's, which other data sets use too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time, timedelta
from enum import Enum

FRED, CBOE, NYFED, TREASURY, ECB, COMBINED = "fred", "cboe", "nyfed", "treasury", "ecb", "combined"
IMPLAUSIBLE = -4.9  # percent a year; no rate of these was ever near it
PERCENT, MILLIONS, BILLIONS = "percent a year", "millions of USD", "billions of USD"


class Frequency(Enum):
    """How often a series has an observation.

    Attributes:
        serves: How long a value counts after its publication, unless the next one comes before.
        late: A first publication later than this after the observation's date is that of the archive, not of the value.
        reach: How far the observations of a publication go back; older ones are not asked for.
    """

    DAILY = (timedelta(days=7), timedelta(days=30), timedelta(days=60))
    WEEKLY = (timedelta(days=14), timedelta(days=30), timedelta(days=200))
    MONTHLY = (timedelta(days=75), timedelta(days=150), timedelta(days=1860))
    QUARTERLY = (timedelta(days=110), timedelta(days=250), timedelta(days=2300))

    def __init__(self, serves: timedelta, late: timedelta, reach: timedelta) -> None:
        self.serves, self.late, self.reach = serves, late, reach

    def period(self, day: date) -> date:
        """Return the first day of the month or quarter, whichever day of it dates an observation; else the day."""
        if self is Frequency.MONTHLY:
            return day.replace(day=1)
        return date(day.year, 3 * ((day.month - 1) // 3) + 1, 1) if self is Frequency.QUARTERLY else day


@dataclass(frozen=True)
class MacroSeries:
    """One series.

    Attributes:
        name: FRED's name.
        provider: Who is asked.
        title: What it measures.
        unit: Unit of its values.
        frequency: How often it has an observation.
        feature: Its part of the names of features; None where no feature uses it.
        published: The hour of publication in New York (in Frankfurt for the ECB); None where it is not documented, so that
            a value counts from the midnight (UTC) after its vintage on.
        relative: Whether its changes are fractions (money, indices) and not differences (rates, counts).
        release: FRED's number of the release whose dates are published ahead; None where there is none.
        parts: Of a combined series, (factor, series) of each part; the first part gives the dates.
    """

    name: str
    provider: str
    title: str
    unit: str
    frequency: Frequency
    feature: str | None
    published: time | None = None
    relative: bool = False
    release: int | None = None
    parts: tuple[tuple[float, str], ...] = ()

    @property
    def lowest(self) -> float | None:
        """The value that an observation must not be below: 0 for counts, amounts and prices; None for what may be negative."""
        return IMPLAUSIBLE if self.unit in (PERCENT, "points") else None if self.unit == "index" else 0.0

    @property
    def reach(self) -> timedelta:
        """How far the observations of a publication go back; a part of a combined series goes as far as that series."""
        of = [one.frequency.reach for one in SERIES if any(name == self.name for _, name in one.parts)]
        return max(self.frequency.reach, *of) if of else self.frequency.reach


_D, _W, _M, _Q = Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY, Frequency.QUARTERLY
_MORNING = time(8, 30)  # bls.gov and bea.gov publish at 08:30
_JOBS, _CPI, _GDP, _MONEY = 50, 10, 53, 21  # fred.stlouisfed.org/releases

SERIES = (
    MacroSeries("VIXCLS", CBOE, "CBOE volatility index VIX, close", "percent a year", _D, "vix"),
    MacroSeries("DGS2", TREASURY, "Treasury par yield, 2 years", PERCENT, _D, "treasury_2y"),
    MacroSeries("DGS10", TREASURY, "Treasury par yield, 10 years", PERCENT, _D, "treasury_10y"),
    MacroSeries("T10Y2Y", COMBINED, "10-year less 2-year Treasury yield", "points", _D, "term_spread",
                parts=((1.0, "DGS10"), (-1.0, "DGS2"))),
    MacroSeries("EFFR", NYFED, "Effective federal funds rate", PERCENT, _D, "effr", time(9, 0)),
    MacroSeries("SOFR", NYFED, "Secured overnight financing rate", PERCENT, _D, "sofr", time(8, 0)),
    MacroSeries("ECBDFR", ECB, "ECB deposit facility rate", PERCENT, _D, None),
    MacroSeries("DEXUSEU", ECB, "ECB reference rate of the euro", "USD per EUR", _D, None, time(16, 0), relative=True),
    MacroSeries("DTWEXBGS", FRED, "Broad dollar index", "index, 2006-01 = 100", _D, "dollar_index", relative=True),
    MacroSeries("T10YIE", FRED, "10-year breakeven inflation", PERCENT, _D, "breakeven_10y"),
    MacroSeries("DFII10", FRED, "10-year real yield", PERCENT, _D, "real_yield_10y"),
    MacroSeries("BAMLH0A0HYM2", FRED, "High-yield option-adjusted spread", "points", _D, "high_yield_spread"),
    MacroSeries("RRPONTSYD", FRED, "Overnight reverse repurchase agreements", BILLIONS, _D, None),
    MacroSeries("WALCL", FRED, "Assets of the Federal Reserve", MILLIONS, _W, None, time(16, 30)),
    MacroSeries("WTREGEN", FRED, "Treasury general account, week's average", MILLIONS, _W, None, time(16, 30)),
    MacroSeries("NETLIQUIDITY", COMBINED, "WALCL - WTREGEN - RRPONTSYD", MILLIONS, _W, "net_liquidity", relative=True,
                parts=((1.0, "WALCL"), (-1.0, "WTREGEN"), (-1000.0, "RRPONTSYD"))),
    MacroSeries("NFCI", FRED, "Chicago Fed national financial conditions", "index", _W, "nfci", _MORNING),
    MacroSeries("M2SL", FRED, "M2 money stock", BILLIONS, _M, "m2", time(13, 0), relative=True, release=_MONEY),
    MacroSeries("CPIAUCSL", FRED, "Consumer prices", "index, 1982-84 = 100", _M, "cpi", _MORNING, relative=True, release=_CPI),
    MacroSeries("CPILFESL", FRED, "Consumer prices without food and energy", "index, 1982-84 = 100", _M, "core_cpi",
                _MORNING, relative=True, release=_CPI),
    MacroSeries("UNRATE", FRED, "Unemployment rate", "percent", _M, "unemployment", _MORNING, release=_JOBS),
    MacroSeries("PAYEMS", FRED, "Nonfarm payrolls", "thousands of people", _M, "payrolls", _MORNING, release=_JOBS),
    MacroSeries("GDPC1", FRED, "Real gross domestic product", "billions of chained USD of the vintage's base year", _Q, "gdp",
                _MORNING, relative=True, release=_GDP),
    MacroSeries("GDP", FRED, "Gross domestic product", BILLIONS, _Q, None, _MORNING, relative=True, release=_GDP),
)  # fmt: skip
BY_NAME = {series.name: series for series in SERIES}


def of_provider(provider: str) -> tuple[MacroSeries, ...]:
    """Return the series of one provider."""
    return tuple(series for series in SERIES if series.provider == provider)
