"""The record of what was set aside: written by each fetch, healed by the next, untouched by what says nothing about it."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pytest

from crypto_assets.assets import set_aside
from crypto_assets.automation.staleness import newest_metadata
from crypto_assets.operate import runs
from crypto_assets.operate.status import status
from crypto_assets.sources.fetched import Fetched, SetAside
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import (
    CONTRACTS,
    DEFI_METRICS,
    MARKET_SENTIMENT,
    NEWS_ARTICLES,
    ONCHAIN_BASE,
    PRICES,
    SET_ASIDE,
)
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform
from crypto_assets_tests.sources.wire_server import Request, serve

D1, D2, D3 = date(2024, 5, 4), date(2024, 5, 5), date(2024, 5, 6)
NOW = datetime(2024, 5, 8, 9, tzinfo=timezone.utc)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "warehouse"))


def answer(contract: Contract, rows: dict[str, list[date]], *aside: SetAside, **more: Any) -> Fetched:
    """A fetch that gave these subjects' days and set this aside."""
    given = [(subject, day) for subject, listed in rows.items() for day in listed]
    return Fetched(pd.DataFrame(given, columns=[contract.key[0], "date"]), set_aside=aside, **more)


def note(warehouse: Warehouse, contract: Contract, fetched: Fetched, end: date = D3, now: datetime = NOW) -> int:
    return set_aside.record(warehouse, contract, fetched, D1, end, now)


def stored(warehouse: Warehouse, *columns: str) -> list[Any]:
    rows = warehouse.read(SET_ASIDE).select(columns or ("table_name", "subject", "date", "count")).rows()
    return [row[0] if len(row) == 1 else row for row in rows]


BAD = SetAside("BTC", D2, "below 0", "fees_usd", 1, "-1")


def test_with_nothing_to_record_there_is_no_write_not_even_a_table(warehouse: Warehouse) -> None:
    assert note(warehouse, ONCHAIN_BASE, answer(ONCHAIN_BASE, {"BTC": [D1, D2, D3]})) == 0
    assert not warehouse.exists("set_aside")


def test_the_same_answers_change_nothing_and_a_healed_cell_leaves(warehouse: Warehouse) -> None:
    bad = answer(ONCHAIN_BASE, {"BTC": [D1, D2, D3]}, BAD)
    assert note(warehouse, ONCHAIN_BASE, bad) == 1
    before, version = warehouse.read(SET_ASIDE), warehouse.version("set_aside")
    assert before.row(0, named=True) == {
        "table_name": "onchain_base", "subject": "BTC", "date": D2, "column_name": "fees_usd", "reason": "below 0",
        "available_at": NOW, "pit_quality": "first_seen", "source": "platform", "count": 1, "example": "-1",
    }  # fmt: skip
    assert note(warehouse, ONCHAIN_BASE, bad, now=NOW + timedelta(hours=5)) == 1
    assert warehouse.version("set_aside") == version and warehouse.read(SET_ASIDE).equals(before)
    note(warehouse, ONCHAIN_BASE, answer(ONCHAIN_BASE, {"BTC": [D1, D2, D3]}))
    assert stored(warehouse) == []


def test_what_an_answer_says_nothing_about_keeps_its_record(warehouse: Warehouse) -> None:
    """Other coins, other days, other tables, and a coin that failed this time."""
    eth = SetAside("ETH", D2, "not finite", "fees_usd")
    note(warehouse, ONCHAIN_BASE, answer(ONCHAIN_BASE, {"BTC": [D1, D2], "ETH": [D2]}, BAD, eth))
    note(warehouse, DEFI_METRICS, answer(DEFI_METRICS, {"all": [D2]}, SetAside("Ton", D2, "below 0", "tvl_usd")))
    everything = stored(warehouse)
    assert len(everything) == 3
    for silent in (
        answer(ONCHAIN_BASE, {"SOL": [D1, D2, D3]}),
        answer(ONCHAIN_BASE, {"BTC": [D1, D3]}),
        answer(ONCHAIN_BASE, {}, failed={"BTC": "HTTP 500", "ETH": "HTTP 500"}),
    ):
        note(warehouse, ONCHAIN_BASE, silent)
        assert stored(warehouse) == everything
    note(warehouse, ONCHAIN_BASE, answer(ONCHAIN_BASE, {"BTC": [D2]}), end=D2)
    assert stored(warehouse, "subject") == ["Ton", "ETH"]


def test_a_reason_that_changes_replaces_the_former_one_of_that_day(warehouse: Warehouse) -> None:
    note(warehouse, ONCHAIN_BASE, answer(ONCHAIN_BASE, {"BTC": [D2]}, BAD))
    other = SetAside("BTC", D2, "not a number", "fees_usd", 1, "n/a")
    note(warehouse, ONCHAIN_BASE, answer(ONCHAIN_BASE, {}, other))
    assert stored(warehouse, "reason") == ["not a number"], "the row is left out this time, and its day was heard of"


def test_records_under_no_coins_name_go_with_their_day(warehouse: Warehouse) -> None:
    retired = SetAside("coinmetrics", D2, "the provider refuses the metric", "hash_rate")
    note(warehouse, ONCHAIN_BASE, answer(ONCHAIN_BASE, {"BTC": [D2]}, retired))
    note(warehouse, ONCHAIN_BASE, answer(ONCHAIN_BASE, {"BTC": [D1]}))
    assert stored(warehouse, "subject") == ["coinmetrics"]
    note(warehouse, ONCHAIN_BASE, answer(ONCHAIN_BASE, {"BTC": [D2]}))
    assert stored(warehouse) == []


def test_the_market_is_the_subject_where_a_table_has_none(warehouse: Warehouse) -> None:
    bad = SetAside("MARKET", D2, "above 100", example="400")
    note(warehouse, MARKET_SENTIMENT, Fetched(pd.DataFrame({"date": [D1, D3]}), set_aside=(bad,)))
    note(warehouse, MARKET_SENTIMENT, Fetched(pd.DataFrame({"date": [D1, D3]})))
    assert stored(warehouse, "subject") == ["MARKET"]
    note(warehouse, MARKET_SENTIMENT, Fetched(pd.DataFrame({"date": [D1, D2, D3]})))
    assert stored(warehouse) == []


def test_of_the_day_in_progress_nothing_is_lost_between_its_ticks(warehouse: Warehouse) -> None:
    """A tick asks for the newest hour of some coins; the close of the day asks for all of it."""
    hour = SetAside("BTC", D3, "not above 0", count=2)
    tick = datetime(2024, 5, 6, 9, tzinfo=timezone.utc)

    def today(fetched: Fetched, now: datetime) -> None:
        set_aside.record(warehouse, PRICES, fetched, D3, D3, now)

    today(answer(PRICES, {"BTC": [D3]}, hour), tick)
    today(answer(PRICES, {"BTC": [D3], "ETH": [D3]}), tick + timedelta(minutes=15))
    today(answer(PRICES, {"BTC": [D3]}, SetAside("BTC", D3, "not above 0")), tick + timedelta(minutes=30))
    assert stored(warehouse, "subject", "count") == [("BTC", 2)]
    today(answer(PRICES, {"BTC": [D3]}, SetAside("BTC", D3, "not above 0")), NOW)
    assert stored(warehouse, "subject", "count") == [("BTC", 1)], "the closed day is known as a whole"
    today(answer(PRICES, {"BTC": [D3]}), NOW)
    assert stored(warehouse) == []


def test_what_a_feed_no_longer_shows_stays_recorded(warehouse: Warehouse) -> None:
    bad = SetAside("paper", D2, "its time cannot be read")
    frame = pd.DataFrame({"article_id": ["a"], "date": [D2], "feed": ["paper"]})
    note(warehouse, NEWS_ARTICLES, Fetched(frame, set_aside=(bad,)))
    note(warehouse, NEWS_ARTICLES, Fetched(frame))
    assert stored(warehouse, "subject") == ["paper"]


def test_a_record_about_a_day_outside_the_run_stands_at_its_edge(warehouse: Warehouse) -> None:
    astray = [
        SetAside("BTC", day, "x", example=str(day)) for day in (D1 - timedelta(days=9), D3 + timedelta(days=9), D1)
    ]
    note(warehouse, PRICES, answer(PRICES, {}, *astray))
    assert stored(warehouse, "date", "count") == [(D1, 2), (D3, 1)]


WRITER = """
import sys
from datetime import date, datetime, timezone
import pandas as pd
from crypto_assets.assets import set_aside
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets.sources.fetched import Fetched, SetAside
from crypto_assets.storage.warehouse import Warehouse
contract, warehouse = CONTRACTS[sys.argv[2]], Warehouse(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
day = date(2024, 5, 5)
for n in range(8):
    aside = tuple(SetAside(f"S{k}", day, f"reason {n}", example="x") for k in range(3))
    frame = pd.DataFrame({contract.key[0]: ["S0", "S1", "S2"], "date": [day] * 3})
    set_aside.record(warehouse, contract, Fetched(frame, set_aside=aside), day, day, datetime.now(timezone.utc))
"""


def test_processes_that_record_the_same_day_at_once_lose_nothing(warehouse: Warehouse) -> None:
    """Tables are filled in processes of their own, and their records meet in one day of one table."""
    tables = ("onchain_base", "defi_metrics", "prices")
    found = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, warehouse.uri, table],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for table in tables
    ]
    for one in found:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in found:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    assert [one.communicate(timeout=120)[0] for one in found] == ["", "", ""]
    assert [one.returncode for one in found] == [0, 0, 0]
    expected = [(table, f"S{k}", "reason 7") for table in sorted(tables) for k in range(3)]
    assert sorted(stored(warehouse, "table_name", "subject", "reason")) == expected, "and no former reason is left"


def defi(values: dict[date, Any]) -> Any:
    """DefiLlama's routes with these values for all chains, and whole ones for each chain."""

    def reply(request: Request) -> Any:
        stamps = {day: int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()) for day in values}
        if request.path.startswith("/stablecoincharts"):
            return [{"date": str(at), "totalCirculatingUSD": {"peggedUSD": 5.0}} for at in stamps.values()]
        total = request.path == "/v2/historicalChainTvl"
        return [{"date": at, "tvl": values[day] if total else 7.0} for day, at in stamps.items()]

    return reply


def test_a_run_records_and_its_check_and_status_say_what_until_it_heals(platform: Platform) -> None:
    """From the provider's -1 to the materialisation's metadata, the table, the check, and ``status``; and back."""
    day = scenario.START
    platform.activate()

    def materialise(value: float) -> dg.ExecuteInProcessResult | Any:
        with serve(defi({day: value, day + timedelta(days=1): 9.0})) as server:
            platform.env["DEFILLAMA_BASE_URL"] = server.url
            platform.activate()
            assert runs.execute(platform.instance, ["defi_metrics"], day, day + timedelta(days=1)).success

    materialise(-1.0)
    (row,) = platform.read("set_aside").to_dicts()
    assert (row["table_name"], row["subject"], row["date"], row["column_name"], row["example"]) == (
        "defi_metrics", "all", day, "tvl_usd", "-1.0",
    )  # fmt: skip
    rows = platform.read("defi_metrics").filter(entity="all").sort("date")
    assert rows["tvl_usd"].to_list() == [None, 9.0] and rows["stablecoin_supply_usd"].to_list() == [5.0, 5.0]
    noted = newest_metadata(platform.instance, "defi_metrics", day, day + timedelta(days=1))
    first, second = noted[day], noted[day + timedelta(days=1)]
    assert first["set_aside_count"].value == 1 and "below 0" in str(first["set_aside"].value)
    assert second["set_aside_count"].value == 0 and second["set_aside"].value == {}, "that day has all of its values"

    def check() -> dict[str, Any]:
        document = status(platform.instance, platform.settings, day, day + timedelta(days=1))
        found: dict[str, Any] = document["assets"]["defi_metrics"]["checks"]["set_aside"]
        return found

    found = check()
    assert (found["passed"], found["severity"]) == (False, "WARN")
    for part in ("1 observation(s) of 1 subject(s) on 1 day(s)", "tvl_usd below 0", "all", "-1.0"):
        assert part in found["description"]
    materialise(8.0)
    assert platform.read("set_aside").is_empty() and check()["passed"]


def test_every_table_that_a_provider_feeds_has_the_check() -> None:
    from crypto_assets.checks.shells import every_measure
    from crypto_assets.definitions import defs
    from crypto_assets.tables.registry import provider_tables

    layers = {spec.key.to_user_string(): spec.tags.get("layer") for spec in defs.resolve_all_asset_specs()}
    fed = {table for table in CONTRACTS if layers[table] == "source"}
    assert fed == set(provider_tables()) == {table for table, named in every_measure().items() if "set_aside" in named}
    assert pl.Series(list(fed)).n_unique() == len(provider_tables())
