"""The gate before every write: pandera really checks bounds, and the sentences say what broke."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pandas as pd
import polars as pl
import pytest

from crypto_assets.contract import Contract
from crypto_assets.errors import ContractError
from crypto_assets.schemas import CONTRACTS, OHLC

ROW = {
    "symbol": "BTC",
    "ts": datetime(2024, 1, 1, 5, tzinfo=timezone.utc),
    "date": date(2024, 1, 1),
    "available_at": datetime(2024, 1, 1, 6, tzinfo=timezone.utc),
    "source": "binance_usdt",
    "open": 10.0,
    "high": 12.0,
    "low": 9.0,
    "close": 11.0,
    "volume": 3.0,
}


def bar(**changes: object) -> pd.DataFrame:
    return pd.DataFrame([{**ROW, **changes}])


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


def test_columns_too_many_and_too_few() -> None:
    with pytest.raises(ContractError, match=r"not in the contract: \['extra'\]"):
        OHLC.validate(bar(extra=1))
    with pytest.raises(ContractError, match=r"missing: \['close'\]"):
        OHLC.validate(bar().drop(columns="close"))


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
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
