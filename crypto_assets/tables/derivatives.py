"""Tables of derivatives with a history: funding, open interest, perpetual bars, implied volatility.

A coin has a row for each venue in the first three. ``derivatives`` in ``prices.py`` is the snapshot of the present over
all venues; the check ``agrees_with_snapshot`` compares the two.
"""

from __future__ import annotations

from datetime import date, timedelta

from crypto_assets.tables.contract import Contract, WriteMode
from crypto_assets.tables.pit_quality import FINAL, Always
from crypto_assets.tables.shared_columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.tables.spec import (
    COINGECKO_RANGE_DAYS,
    FROM_FIRST_ROW,
    OWNER,
    PROVIDER_ROWS,
    Chunk,
    EachSeries,
    Freshness,
    FromProvider,
    OnTheHour,
    TableSpec,
    When,
)

# The first day on which a provider has rows. No request is made for earlier days.
FUNDING_SINCE = date(2019, 9, 8)  # Binance listed BTCUSDT
BARS_SINCE = date(2019, 9, 8)
OPEN_INTEREST_SINCE = date(2020, 8, 1)  # Bybit; the files of Binance begin in September, for most contracts in 2021-12
OPEN_INTEREST_OWED_SINCE = date(2021, 12, 1)  # earlier days are taken where they are given, and not owed
DVOL_SINCE = date(2021, 1, 1)  # the provider documents no first day
DVOL_OWED_SINCE = date(2021, 4, 1)  # earlier days are taken where they are given, and not owed

# From this label on Binance stamps its 5-minute statistics with the beginning of the 5 minutes and no longer with their
# end (https://github.com/binance/binance-public-data/issues/491), so that a value is known 5 minutes later.
STATISTICS_START_LABELS = date(2026, 6, 25)
STATISTICS_LAG = timedelta(minutes=5)  # from the label to the publication, while the label was the end

VENUES = ("binance", "bybit")  # in the default order of DERIVATIVE_SOURCES
VENUE = "Venue of the contract: binance (USD-M) or bybit (linear)."

FUNDING_RATES = Contract(
    table="funding_rates",
    description="Funding of perpetual futures, settlement by settlement, at each venue in DERIVATIVE_SOURCES.",
    grain="coin x venue x settlement",
    key=("symbol", "venue", "ts"),
    columns=(
        symbol(),
        key("venue", VENUE),
        ts("Hour of the settlement; the venue's stamp lies within a minute of it."),
        day(),
        available_at("the venue's own stamp of the settlement, never before the hour"),
        source(),
        value(
            "funding_rate", "fraction an interval", "Rate paid by longs to shorts; a rate at its cap is a real value.",
            nullable=False, lower=-1, upper=1,
        ),
        value(
            "interval_hours", "hours",
            "Hours that the rate covers: since the settlement before. Where that is more than 8 hours away, to the next.",
            lower=1, upper=8,
        ),
        value(
            "funding_rate_hourly", "fraction an hour", "funding_rate / interval_hours, comparable over venues and changes.",
            lower=-1, upper=1,
        ),
        value("mark_price", "USDT a coin", "Mark price of the settlement, of one coin also where the contract is of 1,000; "
              "null where the venue gives none (Bybit, Binance in older rows).", above=0),
    ),
    available_at_rule="the venue's stamp of the settlement, never before the hour",
    pit_quality=Always(FINAL, "a settlement is paid at its rate, which the venue does not change afterwards"),
    write_mode=WriteMode.MERGE,
    reference="https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Get-Funding-Rate-History",
)  # fmt: skip

OPEN_INTEREST = Contract(
    table="open_interest",
    description="Open interest and the ratios of longs to shorts at each hour, at each venue in DERIVATIVE_SOURCES.",
    grain="coin x venue x hour",
    key=("symbol", "venue", "ts"),
    columns=(
        symbol(),
        key("venue", VENUE),
        ts("Hour mark of the 5-minute statistic, as the venue labels it."),
        day(),
        available_at("5 minutes after the label; 10 from the label 2026-06-25 on, which is the beginning of the 5 minutes"),
        source(),
        value("open_interest", "base units", "Open contracts in coins, also where a contract is of 1,000 coins.", lower=0),
        value("open_interest_usd", "USDT", "Their value as the venue gives it; null at Bybit, which gives none.", lower=0),
        value("long_short_ratio", "ratio", "Accounts that are long / accounts that are short.", lower=0),
        value("taker_buy_sell_ratio", "ratio", "Volume bought / sold by takers in the 5 minutes.", lower=0),
    ),
    available_at_rule="5 minutes after the label; 10 from the label 2026-06-25 on",
    pit_quality=Always(
        FINAL, "a venue measures it once; it replaces a file of its archive only where the file was broken"
    ),
    write_mode=WriteMode.MERGE,
    reference="https://github.com/binance/binance-public-data (daily metrics); "
    "https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Open-Interest-Statistics",
)  # fmt: skip

PERPETUAL_BARS = Contract(
    table="perpetual_bars",
    description="Hourly closes and volumes of perpetual futures beside the index that they follow.",
    grain="coin x venue x hour",
    key=("symbol", "venue", "ts"),
    columns=(
        symbol(),
        key("venue", VENUE),
        ts("Open of the bar."),
        day(),
        available_at("the bar's close, one hour after ts"),
        source(),
        value("close", "USDT a coin", "Last price of the contract, of one coin.", nullable=False, above=0),
        value("index_close", "USDT a coin", "Last value of the venue's index, of one coin.", above=0),
        value("basis", "fraction of the index", "close / index_close - 1; null without the index.", above=-1),
        value("volume", "base units", "Volume in the bar, in coins.", lower=0),
        value("volume_usd", "USDT", "Volume in the bar, in the quote currency.", lower=0),
    ),
    available_at_rule="the bar's close",
    pit_quality=Always(FINAL, "a venue does not change a bar that is closed"),
    write_mode=WriteMode.MERGE,
    reference="https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Index-Price-Kline-Candlestick-Data; "
    "https://bybit-exchange.github.io/docs/v5/market/index-kline",
)  # fmt: skip

IMPLIED_VOLATILITY = Contract(
    table="implied_volatility",
    description="Deribit's volatility index DVOL of BTC and ETH, as hourly candles.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Open of the candle."),
        day(),
        available_at("the candle's close, one hour after ts"),
        source(),
        *(
            value(name, "percent a year", text, nullable=False, above=0, upper=1000)
            for name, text in (("open", "First value."), ("high", "Highest value."), ("low", "Lowest value."),
                               ("close", "Last value: the volatility that options imply for the next 30 days."))
        ),
    ),
    available_at_rule="the candle's close",
    pit_quality=Always(FINAL, "Deribit does not change a candle that is closed"),
    ordered=(("low", "open"), ("low", "close"), ("open", "high"), ("close", "high")),
    write_mode=WriteMode.MERGE,
    reference="https://docs.deribit.com/api-reference/market-data/public-get_volatility_index_data",
)  # fmt: skip

# One request has 1,000 settlements: 333 days of three a day, less the 8 hours on either side that tell the interval.
FUNDING_CHUNK_DAYS = 332
HOURLY_CHUNK_DAYS = 250  # 6,000 hours: four full requests of 1,500 bars at Binance, six of 1,000 at Bybit and Deribit
SETTLES_AFTER = timedelta(minutes=15)  # the last hour's row comes minutes after midnight
HOURLY = Freshness(warn_after=timedelta(hours=1), late_after=timedelta(hours=2), by_coin=False)
EVERY_EIGHT_HOURS = Freshness(warn_after=timedelta(hours=9), late_after=timedelta(hours=10), by_coin=False)


def _spec(
    contract: Contract,
    kinds: tuple[str, ...],
    chunk_days: int,
    freshness: Freshness,
    rows_per_day: int,
    delay_hours: int,
    **more: bool,
) -> TableSpec:
    return TableSpec(
        contract=contract,
        group="derivatives",
        kinds=frozenset(kinds),
        owner=OWNER,
        rows_from=FromProvider(pool=kinds[0], settles_after=SETTLES_AFTER, history=FROM_FIRST_ROW, newest_only=False),
        when=frozenset({When.TICK, When.SETTLE}),
        freshness=freshness,
        expected=EachSeries(rows_per_day=rows_per_day),
        chunk=Chunk(days=chunk_days, hourly_rows=PROVIDER_ROWS * 24 // rows_per_day),
        read_by_features=OnTheHour(delay_hours=delay_hours),
        own_pod_from_days=None,
        demo_warm_up=more["demo_warm_up"],
    )  # fmt: skip


SPECS = (
    _spec(FUNDING_RATES, VENUES, FUNDING_CHUNK_DAYS, EVERY_EIGHT_HOURS, 3, 0, demo_warm_up=True),
    # Two requests a coin and day: the demo takes the days that it shows, and no month before.
    _spec(OPEN_INTEREST, VENUES, COINGECKO_RANGE_DAYS, HOURLY, 24, 0, demo_warm_up=False),
    _spec(PERPETUAL_BARS, VENUES, HOURLY_CHUNK_DAYS, HOURLY, 24, 1, demo_warm_up=True),
    _spec(IMPLIED_VOLATILITY, ("deribit",), HOURLY_CHUNK_DAYS, HOURLY, 24, 1, demo_warm_up=True),
)
