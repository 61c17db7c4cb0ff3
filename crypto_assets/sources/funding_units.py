"""Funding rates that a venue gives as percents from some day on, noticed by the level of a day.

A provider that changes from fractions to percents multiplies every rate by 100 overnight. The rate that most contracts
have most of the time, 0.0001 in 8 hours, becomes 0.01: a rate that single coins reach for some hours, and never most of
them for a day.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from statistics import median, median_low
from typing import Any

from crypto_assets.sources.fetched import SetAside, SetAsideLog

PERCENT = "rates of the venue's day look like percents"
LEAST_COINS = 3  # with fewer, a squeeze of one coin would look the same
STEADY = frozenset(
    {"BTC", "ETH"}
)  # coins that no squeeze moves so far: fewer coins are enough where these are among them
# Levels: the median over the coins of each coin's median in 8 hours (of two settlements the lower one). The highest that is recorded of three coins and
# more, and of BTC or ETH alone, is 0.0032 (February 2021), and above JUMPED the steepest rise from one day to the next
# is to 4.9 times the level.
BEYOND = 0.005
JUMPED, JUMP = 0.0015, 10
BACK = 3  # after such a day, a level up to so many times the usual one is a fraction again
QUIET = 5e-5  # a lower level counts as this one, so that a rise from nearly zero is no jump

Settled = tuple[str, str, date, float, float | None]  # symbol, venue, day, funding rate, interval in hours


def percent_days(settled: Iterable[Settled], earlier: Iterable[Settled] = ()) -> set[tuple[str, date]]:
    """Find the days of a venue on which its rates can only be percents.

    Args:
        settled: the settlements.
        earlier: settlements of days before that can be trusted, to compare with.

    Returns:
        (venue, day) of each such day: its level is beyond :data:`BEYOND`, or :data:`JUMP` times that of the newest day
        before it that can be trusted; and the days after it until the level is back.
    """
    known = {venue: found[max(found)] for venue, found in _levels(earlier).items()}
    strange = set()
    for venue, levels in _levels(settled).items():
        usual, changed = known.get(venue), False
        for day, level in sorted(levels.items()):
            rise = level / max(usual, QUIET) if usual is not None else 0.0
            changed = level > BEYOND or (level > JUMPED and rise >= JUMP) or (changed and rise > BACK)
            if changed:
                strange.add((venue, day))
            else:
                usual = level
    return strange


def _levels(settled: Iterable[Settled]) -> dict[str, dict[date, float]]:
    """Venue -> day -> level, of the days that have coins enough."""
    rates: dict[tuple[str, date], dict[str, list[float]]] = {}
    for symbol, venue, day, rate, interval in settled:
        rates.setdefault((venue, day), {}).setdefault(symbol, []).append(abs(rate) * 8 / (interval or 8))
    found: dict[str, dict[date, float]] = {}
    for (venue, day), coins in rates.items():
        telling = _telling(coins)
        if telling:
            found.setdefault(venue, {})[day] = median(median_low(coins[symbol]) for symbol in telling)
    return found


def _telling(coins: Mapping[str, list[float]]) -> Collection[str]:
    return coins if len(coins) >= LEAST_COINS else [symbol for symbol in coins if symbol in STEADY]


def without_percents(
    rows: list[tuple[Any, ...]], earlier: Iterable[Settled] = ()
) -> tuple[list[tuple[Any, ...]], list[SetAside]]:
    """Set aside the rows of the days on which a venue's rates can only be percents.

    Args:
        rows: (symbol, venue, ts, date, available_at, source, funding_rate, interval_hours, …).
        earlier: settlements of days before that can be trusted.

    Returns:
        The other rows, and what was set aside.
    """
    strange = percent_days(((row[0], row[1], row[3], row[6], row[7]) for row in rows), earlier)
    log = SetAsideLog()
    for row in rows if strange else ():
        if (row[1], row[3]) in strange:
            log.add(row[0], row[3], PERCENT, row[6])
    return [row for row in rows if (row[1], row[3]) not in strange], list(log.records())
