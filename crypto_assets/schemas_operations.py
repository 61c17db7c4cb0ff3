"""Contracts of the platform's own records: what it called, and what it refused to believe."""

from __future__ import annotations

import polars as pl

from crypto_assets.columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.contract import TIMESTAMP, Column, Contract, WriteMode


def _count(name: str, description: str, unit: str = "calls") -> Column:
    return Column(name, pl.Int64, unit, description, nullable=False, lower=0)


API_USAGE = Contract(
    table="api_usage",
    description="Calls to providers as they were made: by which route, on which tier, how they ended.",
    grain="provider x endpoint x hour",
    key=("provider", "endpoint", "ts"),
    columns=(
        key("provider", "Provider."),
        key("endpoint", "Route, with {id} where a coin stands; a feed's name for news."),
        ts("Hour in which the calls began."),
        day(),
        available_at("the end of the hour"),
        source(),
        _count("calls", "Requests sent, retries and redirects included."),
        _count("premium_calls", "Of them with a CoinGecko pro key."),
        _count("retries", "Of them second and later attempts."),
        _count("rate_limited", "Of them answered 429."),
        _count("errors", "Of them without a good answer."),
        _count("bytes", "Received, as transferred.", "bytes"),
    ),
    available_at_rule="the end of the hour",
    reference="counted by this platform before and after each request",
)

QUARANTINE = Contract(
    table="quarantine",
    description="Rows that were not stored because a second source contradicts them; release puts a row into its table.",
    grain="suspicious row",
    key=("table_name", "symbol", "ts"),
    columns=(
        key("table_name", "Table the row was meant for."),
        symbol(),
        ts("Hour mark of the row."),
        day(),
        available_at("that of the row"),
        source(),
        value("value_usd", "USD", "Price in question.", nullable=False),
        value("before_usd", "USD", "The same source's price an hour earlier."),
        value("other_usd", "USD", "The second source's price at the same mark.", nullable=False),
        key("other_source", "Second source."),
        key("reason", "Why the row is not believed."),
        value("market_cap_usd", "USD", "The row's market capitalisation, for its release."),
        value("volume_24h_usd", "USD", "The row's volume, for its release."),
        Column("released_at", TIMESTAMP, "UTC", "When a person released the row; null while it is held."),
    ),
    available_at_rule="that of the row",
    write_mode=WriteMode.MERGE,
)
