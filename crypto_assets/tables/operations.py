"""Tables of the platform's own records: its calls to providers, held and set-aside rows, freshness, service level."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.contract import TIMESTAMP, Column, Contract, WriteMode
from crypto_assets.tables.pit_quality import FIRST_SEEN, Always
from crypto_assets.tables.shared_columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.tables.spec import (
    OWNER,
    Chunk,
    Freshness,
    NothingDue,
    Recorded,
    RowsFrom,
    TableSpec,
    Unpartitioned,
    When,
    WrittenAlongside,
)

OWN_RECORD = Always(FIRST_SEEN, "this platform records what it sees, when it sees it")


def _count(name: str, description: str, unit: str = "calls") -> Column:
    return Column(name, pl.Int64, unit, description, nullable=False, lower=0)


API_USAGE = Contract(
    table="api_usage",
    description="Calls to providers by endpoint: how many, with which key, and how they ended.",
    grain="provider x endpoint x hour",
    key=("provider", "endpoint", "ts"),
    columns=(
        key("provider", "Provider."),
        key("endpoint", "Route, with {id} where a coin stands; a feed's name for news."),
        ts("Hour in which the calls began."),
        day(),
        available_at("the end of the hour; of the hour in progress when the quota store was read"),
        source(),
        _count("calls", "Requests sent, retries and redirects included."),
        _count("premium_calls", "Of them with a CoinGecko pro key."),
        _count("retries", "Of them second and later attempts."),
        _count("rate_limited", "Of them answered 429."),
        _count("errors", "Of them without a good answer."),
        _count("bytes", "Received, as transferred.", "bytes"),
    ),
    available_at_rule="the end of the hour; of the hour in progress when the quota store was read",
    pit_quality=OWN_RECORD,
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
        key("reason", "Why the row is not trusted."),
        value("market_cap_usd", "USD", "The row's market capitalisation, for its release."),
        value("volume_24h_usd", "USD", "The row's volume, for its release."),
        Column("released_at", TIMESTAMP, "UTC", "When a person released the row; null while it is held."),
    ),
    available_at_rule="that of the row",
    pit_quality=OWN_RECORD,
    write_mode=WriteMode.MERGE,
)

SET_ASIDE = Contract(
    table="set_aside",
    description="Observations of providers that were not stored as given: the cell is null or the row is left out. The other "
    "rows are stored. A later fetch of the same days updates the record; corrected observations leave it.",
    grain="table x subject x day x column x reason",
    key=("table_name", "subject", "date", "column_name", "reason"),
    columns=(
        key("table_name", "Table the observations were meant for."),
        key("subject", "The coin's symbol, or the chain, venue, pool, feed or provider that they are about; MARKET for a table without one."),
        day(),
        key("column_name", "Column that lacks them; empty where the whole row is left out."),
        key("reason", "Why they cannot be stored."),
        available_at("when it was first seen"),
        source(),
        Column("count", pl.Int64, "observations", "How many; of the day in progress the most that one fetch saw.", nullable=False, lower=1),
        Column("example", pl.String, "text", "The first of them as given, at most 80 characters."),
    ),
    available_at_rule="when it was first seen",
    pit_quality=OWN_RECORD,
    write_mode=WriteMode.MERGE,
    keeps=("available_at",),
    reference="noted by this platform while it reads the answers",
    time_column=None,
)  # fmt: skip

SLO_TARGET = 0.99
SLO_WINDOWS = ("24h", "7d", "30d")

FRESHNESS_OBSERVATIONS = Contract(
    table="freshness_observations",
    description="Whether each table was fresh, read from its rows every 15 minutes. An observation cannot be made later: "
    "a slot without a row was not observed, and counts as not fresh. Recorded data has no row, because it is never late.",
    grain="asset x 15-minute slot",
    key=("asset", "ts"),
    columns=(
        key("asset", "Table that was observed."),
        ts("Start of the slot of the observation."),
        day(),
        available_at("the time of the observation"),
        source(),
        Column("fresh", pl.Boolean, "flag", "The newest row was younger than the limit.", nullable=False),
        Column("newest_available_at", TIMESTAMP, "UTC", "The newest row's available_at; null where no row of the last 40 days was there."),
        value("age_s", "seconds", "Age of the newest row.", lower=0),
        value("late_after_s", "seconds", "The limit (the freshness of its TableSpec).", nullable=False, above=0),
    ),
    available_at_rule="the time of the observation",
    pit_quality=OWN_RECORD,
    write_mode=WriteMode.KEEP,
    reference="measured by this platform",
)  # fmt: skip

SLO_REPORT = Contract(
    table="slo_report",
    description=f"Share of 15-minute slots in which each table was fresh, against {SLO_TARGET:.0%}. Slots without an "
    "observation count as not fresh and have a column of their own; slots before a table's first observation with a row do not "
    "count, and a table that had none in all of the 30 days is left out.",
    grain="asset x window x slot of the report",
    key=("asset", "window", "ts"),
    columns=(
        key("asset", "Table, or 'all' for all of them together."),
        Column("window", pl.String, "name", "Span before the report that the share covers.", nullable=False, allowed=SLO_WINDOWS),
        ts("Slot in which the report was made."),
        day(),
        available_at("when the report was made"),
        source(),
        _count("slots", "Slots of the window since the first observation.", "slots"),
        _count("fresh_slots", "Of them observed and fresh.", "slots"),
        _count("unobserved_slots", "Of them not observed.", "slots"),
        value("share_fresh", "fraction", "fresh_slots ÷ slots.", nullable=False, lower=0, upper=1),
        value("target", "fraction", "Target share.", nullable=False, lower=0, upper=1),
        value("error_budget_left", "fraction", "1 − (slots not fresh) ÷ (slots that the target allows); negative when overspent.", nullable=False, upper=1),
    ),
    available_at_rule="when the report was made",
    pit_quality=OWN_RECORD,
    write_mode=WriteMode.MERGE,
    reference="computed from freshness_observations",
)  # fmt: skip

HISTORY_REPORT = Contract(
    table="history_report",
    description="How much of the history from CRYPTO_ASSETS_START to yesterday exists at the time of each report, by table, in "
    "partitions and in rows. A table that cannot be read gets no row, and neither do 'all' and the tables whose expected "
    "rows are counted from it.",
    grain="asset x slot of the report",
    key=("asset", "ts"),
    columns=(
        key("asset", "Table, or 'all' for the sums of all of them."),
        ts("Slot in which the report was made."),
        day(),
        available_at("when the report was made"),
        source(),
        _count("partitions_expected", "Closed days from CRYPTO_ASSETS_START on; of tables whose past cannot be fetched, from their first row on.", "partitions"),
        _count("partitions_materialized", "Of them materialised, as the UI counts.", "partitions"),
        _count("partitions_with_rows", "Of them with at least one row.", "partitions"),
        Column("rows_expected", pl.Int64, "rows", "Rows due in these days as the check rows_expected counts them: of a coin from its first row on. Of onchain_enhanced the rows of onchain_base. Null where none are due by rule.", lower=0),
        Column("rows_present", pl.Int64, "rows", "Of them present.", lower=0),
        value("share_materialized", "fraction", "partitions_materialized ÷ partitions_expected; null where none are expected.", lower=0, upper=1),
        value("share_with_rows", "fraction", "partitions_with_rows ÷ partitions_expected; null where none are expected.", lower=0, upper=1),
        value("share_rows", "fraction", "rows_present ÷ rows_expected; of onchain_enhanced this is enhanced over base. Null where none are expected.", lower=0),
    ),
    available_at_rule="when the report was made",
    pit_quality=OWN_RECORD,
    write_mode=WriteMode.MERGE,
    reference="counted by this platform",
)  # fmt: skip


def _own(contract: Contract, rows_from: RowsFrom) -> TableSpec:
    """Declare a record without days: no rows are due, and no schedule fills it."""
    return TableSpec(
        contract=contract,
        group="operations",
        kinds=frozenset({"deltalake"}),
        owner=OWNER,
        rows_from=rows_from,
        when=frozenset(),
        freshness=None,
        expected=NothingDue(),
        chunk=None,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    )


SPECS = (
    TableSpec(
        contract=API_USAGE,
        group="operations",
        kinds=frozenset({"postgres"}),
        owner=OWNER,
        rows_from=Recorded(),
        when=frozenset({When.TICK, When.SETTLE, When.NOON}),
        freshness=Freshness(warn_after=timedelta(hours=36), late_after=timedelta(hours=48), by_coin=False),
        expected=NothingDue(),
        chunk=Chunk(days=None, hourly_rows=None),
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    _own(QUARANTINE, WrittenAlongside()),
    _own(SET_ASIDE, WrittenAlongside()),
    _own(FRESHNESS_OBSERVATIONS, Unpartitioned(late_after=timedelta(hours=1))),
    _own(SLO_REPORT, Unpartitioned(late_after=timedelta(hours=1))),
    _own(HISTORY_REPORT, Unpartitioned(late_after=timedelta(hours=13))),
)
