"""What breaks a contract is set aside cell by cell and row by row, for every table that a provider feeds."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import polars as pl
import pytest

from crypto_assets.errors import ContractError, SourceError
from crypto_assets.sources.fetched import Fetched
from crypto_assets.sources.screen import screen
from crypto_assets.tables.contract import TEXTS, TIMESTAMP, Column, Contract
from crypto_assets.tables.registry import provider_tables
from crypto_assets.tables.schemas import CONTRACTS, ONCHAIN_BASE, PRICES

DAY = date(2024, 5, 4)
TS = datetime(2024, 5, 4, tzinfo=timezone.utc)


def good(column: Column, n: int) -> Any:
    """A value that keeps the column's rules; another one in each row."""
    if column.name == "date":
        return DAY + timedelta(days=n)
    if column.dtype == TIMESTAMP:
        return TS + timedelta(days=n)
    if column.dtype == pl.String:
        return column.allowed[0] if column.allowed else f"{column.name}-{n}"
    if column.dtype == TEXTS:
        return ["BTC"]
    if column.dtype == pl.Boolean:
        return True
    low = column.lower if column.lower is not None else column.above if column.above is not None else 0.0
    value = low + 1 + n
    if column.upper is not None and column.dtype == pl.Float64:
        value = low + (column.upper - low) * (n + 1) / 10
    return int(value) if column.dtype == pl.Int64 else float(value)


def frame(contract: Contract, rows: int = 5) -> pd.DataFrame:
    data = {column.name: [good(column, n) for n in range(rows)] for column in contract.columns}
    for low, high in contract.ordered:  # bars: every price the same
        data[low] = data[high] = data[contract.ordered[0][0]]
    return pd.DataFrame(data)


def broken_values(column: Column) -> list[float]:
    found = [] if column.dtype != pl.Float64 else [float("inf"), float("-inf")]
    found += [column.lower - 1] if column.lower is not None else []
    found += [column.above] if column.above is not None else []
    found += [column.upper + 1] if column.upper is not None else []
    return found if column.dtype == pl.Float64 else [int(value) for value in found]


CASES = [
    (table, column.name, value)
    for table in provider_tables()
    for column in CONTRACTS[table].columns
    if column.dtype in (pl.Float64, pl.Int64)
    for value in broken_values(column)
]


@pytest.mark.parametrize(("table", "name", "value"), CASES)
def test_one_cell_that_breaks_its_column_takes_no_other_row(table: str, name: str, value: float) -> None:
    contract = CONTRACTS[table]
    whole = frame(contract)
    contract.validate(whole)
    bad = whole.copy()
    bad.loc[2, name] = value
    with pytest.raises(ContractError):
        contract.validate(bad)
    result = screen(contract, Fetched(bad))
    stored = contract.validate(result.frame)
    column = contract.by_name[name]
    expected = contract.conform(whole)
    day = whole["date"][2]
    if column.nullable:
        assert stored.height == 5 and stored.filter(date=day)[name].to_list() == [None]
        assert stored.drop(name).equals(expected.drop(name))
    else:
        assert stored.equals(expected.filter(pl.col("date") != day))
    (record,) = result.set_aside
    assert (record.day, record.column) == (day, name if column.nullable else "") and record.reason and record.example
    key = contract.key[0]
    assert record.subject == (whole[key][2] if contract.by_name[key].dtype == pl.String else "MARKET")


@pytest.mark.parametrize("table", provider_tables())
def test_what_keeps_the_contract_is_handed_on_as_it_is(table: str) -> None:
    whole = Fetched(frame(CONTRACTS[table]))
    assert screen(CONTRACTS[table], whole) is whole


@pytest.mark.parametrize("table", provider_tables())
def test_rows_that_contradict_each_other_are_left_out_and_said_twice_is_once(table: str) -> None:
    contract = CONTRACTS[table]
    whole = frame(contract)
    twice = screen(contract, Fetched(pd.concat([whole, whole.iloc[[1]]], ignore_index=True)))
    assert contract.validate(twice.frame).equals(contract.conform(whole)) and twice.set_aside == ()
    other = whole.iloc[[1]].assign(source="another")
    contradicted = screen(contract, Fetched(pd.concat([whole, other], ignore_index=True)))
    assert contract.validate(contradicted.frame).equals(contract.conform(whole.drop(index=1)))
    (record,) = contradicted.set_aside
    assert (record.count, record.reason) == (2, "given twice with different values")


def test_rows_against_a_rule_between_columns_are_left_out() -> None:
    for table in provider_tables():
        contract = CONTRACTS[table]
        whole = frame(contract)
        for low, _ in contract.ordered:
            bad = whole.copy()
            bad.loc[2, low] = bad[low].max() * 2
            assert list(screen(contract, Fetched(bad)).frame.index) == [0, 1, 2, 3], (table, low)
        if contract.time_column is not None:
            bad = whole.copy()
            bad[contract.time_column] = [
                one + timedelta(days=40 * (n == 2)) for n, one in enumerate(bad[contract.time_column])
            ]
            (record,) = screen(contract, Fetched(bad)).set_aside
            assert record.reason == "its time lies outside its day" and record.day == whole["date"][2]


def test_where_most_rows_break_the_contract_nothing_of_it_is_trusted() -> None:
    bad = frame(PRICES)
    bad.loc[:2, "price_usd"] = -1.0
    with pytest.raises(SourceError, match=r"3 of 5 row\(s\).*price_usd is not above 0.*nothing was written"):
        screen(PRICES, Fetched(bad))


def test_a_frame_of_other_columns_is_our_own_fault_and_is_left_to_the_write() -> None:
    for bad in (frame(ONCHAIN_BASE).drop(columns="source"), frame(ONCHAIN_BASE).assign(fees_usd="much")):
        fetched = Fetched(bad)
        assert screen(ONCHAIN_BASE, fetched) is fetched
