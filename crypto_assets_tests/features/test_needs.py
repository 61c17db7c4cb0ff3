"""What the definitions say must be there, against the engine: inputs are deleted at random, and nulls compared cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from crypto_assets.catalog import by_symbol
from crypto_assets.features.all_features import DERIVED, FEATURES
from crypto_assets.features.feature import Feature, Need, column_of, entity_of, table_of
from crypto_assets.features.lookback import HOURLY
from crypto_assets.tables import schemas
from crypto_assets.tables.derivatives import VENUES
from crypto_assets.transforms.onchain import enhance
from crypto_assets_tests.features.frames import DAY, DELAY, HOUR, Inputs, at, features, messy

START = date(2022, 1, 1)
SERVES = {"open_interest": 8, "implied_volatility": 24}  # hours that a value serves, its own included
There = Callable[[str, int], bool]


def holes(seed: int, share: float) -> Inputs:
    """The messy inputs, on time, with more holes: single hours of each table, single cells, and outages of any length."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, frame in messy(seed, START, 3, history=45, gaps=0.0, late=0.0).items():
        rows = frame.filter(pl.Series(rng.random(frame.height) >= share))
        for column in (c for c, kind in rows.schema.items() if kind == pl.Float64):
            if schemas.CONTRACTS[name].by_name[column].nullable:
                known = pl.Series(rng.random(rows.height) >= share)
                rows = rows.with_columns(pl.when(known).then(pl.col(column)).alias(column))
        found[name] = rows
    return found


class Stored:
    """Which cells of the inputs a row of one coin finds."""

    def __init__(self, data: Inputs, symbol: str, ts: datetime, venue: str = "binance") -> None:
        self.data, self.symbol, self.ts, self.venue = data, symbol, ts, venue
        self.own: dict[tuple[str, str | None], pl.DataFrame] = {}
        self.before: dict[int, Stored] = {}
        self.marks: dict[str, set[datetime]] = {}
        self.settled: dict[str, list[tuple]] = {}

    @cached_property
    def bars(self) -> dict[datetime, dict[str, Any]]:
        return {row["ts"] + HOUR: row for row in self._own("ohlc").iter_rows(named=True)}

    @cached_property
    def run(self) -> int:
        """The age of the oldest bar before which a hole is too long to fill."""
        age, hole = 0, 0
        while hole <= 24 and age < 2000:
            hole = 0 if self.ts - age * HOUR in self.bars else hole + 1
            age += 1
        return age - hole - 1

    def _own(self, table: str, entity: str | None = None) -> pl.DataFrame:
        if (table, entity) not in self.own:
            known = self.data[table].filter(pl.col("available_at") <= self.ts + DELAY)
            self.own[table, entity] = self._of_coin(known, entity)
        return self.own[table, entity]

    def _of_coin(self, frame: pl.DataFrame, entity: str | None) -> pl.DataFrame:
        if "venue" in frame.columns:
            venue = entity or self.venue
            return frame.filter(pl.col("symbol") == self.symbol, pl.col("venue") == venue)
        if "entity" in frame.columns:
            return frame.filter(
                pl.col("entity") == (by_symbol()[self.symbol].defillama if entity == "chain" else entity)
            )
        if "series" in frame.columns:
            return frame.filter(pl.col("series") == entity)
        return frame.filter(pl.col("symbol") == (entity or self.symbol)) if "symbol" in frame.columns else frame

    def bar(self, column: str, age: int, flat: bool, restarts: bool) -> bool:
        """Whether the bar of that age is there, in the run of the row's own where the feature restarts."""
        if restarts and age > self.run:
            return False
        mark, hole = self.ts - age * HOUR, 0
        while flat and mark - hole * HOUR not in self.bars and hole < 24:
            hole += 1
        edge = 0  # of a hole that the age is in: how much of it lies later
        while flat and hole and edge < age and mark + (edge + 1) * HOUR not in self.bars:
            edge += 1
        row = self.bars.get(mark - hole * HOUR)
        return row is not None and hole + edge <= 24 and row[column] is not None

    def hourly(self, name: str, age: int) -> bool:
        if table_of(name) == "funding_rates":
            return self.in_force(name, age)
        if name not in self.marks:
            rows = self._own(table_of(name), entity_of(name)).filter(pl.col(column_of(name)).is_not_null())
            late = (pl.col("available_at") > pl.col("ts") + DELAY) & (table_of(name) == "open_interest")
            delay = HOURLY[table_of(name)] * HOUR
            self.marks[name] = set(
                rows.select(pl.col("ts") + delay + pl.when(late).then(HOUR).otherwise(0 * HOUR))["ts"]
            )
        serves = SERVES.get(table_of(name), 1)
        return any(self.ts - (age + n) * HOUR in self.marks[name] for n in range(serves))

    def in_force(self, name: str, age: int) -> bool:
        """Whether the newest settlement by that hour is there, and no older than its interval and two hours."""
        mark = self.ts - age * HOUR
        if name not in self.settled:
            rows = self._own("funding_rates", entity_of(name)).sort("ts")
            self.settled[name] = list(rows.select("ts", hours="interval_hours", value=column_of(name)).rows())
        newest = next((row for row in reversed(self.settled[name]) if row[0] <= mark), None)
        return newest is not None and newest[2] is not None and mark - newest[0] < ((newest[1] or 8) + 2) * HOUR

    def looked_up(self, name: str, age: int, stale: timedelta) -> bool:
        then = self.ts - age * HOUR + DELAY
        if age not in self.before:
            self.before[age] = Stored(self.data, self.symbol, self.ts - age * HOUR)
        frame = self.before[age]._own(table_of(name), entity_of(name))
        return frame.filter(pl.col(column_of(name)).is_not_null() & (pl.col("available_at") + stale >= then)).height > 0


def is_met(need: Need, name: str, stored: Stored) -> bool:
    feature = FEATURES[name]

    def there(cell: str, age: int) -> bool:
        if table_of(cell) == "ohlc":
            flat = need.flat or (
                cell == "ohlc.close" and len(need.cells) > 1
            )  # whether it traded is seen by its volume
            return stored.bar(column_of(cell), age, flat, name != "bars_filled_7d")
        if feature.stale is not None and table_of(cell) not in HOURLY:
            return stored.looked_up(cell, age, feature.stale)
        return stored.hourly(cell, age)

    return need.met(there)


def expected(feature: Feature, stored: Stored) -> bool:
    """Whether one venue alone has all that the feature needs, or all that serves where its own inputs give nothing."""
    if all(is_met(need, feature.name, stored) for need in feature.needs):
        return True
    ages = {"open_interest_change_24h": (0, 24), "futures_volume_24h_usd": range(24)}.get(feature.name, (0,))
    served = [stored.hourly(name, age) for name in feature.instead for age in (ages if "prices" not in name else (0,))]
    return bool(served) and all(served)


@pytest.mark.parametrize(("seed", "share"), [(1, 0.0), (2, 0.001), (3, 0.03), (4, 0.15), (5, 0.25)])
def test_a_value_is_null_exactly_where_its_needs_are_not_met(seed: int, share: float) -> None:
    data = holes(seed, share)
    got = features(data, ["BTC", "SHIB"], START, START + 2 * DAY)
    rng = np.random.default_rng(seed)
    seen: dict[str, set[bool]] = {}
    for index in rng.choice(got.height, size=5, replace=False):
        row = got.row(int(index), named=True)
        venues = [Stored(data, row["symbol"], row["ts"], venue) for venue in VENUES]
        for name, feature in FEATURES.items():
            if not feature.inputs:
                continue
            met = any(expected(feature, stored) for stored in venues)
            value = row[name]
            if met and value is None and name in NULL_BY_VALUE:
                continue  # a window without range, volume or movement: its formula says so
            assert (value is not None) == met, f"{name} of {row['symbol']} at {row['ts']}: {feature.described()}"
            seen.setdefault(name, set()).add(met)
    assert sum(True in found for found in seen.values()) > 50


# Null where the formula has nothing to divide by, which flat bars and flat stretches of the inputs bring about.
NULL_BY_VALUE = {
    "stoch_k", "stoch_d", "stoch_slow_d", "williams_r_24", "donchian_position_20", "cci_20", "bb_percent_b", "mfi_14",
    "cmf_20", "vwap_24h", "close_to_vwap_24h", "obv_share_24h", "ultimate_oscillator",
    "hours_to_funding",  # the next settlement is due, and not known yet
    *(name for name in FEATURES if name.endswith("_hours_to_release")),  # the next release is overdue
}  # fmt: skip


def test_every_onchain_column_is_null_exactly_where_its_needs_are_not_met() -> None:
    rng = np.random.default_rng(7)
    inputs = [name for name in schemas.ONCHAIN_BASE.value_columns]
    for share in (0.0, 0.002, 0.02, 0.15):
        made = []
        for n in range(500):
            if rng.random() < share:
                continue
            day = START + DAY * n
            row = {"symbol": "BTC", "date": day, "available_at": at(day, 26), "source": "test"}
            row |= {c: float(rng.uniform(5, 90)) if rng.random() >= share else None for c in inputs}
            row["supply_current"] = 1000.0 + n if row["supply_current"] is not None else None
            made.append(row)
        base = pd.DataFrame(made, columns=schemas.ONCHAIN_BASE.names)
        base["available_at"] = base["available_at"].astype("datetime64[us, UTC]")
        stored = {(row["date"], c) for row in made for c in inputs if row[c] is not None}
        got = enhance(base, START + DAY * 300, START + DAY * 499)
        for column in DERIVED:
            for day, value in zip(got["date"], got[column.name], strict=True):
                met = all(
                    need.met(lambda c, age, day=day, stored=stored: (day - DAY * age, c) in stored)
                    for need in column.needs
                )
                assert (not np.isnan(value)) == met, f"{column.name} of {day}: {column.described()}"


def test_the_sentences_are_made_of_the_needs() -> None:
    said = {name: feature.described() for name, feature in FEATURES.items()}
    assert (
        "Null unless price_usd at the row and price_usd 24 hour(s) before are there; nothing between counts"
        in said["return_24h"]
    )
    assert (
        "Null where fewer than 20 of the last 24 hours have price_usd, each with the hour before"
        in said["volatility_24h"]
    )
    assert "Null unless each of the last 20 bars has close" in said["sma_20"]
    derived = {column.name: column.described() for column in DERIVED}
    assert "7 day(s) before are there; nothing between counts" in derived["active_addresses_change_7d"]
    assert "Null unless each of the last 8 days has price_usd" in derived["price_volatility_7d"]
