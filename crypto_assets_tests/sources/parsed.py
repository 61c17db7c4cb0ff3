"""Whole answers as rows, whatever days they are about: what the sources' readers make of a recorded or fuzzed body."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta, timezone

from crypto_assets.dates import DAY
from crypto_assets.sources import binance, kraken, rss
from crypto_assets.sources.coingecko_points import moment, points_of
from crypto_assets.sources.reading import BarTable, Reading

UTC = timezone.utc
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def market_chart(body: object, subject: str) -> list[tuple[datetime, datetime, float, float | None, float | None]]:
    """(hour mark, instant, price, market cap, 24 h volume) of each hour of CoinGecko's answer."""
    reading = Reading(subject, date(2009, 1, 1), date(2099, 12, 31), datetime(2099, 12, 31, tzinfo=UTC))
    points = points_of(body, f"coingecko market_chart of {subject}", reading)
    return [(moment(ts), moment(at), price, cap, volume) for ts, at, price, cap, volume in points]


def klines(body: object, subject: str) -> list[tuple[datetime, float, float, float, float, float | None]]:
    """(open time, open, high, low, close, volume) of each bar of Binance's answer."""
    table = BarTable(Reading(subject, date.min, date.max - DAY, LAST - timedelta(days=2)))
    binance.read_klines(body, subject, table, binance.NAME, FIRST, LAST)
    return [row[:-1] for row in table.in_order()]


def candles(body: object, subject: str, now: datetime | None = None) -> list[kraken.Candle]:
    """Each candle of Kraken's answer that is finished at ``now``, by default at the current time."""
    now = now or datetime.now(UTC)
    table = BarTable(Reading(subject, date.min, now.date(), now))
    what = f"kraken OHLC of {subject}"
    kraken.read_candles(kraken.rows_of_pair(body, what), what, table)
    return [*table.in_order()]


def feed(body: bytes, name: str, now: datetime) -> tuple[list[rss.Article], Counter[str]]:
    """The articles of a feed whose date is understood, and the number of the other items by reason."""
    found = rss.read_feed(body, name, now, content_type="")
    counts: Counter[str] = Counter()
    for skip in found.counted:
        counts[skip.reason] += skip.items
    return [article for article, _ in found.dated], counts
