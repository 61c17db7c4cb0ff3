"""Tables of prices: hourly observations, hourly bars, a second venue, perpetual futures."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.contract import Column, Contract, WriteMode
from crypto_assets.tables.pit_quality import FINAL, FIRST_SEEN, Always
from crypto_assets.tables.shared_columns import available_at, day, source, symbol, ts, value
from crypto_assets.tables.spec import (
    COINGECKO_RANGE_DAYS,
    FULL_HISTORY,
    NO_HISTORY,
    OWNER,
    PROVIDER_ROWS,
    AsOf,
    Chunk,
    EachCoin,
    Freshness,
    FromFirstRow,
    FromProvider,
    OnTheHour,
    TableSpec,
    When,
)

KRAKEN_WINDOW = timedelta(hours=720)  # docs.kraken.com get-ohlc-data: the newest 720 candles, whatever is asked
# The last point or bar of a day comes seconds after midnight, but providers cache their pages for minutes.
SETTLES_AFTER = timedelta(minutes=8)

PRICES = Contract(
    table="prices",
    description="Hourly observations of price, market capitalisation and rolling 24 h volume.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Hour mark whose observation this is: the first one at or after it, however late (see available_at)."),
        day(),
        available_at("the provider's own instant of the observation"),
        source(),
        value("price_usd", "USD", "Price.", nullable=False, above=0),
        value("market_cap_usd", "USD", "Market capitalisation.", above=0, placeholder="0"),
        value("volume_24h_usd", "USD", "Volume of the last 24 hours over all venues.", above=0, placeholder="0"),
    ),
    available_at_rule="the provider's own instant of the observation",
    pit_quality=Always(FINAL, "CoinGecko serves the point of a past hour as it was observed"),
    write_mode=WriteMode.MERGE,
    reference="https://docs.coingecko.com/reference/coins-id-market-chart-range",
)

OHLC = Contract(
    table="ohlc",
    description="Hourly bars, each coin from the first source in OHLC_SOURCES that lists it.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Open of the bar."),
        day(),
        available_at("the bar's close, one hour after ts"),
        source(),
        value("open", "quote", "First price; quote is USD, USDT where the source says so.", nullable=False, above=0),
        value("high", "quote", "Highest price.", nullable=False, above=0),
        value("low", "quote", "Lowest price.", nullable=False, above=0),
        value("close", "quote", "Last price.", nullable=False, above=0),
        value("volume", "base units", "Volume in the bar; null where the source has none (CoinGecko).", lower=0),
        value(
            "factor",
            "units of today",
            "How many of today's units of the coin the venue's unit was: 1, or another number "
            "before a redenomination. The venue's own prices are the prices here times it, its volume is the volume here "
            "divided by it.",
            above=0,
        ),
    ),
    available_at_rule="the bar's close",
    pit_quality=Always(FINAL, "a venue does not change a bar that is closed"),
    ordered=(("low", "open"), ("low", "close"), ("open", "high"), ("close", "high")),
    write_mode=WriteMode.MERGE,
    reference="https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints",
)

KRAKEN_OHLC = Contract(
    table="kraken_ohlc",
    description="Hourly bars of Kraken in USD, a second source for prices. Rows are merged, because Kraken shows the newest 720 hours only.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Open of the bar."),
        day(),
        available_at("the bar's close, one hour after ts"),
        source(),
        value("open", "USD", "First price.", nullable=False, above=0),
        value("high", "USD", "Highest price.", nullable=False, above=0),
        value("low", "USD", "Lowest price.", nullable=False, above=0),
        value("close", "USD", "Last price.", nullable=False, above=0),
        value("vwap", "USD", "Volume-weighted average price; null where nothing traded.", above=0, placeholder="0"),
        value("volume", "base units", "Volume in the bar.", lower=0),
        Column("trades", pl.Int64, "trades", "Number of trades.", lower=0),
    ),
    available_at_rule="the bar's close",
    pit_quality=Always(FINAL, "a venue does not change a bar that is closed"),
    ordered=(("low", "open"), ("low", "close"), ("open", "high"), ("close", "high")),
    write_mode=WriteMode.MERGE,
    reference="https://docs.kraken.com/api/docs/rest-api/get-ohlc-data",
)

DERIVATIVES = Contract(
    table="derivatives",
    description="Perpetual futures over all venues: funding, open interest and basis as first seen in each hour.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Hour in which the snapshot was taken."),
        day(),
        available_at("the instant of the snapshot"),
        source(),
        value("funding_rate", "fraction per funding interval", "Mean over contracts, weighted by open interest."),
        value("open_interest_usd", "USD", "Sum of the contracts' open interest.", lower=0),
        value(
            "basis", "fraction of the index", "(futures - index) / index as the provider gives it, weighted likewise."
        ),
        value("volume_24h_usd", "USD", "Sum of the contracts' volume in 24 hours.", lower=0),
        Column(
            "contracts", pl.Int64, "contracts", "Contracts counted: those with open interest.", nullable=False, lower=1
        ),
    ),
    available_at_rule="the instant of the snapshot",
    pit_quality=Always(FIRST_SEEN, "the provider shows the present only, and the first snapshot of an hour stays"),
    write_mode=WriteMode.KEEP,
    reference="https://docs.coingecko.com/reference/derivatives-tickers",
)

# The row of an hour is due at the second tick after it: the first tick may still find the provider's older page, and the
# last row of a day comes with its close. A row that is missing when the third tick is due is late.
EVERY_COIN_HOURLY = Freshness(warn_after=timedelta(minutes=45), late_after=timedelta(hours=1, minutes=30), by_coin=True)
HOURLY = Freshness(warn_after=timedelta(minutes=45), late_after=timedelta(hours=1, minutes=30), by_coin=False)
CHUNK = Chunk(days=COINGECKO_RANGE_DAYS, hourly_rows=PROVIDER_ROWS)
# These tables need no later settling, which would ask for each coin again: the day's last hour is there after midnight.
TICKS = frozenset({When.TICK})

SPECS = (
    TableSpec(
        contract=PRICES,
        group="prices",
        kinds=frozenset({"coingecko"}),
        owner=OWNER,
        rows_from=FromProvider(pool="coingecko", settles_after=SETTLES_AFTER, history=FULL_HISTORY, newest_only=False),
        when=TICKS,
        freshness=EVERY_COIN_HOURLY,
        expected=EachCoin(rows_per_day=24, identifier=None, kept=True),
        chunk=CHUNK,
        read_by_features=OnTheHour(delay_hours=0),
        own_pod_from_days=None,
        demo_warm_up=True,
    ),
    TableSpec(
        contract=OHLC,
        group="prices",
        kinds=frozenset({"binance", "kraken", "coingecko"}),
        owner=OWNER,
        rows_from=FromProvider(pool="ohlc", settles_after=SETTLES_AFTER, history=FULL_HISTORY, newest_only=False),
        when=TICKS,
        freshness=EVERY_COIN_HOURLY,
        expected=EachCoin(rows_per_day=24, identifier=None, kept=True, ends_at="binance"),
        chunk=CHUNK,
        read_by_features=OnTheHour(delay_hours=1),
        own_pod_from_days=None,
        demo_warm_up=True,
    ),
    TableSpec(
        contract=KRAKEN_OHLC,
        group="prices",
        kinds=frozenset({"kraken"}),
        owner=OWNER,
        rows_from=FromProvider(pool="kraken", settles_after=SETTLES_AFTER, history=KRAKEN_WINDOW, newest_only=False),
        when=TICKS,
        freshness=EVERY_COIN_HOURLY,
        expected=EachCoin(rows_per_day=24, identifier="kraken", kept=True),
        chunk=CHUNK,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=DERIVATIVES,
        group="prices",
        kinds=frozenset({"coingecko"}),
        owner=OWNER,
        rows_from=FromProvider(pool="coingecko", settles_after=None, history=NO_HISTORY, newest_only=False),
        when=frozenset({When.TICK, When.SETTLE}),
        freshness=HOURLY,
        expected=FromFirstRow(),
        chunk=CHUNK,
        read_by_features=AsOf(known_within=timedelta(hours=1)),
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
