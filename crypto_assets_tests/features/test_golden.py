"""Small stories whose values can be worked out by hand."""

import math
import statistics
from datetime import date, timedelta

import polars as pl
import pytest

from crypto_assets.errors import ContractError
from crypto_assets.features.all_features import FEATURE_COLUMNS, GROUPS
from crypto_assets.features.build import build_features
from crypto_assets.features.lookback import LOOKBACK_DAYS
from crypto_assets.tables import schemas
from crypto_assets_tests.features.frames import DAY, DELAY, HOUR, at, bar, features, inputs, price

D = date(2022, 3, 1)


def one(data: dict, hours: float = 0, symbol: str = "BTC", day: date = D) -> dict:
    return features(data, [symbol], day, day).filter(pl.col("ts") == at(day, hours)).row(0, named=True)


def hourly_prices(count: int, skip: tuple[int, ...] = (), factor: float = 2.0) -> list[dict]:
    """Prices ending at D 00:00, each ``factor`` or 1 times the one before in turns; ``skip``: hours before D."""
    return [
        price("BTC", at(D, -n), factor if n % 2 else 1.0) for n in range(count) if n not in skip
    ]  # fmt: skip


def test_columns_are_the_contracts_and_metadata_is_set():
    row = one(inputs(prices=[price("BTC", at(D), 5.0)]))
    assert list(row) == schemas.ML_FEATURES.names
    assert (row["available_at"], row["date"], row["source"]) == (at(D) + DELAY, D, "derived")
    assert row["price_usd"] == 5.0
    calendar = {feature.name for feature in GROUPS["calendar"]}
    assert {c.name for c in FEATURE_COLUMNS if row[c.name] is not None} == {"price_usd", *calendar}


def test_returns_are_simple_and_need_both_hours():
    data = inputs(prices=[price("BTC", at(D, -h), p) for h, p in ((0, 12.0), (1, 10.0), (24, 16.0), (168, 3.0))])
    row = one(data)
    assert row["return_1h"] == pytest.approx(0.2)
    assert row["return_24h"] == pytest.approx(-0.25)
    assert row["return_7d"] == pytest.approx(3.0)
    assert row["volatility_24h"] is None


def test_volatility_is_the_sample_deviation_of_hourly_log_returns():
    row = one(inputs(prices=hourly_prices(25)))  # 24 returns: 12 of +ln 2, 12 of -ln 2
    assert row["volatility_24h"] == pytest.approx(math.log(2) * math.sqrt(24 / 23), rel=1e-12)
    assert row["volatility_7d"] is None


@pytest.mark.parametrize(("skip", "present"), [((), 24), ((3,), 22), ((3, 6), 20), ((3, 4, 5), 20), ((3, 6, 9), 18)])
def test_volatility_needs_four_fifths_of_its_hours(skip: tuple[int, ...], present: int):
    row = one(inputs(prices=hourly_prices(25, skip)))
    assert (row["volatility_24h"] is not None) == (present >= 0.8 * 24)


def test_flat_prices_have_exactly_no_volatility():
    row = one(inputs(prices=hourly_prices(169, factor=1.0)))
    assert (row["volatility_24h"], row["volatility_7d"], row["return_7d"]) == (0.0, 0.0, 0.0)


def test_a_late_price_is_unknown_at_its_own_hour_and_known_after():
    late = price("BTC", at(D, 1), 20.0, late=timedelta(minutes=6))
    data = inputs(prices=[price("BTC", at(D), 10.0), late, price("BTC", at(D, 2), 30.0)])
    assert one(data, 1)["price_usd"] is None
    assert one(data, 1)["return_1h"] is None
    assert one(data, 2)["return_1h"] == pytest.approx(0.5)


def test_a_price_known_at_the_very_decision_counts():
    assert one(inputs(prices=[price("BTC", at(D), 10.0, late=DELAY)]))["price_usd"] == 10.0
    assert one(inputs(prices=[price("BTC", at(D), 10.0, late=DELAY + timedelta(microseconds=1))]))["price_usd"] is None


@pytest.mark.parametrize(("minutes", "counts"), [(6, True), (30, True), (31, False), (59, False)])
def test_a_price_far_from_its_mark_is_a_level_but_no_end_of_a_return(minutes: int, counts: bool):
    """The price of 01:00 came late. At 02:00 it is known: as the week's high always, as an end only near its mark."""
    late = price("BTC", at(D, 1), 40.0, late=timedelta(minutes=minutes))
    data = inputs(prices=[*(price("BTC", at(D, -n), 10.0) for n in range(168)), late, price("BTC", at(D, 2), 30.0)])
    own, after = one(data, 1), one(data, 2)
    assert (own["price_usd"], own["return_1h"], own["distance_from_high_7d"]) == (None, None, None)
    assert after["distance_from_high_7d"] == pytest.approx(30 / 40 - 1)
    assert after["return_1h"] == (pytest.approx(-0.25) if counts else None)
    assert after["log_return_1h"] == (pytest.approx(math.log(0.75)) if counts else None)
    assert after["return_4h"] == pytest.approx(2.0)
    calm = [0.0] * 21
    moves = [*calm, math.log(4), math.log(0.75)] if counts else calm
    assert after["volatility_24h"] == pytest.approx(statistics.stdev([*moves, 0.0] if counts else moves), abs=1e-15)


def test_rows_follow_prices_and_closing_bars():
    data = inputs(prices=[price("BTC", at(D, 5), 1.0)], ohlc=[bar("BTC", at(D, -1), 1.0), bar("BTC", at(D, 23), 1.0)])
    assert features(data, ["BTC", "ETH"], D, D)["ts"].to_list() == [at(D), at(D, 5)]
    assert features(data, ["ETH"], D, D).height == 0
    assert features(data, [], D, D).columns == schemas.ML_FEATURES.names


def test_the_bar_that_opens_at_ts_is_not_in():
    bars = [bar("BTC", at(D, -n), 10.0) for n in range(1, 21)]
    row = one(inputs(ohlc=[*bars, bar("BTC", at(D), 1000.0)]))
    assert row["sma_20"] == 10.0
    assert (row["bb_upper"], row["bb_lower"]) == (10.0, 10.0)


def test_windowed_indicators_by_hand():
    """Closes 1..30; the last 20 are 11..30: mean 20.5, population variance (20² - 1) / 12."""
    row = one(inputs(ohlc=[bar("BTC", at(D, n - 31), float(n), spread=0.0, volume=float(n)) for n in range(1, 31)]))
    sigma = math.sqrt((20**2 - 1) / 12)
    assert row["sma_20"] == pytest.approx(20.5)
    assert row["bb_upper"] == pytest.approx(20.5 + 2 * sigma)
    assert row["bb_lower"] == pytest.approx(20.5 - 2 * sigma)
    assert row["stoch_k"] == row["stoch_d"] == 100.0
    assert row["vwap_24h"] == pytest.approx(sum(n * n for n in range(7, 31)) / sum(range(7, 31)))
    assert row["sma_50"] is None


def test_vwap_and_stochastic_are_unknown_without_volume_or_range():
    for volume in (None, 0.0):
        row = one(inputs(ohlc=[bar("BTC", at(D, -n), 7.0, spread=0.0, volume=volume) for n in range(1, 31)]))
        assert (row["vwap_24h"], row["stoch_k"], row["stoch_d"]) == (None, None, None)


def test_a_short_hole_counts_as_flat_bars():
    """Closes 1, 2, ..., 30, of which the last three but one are missing: 26 stands for 27, 28 and 29."""
    bars = [bar("BTC", at(D, n - 31), float(n), volume=2.0) for n in range(1, 31) if n not in (27, 28, 29)]
    row = one(inputs(ohlc=bars))
    assert row["sma_20"] == pytest.approx((sum(range(11, 27)) + 3 * 26 + 30) / 20)
    assert row["traded_value_24h"] == pytest.approx(2.0 * (sum(range(7, 27)) + 30))
    assert row["bars_filled_7d"] == 3.0


@pytest.mark.parametrize("missing", [24, 25])
def test_a_longer_hole_restarts_the_indicators(missing: int):
    """Bars close up to D 00:00, then ``missing`` do not, then there are bars again."""
    begin = missing + 1  # the first mark after the hole
    bars = [bar("BTC", at(D, -n), 7.0) for n in range(1, 60)]
    bars += [bar("BTC", at(D, begin - 1 + n), 8.0) for n in range(72 - begin)]
    prices = [price("BTC", at(D, n), 5.0) for n in range(72)]
    got = features(inputs(ohlc=bars, prices=prices), ["BTC"], D, D + 2 * DAY)
    sma, counted = got["sma_20"].to_list(), got["bars_filled_7d"].to_list()
    assert sma[:25] == [7.0] * 25  # nobody knows yet how long the hole will be
    assert counted[:25] == list(range(25))
    if missing == 24:
        assert counted[25:] == [24.0] * 47
        assert None not in sma
    else:
        assert counted[25:] == [0.0] * 47  # the hole was too long: its hours count as what they are, missing
        assert sma[25 : begin + 19] == [None] * (begin + 19 - 25)
        assert sma[begin + 19 :] == [8.0] * (72 - begin - 19)


def test_windows_that_may_lack_bars_restart_too():
    """Four fifths of 24 bars are enough for the mean impact, but none of them may lie before a long hole."""
    wave = [bar("BTC", at(D, -n), 7.0 + n % 3, volume=1.0) for n in range(40, 200)]
    wave += [bar("BTC", at(D, n - 11), 9.0 + n % 2, volume=1.0) for n in range(60)]
    got = features(inputs(ohlc=wave), ["BTC"], D, D + DAY)["amihud_illiquidity_24h"].to_list()
    assert [value is None for value in got] == [n < 10 for n in range(48)]  # the run's first bar closed 10 hours before
    assert got[10] == pytest.approx(1e6 / 90)  # from 9 to 10 and back: 1/9 / 10 and 1/10 / 9


def test_a_flat_bar_trades_nothing_and_without_volume_nobody_knows():
    for volume, wanted in ((3.0, 0.0), (None, None)):
        bars = [bar("BTC", at(D, -n), 7.0, volume=volume) for n in range(24, 60)]
        row = one(inputs(ohlc=bars, prices=[price("BTC", at(D), 7.0)]))
        assert (row["traded_value_24h"], row["sma_20"]) == (None if volume is None else 7.0 * 3.0, 7.0)
        row = one(inputs(ohlc=bars, prices=[price("BTC", at(D, 1), 7.0)]), 1)
        assert row["traded_value_24h"] == wanted
        assert row["vwap_24h"] is None


def climb(count: int, step: float, end: float = 1000.0) -> list[dict]:
    return [bar("BTC", at(D, -n), end - step * (n - 1), spread=0.0) for n in range(1, count + 1)]


def test_rsi_extremes_and_average_range():
    assert one(inputs(ohlc=climb(300, 1.0)))["rsi_14"] == 100.0
    assert one(inputs(ohlc=climb(300, -1.0)))["rsi_14"] == 0.0
    assert one(inputs(ohlc=climb(700, 0.0)))["rsi_14"] is None
    assert one(inputs(ohlc=climb(300, 1.0)))["atr_14"] == pytest.approx(1.0)


def test_recursive_indicators_wait_for_their_warm_up():
    columns = ("rsi_14", "atr_14", "ema_12", "ema_26", "macd_line", "macd_signal", "macd_histogram")
    for column, bars in zip(columns, (280, 280, 125, 270, 360, 484, 484), strict=True):
        assert one(inputs(ohlc=climb(bars, 1.0)))[column] is None, column
        assert one(inputs(ohlc=climb(bars + 1, 1.0)))[column] is not None, column


def test_macd_of_a_steady_climb():
    """An EMA lags a line of slope s by s (1 - alpha) / alpha: the MACD of a steady climb is s (12.5 - 5.5)."""
    row = one(inputs(ohlc=climb(768, 1.0)))
    assert row["macd_line"] == pytest.approx(7.0)
    assert row["macd_signal"] == pytest.approx(7.0)
    assert row["macd_histogram"] == pytest.approx(0.0, abs=1e-9)


def onchain(day: date, known: float, **values: float | None) -> dict:
    return {"symbol": "BTC", "date": day, "available_at": at(day, known), **values}


def test_onchain_takes_the_newest_known_day_column_by_column():
    rows = [
        onchain(D - 2 * DAY, 30, active_addresses=1.0, transaction_count=11.0),
        onchain(D - DAY, 30, active_addresses=2.0, transaction_count=None),
    ]
    prices = [price("BTC", at(D, h), 1.0) for h in range(24)]
    got = features(inputs(prices=prices, onchain_base=rows), ["BTC"], D, D)
    assert got["onchain_active_addresses"].to_list() == [1.0] * 6 + [2.0] * 18  # known at 06:00
    assert got["transaction_count_24h"].to_list() == [11.0] * 24


def test_a_recomputed_older_day_does_not_displace_a_newer_one():
    rows = [onchain(D - 3 * DAY, 24 + 72, market_cap_usd=1.0), onchain(D - 2 * DAY, 30, market_cap_usd=2.0)]
    got = features(inputs(prices=[price("BTC", at(D), 1.0)], onchain_base=rows), ["BTC"], D, D)
    assert got["onchain_market_cap_usd"].to_list() == [2.0]


def test_stale_values_become_unknown():
    rows = [onchain(D - 4 * DAY, 2 * 24 + 6, nvt_ratio=9.0)]  # known D-2 06:00: serves decisions to D 06:00
    prices = [price("BTC", at(D, h), 1.0) for h in range(24)]
    got = features(inputs(prices=prices, onchain_enhanced=rows), ["BTC"], D, D)
    assert got["onchain_nvt_ratio"].to_list() == [9.0] * 6 + [None] * 18  # the row 06:00 decides at 06:05


def test_market_wide_numbers_reach_every_coin_from_their_instant():
    day = {"date": D, "available_at": at(D, 0.25), "fear_greed_index": 40.0}
    before = {"date": D - DAY, "available_at": at(D - DAY, 0.25), "fear_greed_index": 30.0}
    tvl = [
        {"entity": name, "date": D - DAY, "available_at": at(D, 1), "tvl_usd": value, "stablecoin_supply_usd": None}
        for name, value in (("all", 5.0), ("Ethereum", 3.0))
    ]
    data = inputs(
        prices=[price(s, at(D, h), 1.0) for s in ("BTC", "ETH") for h in (0, 1)],
        market_sentiment=[before, day],
        defi_metrics=tvl,
    )
    got = features(data, ["BTC", "ETH"], D, D)
    assert got["fear_greed_index"].to_list() == [30.0, 40.0] * 2
    assert got["tvl_usd"].to_list() == [None, 5.0] * 2
    assert got["stablecoin_supply_usd"].null_count() == 4


def test_news_is_the_coins_own_hour():
    news = [
        {"symbol": s, "ts": at(D), "available_at": at(D) + late, "article_count_24h": n, "sentiment_24h": t}
        for s, late, n, t in (("BTC", 0 * HOUR, 0, None), ("MARKET", 0 * HOUR, 7, 0.5), ("ETH", HOUR, 3, 0.1))
    ]
    prices = [price(s, at(D, h), 1.0) for s in ("BTC", "ETH") for h in (0, 1)]
    got = features(inputs(prices=prices, narratives=news), ["BTC", "ETH"], D, D)
    assert got["news_count_24h"].to_list() == [0.0, None, None, None]  # ETH's came after the decision
    assert got["news_sentiment_24h"].null_count() == 4


def test_sandbox_rows_are_told_apart():
    data = inputs(prices=[price("BTC", at(D), 1.0) | {"source": "sandbox/coingecko"}])
    assert one(data)["source"] == "sandbox/derived"


def test_doubled_or_crooked_keys_are_refused():
    data = inputs(prices=[price("BTC", at(D), 1.0)])
    doubled = {**data, "prices": pl.concat([data["prices"], data["prices"]])}
    with pytest.raises(ContractError, match="prices: more than one row"):
        build_features(**doubled, symbols=["BTC"], start=D, end=D)
    crooked = {**data, "prices": data["prices"].with_columns(pl.col("ts") + timedelta(minutes=1))}
    with pytest.raises(ContractError, match="prices: ts is not an hour mark"):
        build_features(**crooked, symbols=["BTC"], start=D, end=D)


def test_look_back_covers_every_input_of_the_function():
    assert set(LOOKBACK_DAYS) == set(inputs())
    # 745 hours: volatility_30d as it stood at a value of DVOL that is up to a day old
    assert LOOKBACK_DAYS["prices"] == 31 and LOOKBACK_DAYS["onchain_base"] == 10 and LOOKBACK_DAYS["narratives"] == 7
