"""The gate before every write: every bound is really checked, and the sentences say what broke."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.errors import ContractError
from crypto_assets.tables.contract import Column, Contract
from crypto_assets.tables.pit_quality import QUALITIES, WorstOfInputs
from crypto_assets.tables.schemas import CONTRACTS, OHLC, PRICES

ROW = {
    "symbol": "BTC",
    "ts": datetime(2024, 1, 1, 5, tzinfo=timezone.utc),
    "date": date(2024, 1, 1),
    "available_at": datetime(2024, 1, 1, 6, tzinfo=timezone.utc),
    "pit_quality": "final",
    "source": "binance_usdt",
    "open": 10.0,
    "high": 12.0,
    "low": 9.0,
    "close": 11.0,
    "volume": 3.0,
    "factor": 1.0,
}


def bar(**changes: object) -> pd.DataFrame:
    return pd.DataFrame([{**ROW, **changes}])


def cell(column: Column, n: int) -> Any:
    """A value that the column allows; rows differ in their keys only."""
    day = date(2024, 1, 1 + n)
    if column.allowed:
        return column.allowed[0]
    if column.dtype == pl.Date:
        return day
    if isinstance(column.dtype, pl.Datetime):
        return datetime(day.year, day.month, day.day, 7, tzinfo=timezone.utc)
    if isinstance(column.dtype, pl.List):
        return ["BTC"]
    if column.dtype == pl.String:
        return f"{column.name}-{n}"
    if column.dtype == pl.Boolean:
        return True
    if column.above is not None:
        return column.above + 1
    return column.lower if column.lower is not None else column.upper or 0


def sample(contract: Contract, count: int = 3) -> pl.DataFrame:
    found = [{column.name: cell(column, n) for column in contract.columns} for n in range(count)]
    earlier = [pl.col(early) - timedelta(hours=1) for early, _ in contract.before]
    return pl.DataFrame(found, schema=contract.polars_schema).with_columns(earlier)


every_contract = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)


def broken_columns(contract: Contract, changes: list[pl.Expr]) -> set[str]:
    """The columns that break a rule in all three rows once the sample is changed."""
    problems = contract.violations(sample(contract).with_columns(changes))
    return {line.split()[0] for line in problems if " breaks " in line and " in 3 row(s)" in line}


@pytest.mark.parametrize("contract", [c for c in CONTRACTS.values() if c.before], ids=lambda c: c.table)
def test_an_instant_that_must_come_before_is_refused_at_the_same_instant(contract: Contract) -> None:
    early, late = contract.before[0]
    problems = contract.violations(sample(contract).with_columns(pl.col(late).alias(early)))
    assert [line.split(" in ")[0] for line in problems] == [f"{early} is not before {late}"]


@every_contract
def test_a_sample_within_its_bounds_passes(contract: Contract) -> None:
    assert contract.violations(sample(contract)) == []
    assert contract.validate(sample(contract)).height == 3
    optional = [column.name for column in contract.columns if column.nullable]
    assert contract.validate(sample(contract).drop(optional)).select(optional).null_count().row(0) == (3,) * len(
        optional
    )


def just_outside(column: Column) -> list[pl.Expr]:
    """A lower and an upper value that the column's bounds exclude by as little as possible."""
    integer = column.dtype == pl.Int64
    low = column.above if column.above is not None else column.lower
    step = 1 if integer else 1e-9
    below = [] if low is None else [low if column.above is not None else low - step]
    beyond = [] if column.upper is None else [column.upper + step]
    if column.allowed:
        return [pl.lit("nobody's").alias(column.name)]
    return [pl.lit(value, dtype=column.dtype).alias(column.name) for value in below + beyond]


@every_contract
def test_every_bound_of_every_column_holds(contract: Contract) -> None:
    """Each bound of each column is really crossed."""
    bounded = {column.name: just_outside(column) for column in contract.columns}
    for side in (0, -1):
        wrong = {name: expressions[side] for name, expressions in bounded.items() if expressions}
        assert broken_columns(contract, list(wrong.values())) >= set(wrong)


@every_contract
def test_null_and_infinite_are_refused_in_every_column(contract: Contract) -> None:
    required = {column.name for column in contract.columns if not column.nullable}
    nulls = [pl.lit(None, dtype=contract.polars_schema[name]).alias(name) for name in contract.names]
    refused = {words.split()[0] for words in contract.violations(sample(contract).with_columns(nulls))}
    assert refused & set(contract.names) == required, "and an optional column may be empty"
    floats = {column.name for column in contract.columns if column.dtype == pl.Float64}
    for infinite in (float("inf"), float("-inf")):
        problems = contract.violations(sample(contract).with_columns(pl.lit(infinite).alias(name) for name in floats))
        finite = {words.split()[0] for words in problems if "breaks finite in 3 row(s)" in words}
        assert finite == floats


@every_contract
def test_no_key_twice_in_any_table(contract: Contract) -> None:
    twice = pl.concat([sample(contract), sample(contract, 1)])
    with pytest.raises(ContractError, match=r"1 rule\(s\) broken, nothing was written: .*unique.* in 2 row\(s\)"):
        contract.validate(twice)


def test_a_good_row_passes_in_the_contracts_order_and_types() -> None:
    frame = OHLC.validate(bar()[list(reversed(ROW))])
    assert frame.schema == OHLC.polars_schema
    assert frame.row(0, named=True) == ROW


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"open": -1.0, "low": -2.0}, "open breaks"),
        ({"volume": -0.5}, "volume breaks"),
        ({"close": float("inf")}, "close breaks finite"),
        ({"close": None}, "close breaks"),
        ({"symbol": None}, "symbol breaks"),
        ({"close": "eleven"}, "type"),
        ({"low": 11.5}, "low is above"),
        ({"high": 10.5}, "close is above high"),
        ({"date": date(2024, 1, 2)}, "date is not the UTC day of ts"),
    ],
)
def test_each_kind_of_broken_rule_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ContractError, match=words) as caught:
        OHLC.validate(bar(**changes))
    assert "ohlc" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_sentence_counts_and_shows_an_example() -> None:
    frame = pd.concat([bar(ts=datetime(2024, 1, 1, n, tzinfo=timezone.utc), volume=float(-n)) for n in range(4)])
    with pytest.raises(ContractError, match=r"volume breaks .* in 3 row\(s\), e\.g\. -1"):
        OHLC.validate(frame)


def test_a_key_twice_is_refused() -> None:
    with pytest.raises(ContractError, match="symbol"):
        OHLC.validate(pd.concat([bar(), bar(close=11.5)]))


def test_nan_is_unknown() -> None:
    assert OHLC.validate(bar(volume=float("nan")))["volume"].to_list() == [None]
    with pytest.raises(ContractError, match=r"close breaks not_nullable in 1 row\(s\)"):
        OHLC.validate(pl.DataFrame([ROW]).with_columns(close=pl.lit(float("nan"))))


def test_the_sentence_names_the_first_three_rules_and_counts_all() -> None:
    with pytest.raises(ContractError, match=r"ohlc: [45] rule\(s\) broken, nothing was written: ") as caught:
        OHLC.validate(bar(open=-1.0, high=-1.0, low=-1.0, close=-1.0, volume=-1.0))
    assert str(caught.value).count(" breaks ") == 3
    assert "docs/data-dictionary.md" in str(caught.value)


def test_an_instant_in_another_zone_is_the_same_instant() -> None:
    tokyo = pl.DataFrame([ROW]).with_columns(pl.col("ts", "available_at").dt.convert_time_zone("Asia/Tokyo"))
    assert OHLC.validate(tokyo).row(0, named=True) == ROW
    nanoseconds = pl.DataFrame([ROW]).with_columns(pl.col("ts").dt.cast_time_unit("ns"))
    assert OHLC.validate(nanoseconds).schema == OHLC.polars_schema


def test_a_time_without_a_zone_is_utc_and_a_local_one_is_found_by_its_day() -> None:
    naive = pl.DataFrame([ROW]).with_columns(pl.col("ts").dt.replace_time_zone(None))
    assert OHLC.validate(naive).row(0, named=True) == ROW
    local = naive.with_columns(pl.col("ts") - timedelta(hours=6))  # what New York's clock showed
    with pytest.raises(ContractError, match="date is not the UTC day of ts"):
        OHLC.validate(local)


@pytest.mark.parametrize(
    "wrong",
    [pl.lit("yesterday").alias("ts"), pl.lit("01.01.2024").alias("date"), pl.lit(["BTC"]).alias("close")],
)
def test_a_value_of_another_type_is_refused_and_not_made_null(wrong: pl.Expr) -> None:
    with pytest.raises(ContractError, match="ohlc: a value does not fit its column's type"):
        OHLC.validate(pl.DataFrame([ROW]).with_columns(wrong))


def test_rows_come_sorted_by_key_and_the_index_does_not_matter() -> None:
    frame = pd.concat([bar(ts=datetime(2024, 1, 1, n, tzinfo=timezone.utc)) for n in (3, 1, 2)])
    assert list(frame.index) == [0, 0, 0]
    assert OHLC.validate(frame)["ts"].dt.hour().to_list() == [1, 2, 3]


def test_columns_too_many_and_too_few() -> None:
    with pytest.raises(ContractError, match=r"not in the contract: \['extra'\]"):
        OHLC.validate(bar(extra=1))
    with pytest.raises(ContractError, match=r"missing: \['close'\]"):
        OHLC.validate(bar().drop(columns="close"))


@every_contract
def test_every_contract_is_whole(contract: Contract) -> None:
    assert {"date", "available_at"} <= set(contract.names)
    assert set(contract.key) <= set(contract.names)
    assert contract.grain
    assert contract.available_at_rule
    assert contract.value_columns
    for column in contract.columns:
        assert column.unit, column.name
        assert column.description.endswith((".", ":")) or column.name == "available_at", column.name
    assert all(not contract.by_name[name].nullable for name in contract.key)
    contract.validate(contract.empty())


def test_times_are_utc_microseconds_everywhere() -> None:
    for contract in CONTRACTS.values():
        times = [kind for kind in contract.polars_schema.values() if isinstance(kind, pl.Datetime)]
        assert set(times) <= {pl.Datetime("us", "UTC")}, contract.table


_EVERY_RULE = Contract(
    table="every_rule",
    description="",
    grain="",
    key=("k", "n"),
    columns=(
        Column("k", pl.String, "", "", nullable=False, allowed=("a", "b")),
        Column("n", pl.Int64, "", "", nullable=False, lower=0),
        Column("bounded", pl.Float64, "", "", lower=-1, upper=1),
        Column("above", pl.Float64, "", "", above=0),
        Column("free", pl.Float64, "", ""),
    ),
    available_at_rule="",
    pit_quality=WorstOfInputs(by=None),
    time_column=None,
)
_FLOATS = st.sampled_from([None, -1.0, 0.0, 0.5, 1.0, 1.5, float("inf"), float("-inf")])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "b", "c", None]),
            st.integers(-1, 6),
            _FLOATS,
            _FLOATS,
            _FLOATS,
            st.sampled_from(["final", "backfilled", "guessed", None]),
        ),
        max_size=4,
    )
)
def test_exactly_the_broken_rules_are_named_and_counted(rows):
    """The rules once more, row by row in plain Python."""
    expected = Counter()
    for k, n, bounded, above, free, quality in rows:
        expected["pit_quality breaks not_nullable"] += quality is None
        expected[f"pit_quality breaks isin({QUALITIES})"] += quality == "guessed"
        expected["k breaks not_nullable"] += k is None
        expected["k breaks isin(('a', 'b'))"] += k == "c"
        expected["n breaks greater_than_or_equal_to(0)"] += n < 0
        for name, value in (("bounded", bounded), ("above", above), ("free", free)):
            expected[f"{name} breaks finite"] += value is not None and math.isinf(value)
        expected["bounded breaks greater_than_or_equal_to(-1)"] += bounded is not None and bounded < -1
        expected["bounded breaks less_than_or_equal_to(1)"] += bounded is not None and bounded > 1
        expected["above breaks greater_than(0)"] += above is not None and above <= 0
    keys = Counter((k, n) for k, n, *_ in rows if k is not None)
    expected["k/n breaks unique"] = sum(count for count in keys.values() if count > 1)
    frame = pl.DataFrame(rows, schema=_EVERY_RULE.polars_schema, orient="row")
    found = {line.split(" in ")[0]: int(line.split(" in ")[1].split()[0]) for line in _EVERY_RULE.violations(frame)}
    assert found == +expected


def test_a_missing_surplus_or_mistyped_column_is_named():
    good = sample(OHLC)
    assert OHLC.violations(good.drop("close")) == ["close is missing"]
    assert OHLC.violations(good.with_columns(extra=1)) == ["extra is not in the contract"]
    assert OHLC.violations(good.cast({"close": pl.Int64})) == ["close is Int64, not Float64"]
    assert OHLC.violations(good.select(reversed(good.columns))) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"time_column": "at"}, "time_column of its contract names at, which is no column; write time_column=None"),
        ({"key": ("symbol", "when")}, "key of its contract names when, which is no column"),
        ({"keeps": ("gone",)}, "keeps of its contract names gone"),
        ({"ordered": (("low", "price_usd"),)}, "ordered of its contract names low"),
        ({"before": (("low", "available_at"),)}, "before of its contract names low"),
    ],
)
def test_a_contract_that_names_what_it_lacks_fails_at_import(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=f"^prices: {words}"):
        dataclasses.replace(PRICES, **changed)
