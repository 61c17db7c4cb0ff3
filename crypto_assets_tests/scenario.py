"""A few hand-written days that tell a story, in the layout that the sandbox replays.

2021-03-01 to 2021-03-06, three coins:

- BTC: three hours are missing on the 3rd (05:00 to 07:00); the on-chain day of the 3rd completes only on the 5th.
- ETH: one bar of the 2nd comes twice; on the 4th at 12:00 the price spikes by half and falls back.
- UNI: lists on the 3rd at 14:00.
- Derivatives: settlements of BTC and ETH every 8 hours, of ETH every hour from the 4th at 16:00 on; hourly statistics and
  bars of both; DVOL of BTC.
- The economy: payrolls are published on the 5th and revise January; VIX each weekday. Two charts of Bitcoin's chain each day.
- News: one article about each coin, one about none, one that two feeds carry.

``write(folder)`` makes the recording; ``until`` forgets everything that became known later.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd

START, END = date(2021, 3, 1), date(2021, 3, 6)
COINS = "BTC,ETH,UNI"
GAP = [datetime(2021, 3, 3, hour, tzinfo=timezone.utc) for hour in (5, 6, 7)]
DUPLICATE = datetime(2021, 3, 2, 4, tzinfo=timezone.utc)
SPIKE = datetime(2021, 3, 4, 12, tzinfo=timezone.utc)
LISTING = datetime(2021, 3, 3, 14, tzinfo=timezone.utc)
LATE_DAY, LATE_COMPLETION = date(2021, 3, 3), datetime(2021, 3, 5, 10, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_LEVEL = {"BTC": 48_000.0, "ETH": 1_500.0, "UNI": 28.0}


def level(symbol: str, ts: datetime) -> float:
    """The price at an instant: a level with two waves, so that every indicator has something to see."""
    hours = (ts - datetime(2021, 3, 1, tzinfo=timezone.utc)) / HOUR
    wave = 1 + 0.03 * math.sin(hours / 7) + 0.01 * math.cos(hours / 2.3 + len(symbol))
    spike = 1.5 if symbol == "ETH" and ts == SPIKE + HOUR else 1.0
    return _LEVEL[symbol] * wave * spike


def bars() -> pd.DataFrame:
    """Hourly bars in the recording's columns; the duplicate is in it, the gap is not."""
    rows = []
    for symbol in _LEVEL:
        ts = datetime(2021, 2, 28, tzinfo=timezone.utc)
        while ts < datetime(2021, 3, 7, tzinfo=timezone.utc):
            known = not (symbol == "BTC" and ts in GAP) and not (symbol == "UNI" and ts < LISTING)
            if known:
                first, last = level(symbol, ts), level(symbol, ts + HOUR)
                row = {
                    "exchange": "binance",
                    "market": "spot",
                    "symbol": f"{symbol}/USDT",
                    "ts": ts,
                    "open": first,
                    "high": max(first, last) * 1.002,
                    "low": min(first, last) * 0.998,
                    "close": last,
                    "volume": 100.0 + ts.hour,
                }
                rows += [row, row] if symbol == "ETH" and ts == DUPLICATE else [row]
            ts += HOUR
    frame = pd.DataFrame(rows)
    frame["ts"] = frame["ts"].astype("datetime64[us, UTC]")
    return frame


def onchain() -> pd.DataFrame:
    """Daily on-chain metrics under Coin Metrics' names. ETH has no realised cap, as in the real recording."""
    rows = []
    for asset, supply in (("btc", 18_640_000.0), ("eth", 114_900_000.0)):
        for n in range(-9, 6):
            day = START + DAY * n
            midnight = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
            late = asset == "btc" and day == LATE_DAY
            completed = LATE_COMPLETION if late else midnight + DAY + 2 * HOUR
            price = _LEVEL[asset.upper()] * (1 + 0.01 * n)
            rows.append(
                {
                    "asset": asset,
                    "date": day,
                    "AdrActCnt": 900_000.0 + 1_000 * n,
                    "TxCnt": 300_000.0 + 500 * n,
                    "TxTfrValAdjUSD": 9e9 + 1e8 * n,
                    "TxTfrValAdjNtv": (9e9 + 1e8 * n) / price,
                    "SplyCur": supply + 900 * n,
                    "CapMrktCurUSD": (supply + 900 * n) * price,
                    "CapRealUSD": 3.6e11 if asset == "btc" else None,
                    "PriceUSD": price,
                    "AssetEODCompletionTime": completed.timestamp(),
                    "origin": "scenario",
                }
            )
    return pd.DataFrame(rows)


ARTICLES = pd.DataFrame(
    [
        ("01-03-2021 08:15", "CryptoNews", "Bitcoin rallies as fund adds to holdings", "https://news.example/a"),
        ("02-03-2021 10:40", "CryptoNews", "Ethereum exchange hacked, funds stolen", "https://news.example/b"),
        ("03-03-2021 15:05", "CoinTelegraph", "Uniswap token UNI lists on a large exchange", "https://news.example/c"),
        ("04-03-2021 12:30", "CoinTelegraph", "Regulator opens inquiry into digital assets", "https://news.example/d"),
        ("05-03-2021 18:00", "CryptoNews", "Bitcoin miners expand in the north", "https://news.example/e"),
        (
            "05-03-2021 18:00",
            "CoinTelegraph",
            "Bitcoin miners expand in the north",
            "https://news.example/e?utm_source=x",
        ),
        ("06-03-2021 09:00", "CryptoNews", "Markets are calm before the weekend", "https://news.example/f"),
    ],
    columns=["date", "source", "title", "url"],
).assign(sentiment="{}", subject="bitcoin", text=lambda frame: frame["title"] + ".")


SETTLED_HOURLY_FROM = datetime(2021, 3, 4, 16, tzinfo=timezone.utc)


def _hours() -> list[datetime]:
    return [datetime(2021, 2, 27, tzinfo=timezone.utc) + HOUR * n for n in range(8 * 24)]


def _settles(symbol: str, ts: datetime) -> bool:
    return ts.hour % 8 == 0 or (symbol == "ETH" and ts > SETTLED_HOURLY_FROM)


def derivatives(until: datetime | None = None) -> dict[str, pd.DataFrame]:
    """Recordings of derivatives by file name below the folder; ``until`` forgets what was settled or closed later."""
    rows: dict[str, list[dict]] = {"funding": [], "interest": [], "bars": [], "dvol": []}
    for n, ts in enumerate(_hours()):
        known, closed = until is None or ts <= until, until is None or ts + HOUR <= until
        for symbol in ("BTC", "ETH"):
            contract, wave = f"{symbol}USDT", math.sin(n / 9 + len(symbol))
            if known and _settles(symbol, ts):
                stamp = ts + timedelta(milliseconds=n % 7)
                rows["funding"].append({"symbol": contract, "funding_time": stamp, "funding_rate": 1e-4 * (1 + wave)})
            if until is None or ts + timedelta(minutes=5) <= until:
                interest = {"sum_open_interest": 30_000.0 + 900 * wave, "sum_open_interest_value": 1e9 + 1e7 * wave}
                ratios = {"count_long_short_ratio": 1.2 + wave / 9, "sum_taker_long_short_vol_ratio": 1 + wave / 7}
                rows["interest"].append({"symbol": contract, "ts": ts, **interest, **ratios})
            if closed:
                index = level(symbol, ts + HOUR)
                close = index * (1 + 1e-4 * wave)
                rows["bars"].append(
                    {"symbol": contract, "ts": ts, "close": close, "index_close": index, "volume": 500.0 + n}
                )
        if closed:
            value = 80 + 5 * math.cos(n / 11)
            rows["dvol"].append(
                {"currency": "BTC", "ts": ts, "open": value, "high": value + 1, "low": value - 1, "close": value}
            )
    names = {
        "funding": "funding/binance_perp_funding_2021.parquet", "interest": "open_interest/binance_perp_oi_1h_2021.parquet",
        "bars": "perpetual_hourly/binance_2021.parquet", "dvol": "dvol/deribit_dvol_2021.parquet",
    }  # fmt: skip
    found = {names[kind]: pd.DataFrame(listed) for kind, listed in rows.items()}
    for frame in found.values():
        for column in {"ts", "funding_time"} & set(frame.columns):
            frame[column] = frame[column].astype("datetime64[us, UTC]")
    return found


def economy(until: datetime | None = None) -> dict[str, pd.DataFrame]:
    """Recordings of the economy and of Bitcoin's chain by file name; ``until`` forgets what was published later.

    Payrolls of February are published on 2021-03-05 at 13:30 UTC, and January is revised then.
    """
    months = [date(2019 + n // 12, n % 12 + 1, 1) for n in range(26)]
    released = {month: (month + DAY * 35).replace(day=5) for month in months}
    jobs = [("PAYEMS", str(m), str(released[m]), 140_000.0 + 90 * n + 50 * (n % 3)) for n, m in enumerate(months)]
    jobs += [
        ("PAYEMS", str(m), str(released[m] + DAY * 28), row[3] + 7)
        for m, row in zip(months[:-1], jobs[:-1], strict=True)
    ]
    jobs[-1] = (*jobs[-1][:2], "2021-03-05", jobs[-1][3])
    first = date(2021, 1, 11)
    weekdays = [day for n in range(55) if (day := first + DAY * n).weekday() < 5]
    vix = [(str(day), 20 + n % 7, 21 + n % 7, 19 + n % 7, 20.5 + n % 7) for n, day in enumerate(weekdays)]
    charts = [(chart, f"{START - DAY * 12 + DAY * n} 00:00", 300_000.0 + 700 * n)
              for chart in ("n-transactions", "hash-rate") for n in range(18)]  # fmt: skip
    if until is not None:
        jobs = [row for row in jobs if datetime.fromisoformat(f"{row[2]}T13:30:00+00:00") <= until]
        vix = [row for row in vix if datetime.fromisoformat(f"{row[0]}T00:00:00+00:00") + DAY <= until]
        charts = [row for row in charts if datetime.fromisoformat(f"{row[1]}:00+00:00") + HOUR * 30 <= until]
    return {
        "macro/fred_vintages_2021.parquet": pd.DataFrame(
            jobs, columns=["series_id", "observation_date", "first_seen_vintage", "value"]
        ),
        "vix/cboe_vix_2021.csv.gz": pd.DataFrame(vix, columns=["date", "open", "high", "low", "close"]),
        "blockchain_charts/btc_2021.parquet": pd.DataFrame(charts, columns=["chart", "date", "value"]),
    }


def _daily(column: str, values: dict[date, float]) -> pd.DataFrame:
    return pd.DataFrame({column: [str(day) for day in values], "value": list(values.values()), "status": "ok"})


def write(folder: Path, until: datetime | None = None) -> Path:
    """Write the recording; with ``until``, only what was known by then."""
    spot, chain = bars(), onchain()
    every_day = [START - DAY * 2 + DAY * n for n in range(9)]
    midnight = {day: datetime(day.year, day.month, day.day, tzinfo=timezone.utc) for day in every_day}
    if until is not None:
        spot = spot[spot["ts"] + HOUR <= until]
        chain = chain[chain["AssetEODCompletionTime"] <= until.timestamp()]
    for path, frame in derivatives(until).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if len(frame):
            frame.to_parquet(folder / path)
    for path, frame in economy(until).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(folder / path, index=False) if path.endswith(".csv.gz") else frame.to_parquet(folder / path)
    for name in ("ohlcv_hourly", "news", "sentiment", "tvl"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    spot.to_parquet(folder / "ohlcv_hourly" / "binance_spot_1h_2020-12_2021-07.parquet")
    chain.to_parquet(folder / "coinmetrics_daily_2020-04_2021-04.parquet")
    greed = pd.DataFrame(
        {
            "timestamp": [int(midnight[day].timestamp()) for day in every_day],
            "date": [str(day) for day in every_day],
            "value": [40 + n for n in range(9)],
            "value_classification": "Neutral",
        }
    )
    greed.to_csv(folder / "sentiment" / "fear_greed_2018-02_2023-12.csv.gz", index=False)
    tvl = _daily("as_of", {day: 4.0e10 + 1e8 * n for n, day in enumerate(every_day)})
    tvl.to_csv(folder / "tvl" / "defillama_total_tvl_2017-09_2023-12.csv.gz", index=False)
    stable = _daily("as_of", {day: 5.0e10 + 1e8 * n for n, day in enumerate(every_day)})
    stable.to_csv(folder / "tvl" / "defillama_stablecoin_supply_2017-11_2023-12.csv.gz", index=False)
    news = ARTICLES
    if until is not None:
        published = pd.to_datetime(news["date"], format="%d-%m-%Y %H:%M", utc=True)
        news = news[published <= until]
    news.to_csv(folder / "news" / "cryptonews_2021-10_2022-04.csv.gz", sep=";", index=False)
    return folder
