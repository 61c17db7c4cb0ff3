"""Tables of the economy around the market: values as published and revised, and the readings in force at each instant."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.features.feature import DAILY_STALENESS
from crypto_assets.tables.contract import TIMESTAMP, Column, Contract, WriteMode
from crypto_assets.tables.pit_quality import BACKFILLED, FINAL, VINTAGE, SaidByRow
from crypto_assets.tables.shared_columns import available_at, day, key, source, ts, value
from crypto_assets.tables.spec import (
    COINGECKO_RANGE_DAYS,
    FULL_HISTORY,
    OWNER,
    AsOf,
    BusinessDays,
    Chunk,
    DaysWithRows,
    Freshness,
    FromProvider,
    TableSpec,
    When,
)

NAME_OF_SERIES = "Series by FRED's name, as in crypto_assets/catalog/macro.py."
KNOWN_AT = "the hour of publication where it is documented, else the midnight (UTC) after the vintage's day"

MACRO_SERIES = Contract(
    table="macro_series",
    description="Macroeconomic values as they were published and revised: one row for each value that an observation had. "
    "A value that was withdrawn is null from then on.",
    grain="series x observation x vintage",
    key=("series", "observation_date", "vintage_date"),
    columns=(
        key("series", NAME_OF_SERIES),
        Column("observation_date", pl.Date, "day", "Day that dates the observation, as the provider gives it.", nullable=False),
        Column("vintage_date", pl.Date, "day", "Day of publication, where the publisher is; of a combined series the UTC day on which it is known.", nullable=False),
        day(),
        available_at(KNOWN_AT),
        source(),
        value("value", "the column unit", "Value of this vintage; null where the publisher gives none or withdrew it."),
        Column("unit", pl.String, "name", "Unit of the value.", nullable=False),
    ),
    available_at_rule=KNOWN_AT,
    pit_quality=SaidByRow(
        (VINTAGE, FINAL, BACKFILLED),
        "vintage where the provider dates each revision (FRED, ECB, New York Fed); final where it does not revise (CBOE, "
        "Treasury); backfilled where an observation is older than its archive, so that nobody knows when it was published",
    ),
    write_mode=WriteMode.MERGE,
    reference="https://fred.stlouisfed.org/docs/api/fred/series_observations.html",
    time_column=None,
)  # fmt: skip


def _reading(name: str, unit: str, description: str) -> Column:
    return value(name, unit, description, max_staleness=DAILY_STALENESS)


MACRO_INDICATORS = Contract(
    table="macro_indicators",
    description="The reading of each macro series in force: at the beginning of each day, and from each publication of the "
    "day on. Each is made of the values that were in force then; backfilled values are left out.",
    grain="series x instant",
    key=("series", "ts"),
    columns=(
        key("series", NAME_OF_SERIES),
        ts("From when the reading is in force: the beginning of the day, or a publication in it."),
        day(),
        available_at("ts"),
        source(),
        Column("observation_date", pl.Date, "day", "Day that dates the newest observation.", nullable=False),
        Column("released_at", TIMESTAMP, "UTC", "When its value was published.", nullable=False),
        Column("next_release_at", TIMESTAMP, "UTC", "Next release in the publisher's calendar; null where there is none."),
        _reading("level", "the unit of the series", "Value of the newest observation."),
        *(
            _reading(f"change_{n}", "fraction or the unit of the series", f"Level against {n} observation(s) before.")
            for n in (1, 5, 20)
        ),
        _reading("zscore_20", "sigma", "z-score of the level over the last 20 observations, ddof 1."),
        _reading(
            "surprise", "fraction or the unit of the series",
            "Of a new observation the level against the last one, of a revision against the former vintage, less the median "
            "restatement of the observations before it where changes are fractions.",
        ),
    ),
    available_at_rule="ts",
    pit_quality=SaidByRow((VINTAGE, FINAL), "that of the newest observation's value; backfilled values are left out"),
    write_mode=WriteMode.MERGE,
    keeps=("next_release_at",),
    reference="crypto_assets/transforms/macro.py",
)  # fmt: skip

CHUNK = Chunk(days=COINGECKO_RANGE_DAYS, hourly_rows=None)
SETTLES_AFTER = timedelta(hours=2)
WEEKDAYS = Freshness(warn_after=timedelta(hours=36), late_after=timedelta(days=5), by_coin=False)  # over a long weekend
EACH_DAY = Freshness(warn_after=timedelta(hours=36), late_after=timedelta(hours=48), by_coin=False)
KINDS = frozenset({"fred"})


SPECS = (
    TableSpec(
        contract=MACRO_SERIES,
        group="macro",
        kinds=KINDS,
        owner=OWNER,
        rows_from=FromProvider(pool="fred", settles_after=SETTLES_AFTER, history=FULL_HISTORY, newest_only=False),
        when=frozenset({When.TICK, When.SETTLE, When.NOON}),
        freshness=WEEKDAYS,
        expected=BusinessDays(
            note="what is of a business day is published by the next midnight UTC, so the day after it has rows"
        ),
        chunk=CHUNK,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=MACRO_INDICATORS,
        group="macro",
        kinds=KINDS,
        owner=OWNER,
        rows_from=FromProvider(pool="fred", settles_after=SETTLES_AFTER, history=FULL_HISTORY, newest_only=False),
        when=frozenset({When.TICK, When.SETTLE, When.NOON}),
        freshness=EACH_DAY,
        expected=DaysWithRows(note="each day has the readings in force"),
        chunk=CHUNK,
        read_by_features=AsOf(known_within=timedelta(days=1)),
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
