"""The table of which coins there were on a day, where they were traded and under which names."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.contract import TEXTS, Column, Contract
from crypto_assets.tables.pit_quality import WorstOfInputs
from crypto_assets.tables.shared_columns import available_at, day, source, symbol, value
from crypto_assets.tables.spec import OWNER, Chunk, DaysWithRows, DerivedFrom, Freshness, TableSpec, When

LISTED, DELISTED, RENAMED, REDENOMINATED = "listed", "delisted", "renamed", "redenominated"
SUSPECTED = "suspected"
STATES = (LISTED, DELISTED, RENAMED, REDENOMINATED, SUSPECTED)
LOOKBACK_DAYS = 90  # of bars and prices: what is older says nothing about a day
KNOWN_AT = "the day's end; what became known later does not count"

UNIVERSE = Contract(
    table="universe",
    description="Each coin on each day: whether it was traded, where, under which names, and how we know. Coins stay after "
    "their end. What no row of the catalogue explains is suspected.",
    grain="coin x day",
    key=("symbol", "date"),
    columns=(
        symbol(", which does not change"),
        day(),
        available_at(KNOWN_AT),
        source(),
        Column(
            "state", pl.String, "name",
            "listed: some source has it. renamed, redenominated: from the last day of the old name or unit to the first of the "
            "new one, or for good where the coin became another one (successor). delisted: no venue trades it any more. "
            "suspected: the rows show an end or a jump that no row of the catalogue explains.",
            nullable=False, allowed=STATES,
        ),
        Column("venues", TEXTS, "names", "Venues that gave bars of the day, or that list it then as the catalogue says.", nullable=False),
        Column("tickers", TEXTS, "names", "The venue and its name for the coin on that day, for example binance:LUNAUSDT.", nullable=False),
        value(
            "factor", "units", "How many of today's units one unit of that day was; where the coin became another one, how "
            "many of the successor. Before a redenomination it is not what was known then.", nullable=False, above=0,
        ),
        Column("successor", pl.String, "name", "Coin of the catalogue that holders got; null where there is none."),
        Column(
            "listed_since", pl.Date, "UTC day",
            "First day of the current listing as the catalogue says, else of bars or prices if it lies within 90 days; else null.",
        ),
        Column("delisted_on", pl.Date, "UTC day", "Day of the last trade of the last name, where the coin is not traded any more."),
        Column("rank", pl.Int64, "rank", "By market capitalisation at the day's end among the configured coins; 1 is the largest.", lower=1),
        Column("evidence", pl.String, "text", "How we know: catalogue, bars, prices, silence, or a jump, with dates and numbers.", nullable=False),
    ),
    available_at_rule=KNOWN_AT,
    pit_quality=WorstOfInputs(by="symbol"),
    reference="crypto_assets/catalog/listings.csv",
    time_column=None,
)  # fmt: skip

SPECS = (
    TableSpec(
        contract=UNIVERSE,
        group="prices",
        kinds=frozenset({"polars"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"prices": LOOKBACK_DAYS, "ohlc": LOOKBACK_DAYS},
            required=("prices", "ohlc"),
            dry_run=True,
            columns={
                "state": ("ohlc.open", "ohlc.close", "prices.price_usd"),
                "venues": ("ohlc.source",),
                "rank": ("prices.market_cap_usd",),
                "evidence": ("ohlc.open", "ohlc.close", "prices.price_usd"),
            },
        ),
        when=frozenset({When.SETTLE}),
        freshness=Freshness(warn_after=timedelta(hours=30), late_after=timedelta(hours=36), by_coin=False),
        expected=DaysWithRows(note="each day has coins"),
        chunk=Chunk(days=None, hourly_rows=300 * 24 * 120),
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
