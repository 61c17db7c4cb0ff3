"""How each table declares its quality: every contract, with its reason; rows seen in time and too late."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone

import polars as pl
import pytest

from crypto_assets.tables.contract import Contract
from crypto_assets.tables.pit_quality import PIT_QUALITY, QUALITIES, Always, SeenInTime, WorstOfInputs
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.schemas import CONTRACTS, ONCHAIN_BASE, ONCHAIN_ENHANCED, PRICES
from crypto_assets.tables.spec import DerivedFrom, TableSpec
from crypto_assets_tests.tables.test_contract import sample

T = datetime(2026, 3, 1, 6, tzinfo=timezone.utc)


@pytest.mark.parametrize("spec", TABLES.values(), ids=TABLES)
def test_every_table_says_how_its_rows_are_known(spec: TableSpec) -> None:
    contract = spec.contract
    column = contract.by_name[PIT_QUALITY]
    assert not column.nullable
    assert set(column.allowed or ()) <= set(QUALITIES)
    assert contract.pit_quality.said in column.description
    assert PIT_QUALITY not in contract.value_columns
    assert contract.names.index(PIT_QUALITY) == contract.names.index("available_at") + 1
    assert isinstance(contract.pit_quality, WorstOfInputs) == isinstance(spec.rows_from, DerivedFrom)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_a_row_that_does_not_say_has_the_contracts_quality(contract: Contract) -> None:
    rule = contract.pit_quality
    worst = (
        "backfilled" if "backfilled" in rule.allowed else "vintage"
    )  # indicators are never made of backfilled values
    expected = rule.quality if isinstance(rule, Always) else worst
    said = sample(contract)
    for frame in (said.drop(PIT_QUALITY), said.with_columns(pl.lit(None, pl.String).alias(PIT_QUALITY))):
        assert contract.validate(frame)[PIT_QUALITY].to_list() == [expected] * 3
    kept = said.with_columns(pl.Series(PIT_QUALITY, [None, None, rule.allowed[0]]))
    assert contract.validate(kept)[PIT_QUALITY].to_list() == [expected, expected, rule.allowed[0]]


def test_rows_are_first_seen_up_to_the_limit() -> None:
    rule = SeenInTime(timedelta(days=1), "it revises")
    ages = [timedelta(), timedelta(days=1), timedelta(days=1, microseconds=1), timedelta(days=900), -timedelta(hours=3)]
    found = pl.DataFrame({"available_at": [T - age for age in ages]}).select(rule.of_rows(T)).to_series()
    assert found.to_list() == ["first_seen", "first_seen", "backfilled", "backfilled", "first_seen"]


@pytest.mark.parametrize(
    ("table", "wrong", "words"),
    [
        ("onchain_enhanced", Always("final", "no"), "pit_quality is WorstOfInputs in derived tables"),
        ("prices", WorstOfInputs(by="symbol"), "pit_quality is WorstOfInputs in derived tables"),
        ("onchain_enhanced", WorstOfInputs(by="venue"), "pit_quality.by is a column of the contract"),
    ],
)
def test_a_spec_that_contradicts_itself_fails_at_import(table: str, wrong: object, words: str) -> None:
    contract = dataclasses.replace(CONTRACTS[table], pit_quality=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"^{table}: contract of its TableSpec is wrong: {words}"):
        dataclasses.replace(TABLES[table], contract=contract)


def test_a_quality_that_is_none_fails_at_import() -> None:
    with pytest.raises(TypeError, match="'perfect'; it is one of final, vintage, first_seen, backfilled"):
        Always("perfect", "")


def test_a_contract_without_a_rule_fails_at_import_by_name() -> None:
    with pytest.raises(TypeError, match=r"^prices: its contract does not say pit_quality"):
        dataclasses.replace(PRICES, pit_quality=None)  # type: ignore[arg-type]


def test_a_replaced_rule_replaces_the_column() -> None:
    other = dataclasses.replace(PRICES, pit_quality=Always("vintage", "the provider dates it"))
    assert other.names == PRICES.names
    assert other.by_name[PIT_QUALITY].description.endswith("Always vintage: the provider dates it.")
    assert ONCHAIN_BASE.pit_quality.unsaid == ONCHAIN_ENHANCED.pit_quality.unsaid == "backfilled"
