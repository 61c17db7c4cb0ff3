"""Every table is declared once: what a spec must say, what it may not contradict, and what follows from the specs."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from datetime import timedelta
from typing import Any

import pytest

from crypto_assets.tables import registry
from crypto_assets.tables.contract import WriteMode
from crypto_assets.tables.registry import TABLES, in_order
from crypto_assets.tables.spec import (
    DaysWithRows,
    DerivedFrom,
    EachCoin,
    Freshness,
    FromFirstRow,
    FromProvider,
    HoursOf,
    NothingDue,
    RowsOf,
    TableSpec,
    When,
)

NAMES = [field.name for field in fields(TableSpec)]
PRICES, ENHANCED, FEATURES = TABLES["prices"], TABLES["onchain_enhanced"], TABLES["ml_features"]


@pytest.mark.parametrize("name", NAMES)
def test_a_field_that_is_missing_is_named_with_its_table(name: str) -> None:
    given: dict[str, Any] = {field: getattr(PRICES, field) for field in NAMES if field != name}
    table = "prices" if name != "contract" else "a table without a contract"
    with pytest.raises(TypeError, match=f"^{table}: its TableSpec lacks {name};"):
        TableSpec(**given)


@pytest.mark.parametrize(
    "rows",
    [PRICES.rows_from, ENHANCED.rows_from, PRICES.freshness, PRICES.chunk, PRICES.expected, PRICES.read_by_features],
)
def test_a_field_that_is_missing_in_a_part_of_a_spec_is_named(rows: Any) -> None:
    for name in (field.name for field in fields(rows) if field.default is MISSING):
        given: dict[str, Any] = {field.name: getattr(rows, field.name) for field in fields(rows) if field.name != name}
        with pytest.raises(TypeError, match=f"^{type(rows).__name__} lacks {name}; "):
            type(rows)(**given)


def test_an_enhanced_table_has_the_key_of_its_base_and_its_rows() -> None:
    assert registry.enhanced() == {"onchain_enhanced": "onchain_base"}
    assert "article_narratives" not in registry.enhanced(), "several analysers judge one article"


def test_only_a_feed_shows_the_newest_rows_alone() -> None:
    assert registry.newest_only() == ("news_articles", "social_posts")


def _rows(**changed: Any) -> DerivedFrom:
    assert isinstance(ENHANCED.rows_from, DerivedFrom)
    return replace(ENHANCED.rows_from, **changed)


@pytest.mark.parametrize(
    ("spec", "field", "changed"),
    [
        (PRICES, "kinds", frozenset()),
        (PRICES, "when", frozenset()),
        (PRICES, "when", frozenset({When.NOON})),
        (PRICES, "freshness", None),
        (PRICES, "expected", NothingDue()),
        (PRICES, "expected", FromFirstRow()),
        (PRICES, "chunk", None),
        (TABLES["derivatives"], "expected", DaysWithRows(note="")),
        (TABLES["defi_metrics"], "expected", EachCoin(rows_per_day=1, identifier=None, kept=False)),
        (TABLES["defi_metrics"], "freshness", Freshness(warn_after=timedelta(1), late_after=timedelta(2), by_coin=True)),
        (ENHANCED, "rows_from", _rows(inputs={})),
        (ENHANCED, "rows_from", _rows(required=())),
        (ENHANCED, "rows_from", _rows(required=("prices",))),
        (ENHANCED, "rows_from", _rows(columns={"no_such_column": ()})),
        (ENHANCED, "expected", RowsOf(table="prices", distinct=None, note="")),
        (FEATURES, "expected", HoursOf(tables=("prices", "kraken_ohlc"))),
        (TABLES["quarantine"], "when", frozenset({When.TICK})),
        (TABLES["api_usage"], "read_by_features", PRICES.read_by_features),
    ],
)  # fmt: skip
def test_a_field_that_contradicts_another_is_named_with_its_table(spec: TableSpec, field: str, changed: Any) -> None:
    with pytest.raises(TypeError, match=f"^{spec.table}: {field} of its TableSpec is wrong: "):
        replace(spec, **{field: changed})


def test_two_tables_of_one_name_are_an_error() -> None:
    with pytest.raises(TypeError, match=r"^prices: two TableSpecs have this name"):
        in_order([PRICES, PRICES])


def test_an_input_without_a_spec_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"^onchain_enhanced: rows_from of its TableSpec names onchain_base"):
        in_order([PRICES, ENHANCED])


def test_a_table_that_rests_on_itself_is_an_error() -> None:
    rows = _rows(inputs={"onchain_enhanced": 1}, required=("onchain_enhanced",), columns={})
    again = replace(ENHANCED, rows_from=rows, expected=RowsOf(table="onchain_enhanced", distinct=None, note=""))
    with pytest.raises(
        TypeError, match=r"^onchain_enhanced: rows_from of its TableSpec makes the table depend on itself"
    ):
        in_order([again])


def test_a_lineage_of_a_column_that_is_not_there_is_an_error() -> None:
    wrong = replace(ENHANCED, rows_from=_rows(columns={"nvt_ratio": ("onchain_base.no_such_column",)}))
    with pytest.raises(TypeError, match=r"^onchain_enhanced: .* says nvt_ratio comes from onchain_base.no_such_column"):
        in_order([TABLES["onchain_base"], wrong])


def test_inputs_come_first() -> None:
    place = {table: number for number, table in enumerate(TABLES)}
    for table, inputs in registry.look_back().items():
        assert all(place[name] < place[table] for name in inputs), table
    assert in_order(reversed(list(TABLES.values()))).keys() == TABLES.keys()


def test_what_shows_the_present_only_keeps_what_was_seen_first() -> None:
    """A second look of the day must not replace what was known at the first."""
    for table, spec in TABLES.items():
        if isinstance(spec.rows_from, FromProvider):
            present_only = spec.rows_from.settles_after is None
            assert (spec.contract.write_mode is WriteMode.KEEP) == present_only, table


def test_every_table_with_days_has_a_time_to_be_filled_and_to_be_late() -> None:
    filled = {table for when in When for table in registry.filled(when)}
    assert filled == set(registry.freshness()) == {table for table, spec in TABLES.items() if spec.by_day}


def test_each_list_follows_from_the_specs() -> None:
    """A copy of a spec under another name is in every list that the first one is in."""
    copy = replace(PRICES, contract=replace(PRICES.contract, table="prices_again"))
    before = TABLES.copy()
    TABLES["prices_again"] = copy
    try:
        for listed in (
            registry.provider_tables(), registry.settles_after(), registry.freshness(), registry.filled(When.TICK),
            registry.each_coin(), registry.demo_history(),
        ):  # fmt: skip
            assert ("prices" in listed) and ("prices_again" in listed)
        for other in (
            registry.snapshots(),
            registry.records(),
            registry.unpartitioned(),
            registry.look_back(),
            registry.own_pods(),
        ):
            assert not {"prices", "prices_again"} & set(other)
    finally:
        TABLES.clear()
        TABLES.update(before)
