"""The worst quality among inputs, against a plain loop over all rows; chunks and later rows do not show."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.tables.pit_quality import PIT_QUALITY, QUALITIES, WorstOfInputs
from crypto_assets.tables.schemas import DEFI_METRICS, NARRATIVES, ONCHAIN_BASE, PRICES
from crypto_assets.tables.worst_quality import MARKET, Input, with_worst_quality

FIRST = date(2026, 3, 1)
DAYS, COINS = 9, ("BTC", "ETH", "XRP")
BY_COIN, BY_NONE = WorstOfInputs(by="symbol"), WorstOfInputs(by=None)
LOOK_BACK = {"onchain_base": 3, "defi_metrics": 0, "narratives": 5}
OF_INPUTS = {"onchain_base": ONCHAIN_BASE, "defi_metrics": DEFI_METRICS, "narratives": NARRATIVES}


def known(day: int, hours: int) -> datetime:
    opened = FIRST + timedelta(days=day)
    return datetime(opened.year, opened.month, opened.day, tzinfo=timezone.utc) + timedelta(hours=hours)


def frame(rows: list[dict[str, Any]], *names: str) -> pl.DataFrame:
    kinds = {"symbol": pl.String, "date": pl.Date, "available_at": pl.Datetime("us", "UTC"), PIT_QUALITY: pl.String}
    return pl.DataFrame(rows, schema={name: kinds[name] for name in names})


@st.composite
def inputs(draw: st.DrawFn) -> dict[str, pl.DataFrame]:
    """Rows of three inputs that come late and out of order; those of one are about the whole market."""
    found = {}
    for table in LOOK_BACK:
        rows = draw(
            st.lists(
                st.tuples(
                    st.sampled_from([*COINS[:2], MARKET if table == "narratives" else "DOGE"]),
                    st.integers(0, DAYS - 1),
                    st.integers(0, 100),
                    st.sampled_from(QUALITIES),
                ),
                max_size=12,
            )
        )
        cells = [
            {
                "symbol": symbol,
                "date": FIRST + timedelta(days=day),
                "available_at": known(day, hours),
                PIT_QUALITY: quality,
            }
            for symbol, day, hours, quality in rows
        ]
        names = ("date", "available_at", PIT_QUALITY)
        found[table] = frame(cells, *(() if table == "defi_metrics" else ("symbol",)), *names)
    return found


def derived(first: int = 0, last: int = DAYS - 1) -> pl.DataFrame:
    rows = [
        {"symbol": symbol, "date": FIRST + timedelta(days=day), "available_at": known(day, hour)}
        for symbol in COINS
        for day in range(first, last + 1)
        for hour in (0, 7, 30)
    ]
    return frame(rows, "symbol", "date", "available_at")


def quality(rule: WorstOfInputs, rows: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> list[str]:
    given_ = {table: Input(OF_INPUTS[table], part, LOOK_BACK[table]) for table, part in tables.items()}
    return with_worst_quality(rule, rows, given_)[PIT_QUALITY].to_list()


def by_hand(rule: WorstOfInputs, rows: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> list[str]:
    """The definition, row by row."""
    found = []
    for row in rows.iter_rows(named=True):
        worst = 0
        for table, part in tables.items():
            for one in part.iter_rows(named=True):
                age = (row["date"] - one["date"]).days
                mine = rule.by is None or "symbol" not in one or one["symbol"] in (row["symbol"], MARKET)
                if 0 <= age <= LOOK_BACK[table] and mine and one["available_at"] <= row["available_at"]:
                    worst = max(worst, QUALITIES.index(one[PIT_QUALITY]))
        found.append(QUALITIES[worst])
    return found


@settings(max_examples=150, deadline=None)
@given(inputs(), st.sampled_from([BY_COIN, BY_NONE]))
def test_a_row_carries_the_worst_of_the_rows_that_it_may_rest_on(tables, rule) -> None:
    assert quality(rule, derived(), tables) == by_hand(rule, derived(), tables)


@settings(max_examples=60, deadline=None)
@given(inputs(), st.sampled_from([BY_COIN, BY_NONE]), st.integers(0, DAYS - 2))
def test_chunks_do_not_show(tables, rule, cut) -> None:
    """Each chunk sees the rows of its own days and their look-back only."""
    parts = []
    for first, last in ((0, cut), (cut + 1, DAYS - 1)):
        loaded = {
            table: rows.filter(
                pl.col("date").is_between(
                    FIRST + timedelta(days=first - LOOK_BACK[table]), FIRST + timedelta(days=last)
                )
            )
            for table, rows in tables.items()
        }
        chunk = derived(first, last)
        parts.append(chunk.with_columns(pl.Series(PIT_QUALITY, quality(rule, chunk, loaded))))
    key = ["symbol", "date", "available_at"]
    whole = derived().with_columns(pl.Series(PIT_QUALITY, quality(rule, derived(), tables)))
    assert pl.concat(parts).sort(key).equals(whole.sort(key))


@settings(max_examples=60, deadline=None)
@given(inputs(), st.sampled_from([BY_COIN, BY_NONE]), st.integers(0, 24 * DAYS))
def test_what_became_known_later_changes_nothing(tables, rule, hours) -> None:
    instant = known(0, hours)
    before = {table: rows.filter(pl.col("available_at") <= instant) for table, rows in tables.items()}
    rows = derived().filter(pl.col("available_at") <= instant)
    assert quality(rule, rows, before) == quality(rule, rows, tables)


def test_a_row_that_does_not_say_counts_as_its_contract_says() -> None:
    rows = frame([{"symbol": "BTC", "date": FIRST, "available_at": known(0, 0)}], "symbol", "date", "available_at")
    for contract, expected in ((PRICES, "final"), (ONCHAIN_BASE, "backfilled")):
        found = with_worst_quality(BY_COIN, rows, {contract.table: Input(contract, rows, 0)})
        assert found[PIT_QUALITY].to_list() == [expected]


@pytest.mark.parametrize("rule", [BY_COIN, BY_NONE])
def test_rows_without_inputs_are_final_and_none_stay_none(rule: WorstOfInputs) -> None:
    none = {table: frame([], "symbol", "date", "available_at", PIT_QUALITY) for table in LOOK_BACK}
    assert quality(rule, derived(0, 0), none) == ["final"] * 9
    assert quality(rule, derived(0, 0).clear(), none) == []
