"""Names over time through the whole platform: sandbox over sockets, Dagster, warehouse, status, training set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dagster import DagsterInstance

from crypto_assets.monitoring.watch.suspected_changes import suspected_changes
from crypto_assets.operate.dataset import Request, build, parse_horizon
from crypto_assets.operate.status import status
from crypto_assets_tests.platform import Platform, open_platform

UTC, HOUR, DAY = timezone.utc, timedelta(hours=1), timedelta(days=1)
START, END = date(2021, 6, 10), date(2021, 6, 22)
FIRST, LAST = datetime(2021, 6, 9, tzinfo=UTC), datetime(2021, 6, 23, tzinfo=UTC)
UNKNOWN = datetime(2021, 6, 13, 4, tzinfo=UTC)  # XRP comes back at a thousand times its level; no row says so
ENDED, RESUMED = (
    datetime(2021, 6, 14, 4, tzinfo=UTC),
    datetime(2021, 6, 18, 4, tzinfo=UTC),
)  # of SUN, as the catalogue has it
COINS = "BTC,ETH,XRP,DOGE,SUN,SRM"
TABLES = ["prices", "ohlc", "universe", "ml_features"]


def bars(name: str, level: float, factor: Callable[[datetime], float | None]) -> pl.DataFrame:
    """Hourly bars of a random walk; ``factor`` gives the unit of an hour, None where nothing traded."""
    count = int((LAST - FIRST) / HOUR)
    walk = level * np.exp(np.cumsum(np.random.default_rng(len(name)).normal(0, 0.004, count)))
    rows = []
    for n in range(count):
        ts = FIRST + HOUR * n
        unit = factor(ts)
        if unit is not None:
            close = float(walk[n]) * unit
            opened = float(walk[max(n - 1, 0)]) * unit
            rows.append((name, ts, opened, max(opened, close), min(opened, close), close, 10.0 / unit))
    schema = ["symbol", "ts", "open", "high", "low", "close", "volume"]
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    folder = tmp_path / "recorded"
    (folder / "ohlcv_hourly").mkdir(parents=True)
    (folder / "traps_klines").mkdir()
    jump = UNKNOWN + 97 * HOUR
    pl.concat(
        [
            bars("BTC/USDT", 40_000, lambda ts: 1.0),
            bars("ETH/USDT", 2_500, lambda ts: 1.0),
            bars("XRP/USDT", 1, lambda ts: 1.0 if ts < UNKNOWN else 1000.0 if ts >= jump else None),
            bars("DOGE/USDT", 0.3, lambda ts: 1.0 if ts < UNKNOWN else None),
        ]
    ).write_parquet(folder / "ohlcv_hourly" / "binance_spot_1h.parquet")
    caps = [
        {"asset": asset, "date": FIRST.date() + DAY * (n - 1), "CapMrktCurUSD": cap}
        for asset, cap in (("doge", 3e12), ("btc", 2e12), ("eth", 1e12))
        for n in range(15)
    ]
    pl.DataFrame(caps).write_parquet(folder / "coinmetrics_daily_2021.parquet")
    sun = bars("SUNUSDT", 0.03, lambda ts: 1000.0 if ts < ENDED else 1.0 if ts >= RESUMED else None)
    sun.write_parquet(folder / "traps_klines" / "sun.parquet")
    return folder


@pytest.fixture
def platform(
    instance: DagsterInstance, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    with open_platform(instance, tmp_path / "home", recorded, monkeypatch) as found:
        found.env["CRYPTO_ASSETS_COINS"] = COINS
        yield found


def test_the_platform_follows_names(platform: Platform, tmp_path: Path) -> None:
    report = platform.backfill(START, END, tables=TABLES)
    assert set(report.failures) == {"ohlc"} and "lacks DOGE, the other coins are stored" in report.failures["ohlc"]
    read = lambda table: platform.warehouse.read(table, start=START, end=END)  # noqa: E731

    bars_of_sun = read("ohlc").filter(pl.col("symbol") == "SUN").sort("ts")
    assert bars_of_sun["close"].max() < 0.1, "one unit"  # type: ignore[operator]
    assert set(bars_of_sun.filter(pl.col("ts") < ENDED)["factor"]) == {1000.0}
    assert set(bars_of_sun.filter(pl.col("ts") >= RESUMED)["factor"]) == {1.0}

    rows = {(row["symbol"], row["date"]): row for row in read("universe").iter_rows(named=True)}
    assert rows["SUN", date(2021, 6, 16)]["state"] == "redenominated"
    assert rows["SUN", date(2021, 6, 16)]["factor"] == 1000.0 and rows["SUN", END]["state"] == "listed"
    assert rows["XRP", END]["state"] == rows["DOGE", END]["state"] == "suspected"
    assert rows["XRP", date(2021, 6, 12)]["state"] == "listed"
    assert {rows[coin, END]["state"] for coin in ("BTC", "ETH")} == {"listed"}
    assert rows["BTC", END]["pit_quality"] == "final"

    features = read("ml_features")
    for column in ("return_1h", "return_24h", "return_7d", "log_return_24h"):
        assert features[column].abs().max() < 0.5, column  # type: ignore[operator]
    after = features.filter(pl.col("symbol") == "XRP", pl.col("ts") >= UNKNOWN + 98 * HOUR)
    assert after["price_usd"].min() > 500 and after["sma_20"].drop_nulls().min() > 500  # type: ignore[operator]
    assert after["return_7d"].null_count() == after.height

    document = status(platform.instance, platform.settings, START, END, recorded=True)
    checks = document["assets"]["universe"]["checks"]
    assert "DOGE on 2021-06-13 (silence" in checks["coins_delisted"]["description"]
    assert document["delisted"]["DOGE"]["on"] == "2021-06-13" and "SUN" not in document["delisted"]
    assert not checks["coins_suspected"]["passed"] and "XRP: jump" in checks["coins_suspected"]["description"]
    assert document["assets"]["ohlc"]["checks"]["units"]["passed"]
    assert [one.subject for one in suspected_changes(platform.warehouse, [])] == ["DOGE", "XRP"]

    request = Request(
        datetime(2021, 6, 10, tzinfo=UTC), datetime(2021, 6, 22, tzinfo=UTC), parse_horizon("24h"), 1.0,
        symbols=("SUNUSDT", "XRP", "BTC"), columns=("return_24h",),
    )  # fmt: skip
    build(platform.warehouse, request, tmp_path / "set.parquet")
    labelled = pl.read_parquet(tmp_path / "set.parquet")
    assert set(labelled["symbol"]) == {"SUN", "XRP", "BTC"}
    assert labelled["forward_return_24h"].abs().max() < 0.5  # type: ignore[operator]

    largest = Request(request.start, request.end, request.horizon, 1.0, top=2, columns=("return_24h",))
    build(platform.warehouse, largest, tmp_path / "largest.parquet")
    chosen = pl.read_parquet(tmp_path / "largest.parquet")
    on = lambda day: set(chosen.filter(pl.col("date") == day)["symbol"])  # noqa: E731
    assert on(date(2021, 6, 12)) == {"DOGE", "BTC"}, "a coin that is dead by now was one of the largest"
    assert on(date(2021, 6, 20)) == {"BTC", "ETH"}
