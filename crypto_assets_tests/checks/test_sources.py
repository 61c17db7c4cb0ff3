"""Checks across sources, and the gate before prices: each passing and failing, on tables written for the purpose."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.assets import quarantine
from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.shells import every_measure
from crypto_assets.errors import UsageError
from crypto_assets.monitoring.watch.call_budgets import call_budgets
from crypto_assets.settings import Settings
from crypto_assets.sources.client.limits import limit_of
from crypto_assets.sources.client.quota import CallStats, PostgresQuotaStore
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

DAY = date(2021, 3, 2)
MIDNIGHT = datetime(2021, 3, 2, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst"}


def scope_of(home: Path, now: datetime = MIDNIGHT + timedelta(days=3), **env: str) -> Scope:
    settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(home), "CRYPTO_ASSETS_COINS": "BTC,ETH", **env})
    return Scope(Warehouse(settings.warehouse), settings, DAY, DAY, now)


def measure(scope: Scope, table: str, check: str) -> Outcome:
    return every_measure()[table][check](scope)


def prices(values: dict[int, float], symbol: str = "BTC") -> pd.DataFrame:
    rows = [
        (symbol, MIDNIGHT + HOUR * h, DAY, MIDNIGHT + HOUR * h, "coingecko", v, None, None) for h, v in values.items()
    ]
    columns = ["symbol", "ts", "date", "available_at", "source", "price_usd", "market_cap_usd", "volume_24h_usd"]
    return pd.DataFrame(rows, columns=columns).astype({"market_cap_usd": "float64", "volume_24h_usd": "float64"})


def bars(scope: Scope, table: str, closes: dict[int, float], source: str = "kraken") -> None:
    """Bars that close at these hour marks."""
    rows = [
        {"symbol": "BTC", "ts": ts, "date": ts.date(), "available_at": ts + HOUR, "source": source,
         "open": v, "high": v * 1.01, "low": v * 0.99, "close": v}
        for h, v in closes.items() for ts in [MIDNIGHT + HOUR * (h - 1)]
    ]  # fmt: skip
    contract = CONTRACTS[table]
    schema = {name: contract.polars_schema[name] for name in rows[0]}
    scope.warehouse.write(contract, pl.DataFrame(rows, schema=schema), [DAY - timedelta(days=1), DAY])


def store(scope: Scope, frame: pd.DataFrame) -> int:
    """As the asset does it: hold back what is doubtful, write the rest."""
    kept, held = quarantine.split_trusted(scope.warehouse, frame, DAY, DAY)
    scope.warehouse.write(CONTRACTS["prices"], kept, [DAY])
    return held


def test_a_price_that_the_second_source_contradicts_is_held_and_released(tmp_path: Path) -> None:
    scope = scope_of(tmp_path)
    bars(scope, "kraken_ohlc", {hour: 100.0 for hour in range(24)})
    frame = prices({hour: 150.0 if hour == 7 else 100.0 for hour in range(24)})
    assert store(scope, frame) == 1
    assert store(scope, frame) == 1, "again: the same"
    held = scope.warehouse.read("quarantine").row(0, named=True)
    assert (held["symbol"], held["ts"], held["value_usd"]) == ("BTC", MIDNIGHT + HOUR * 7, 150.0)
    assert (held["other_usd"], held["before_usd"], held["other_source"]) == (100.0, 100.0, "kraken")
    assert "above everything that kraken traded" in held["reason"]
    assert scope.warehouse.read("quarantine").height == 1
    assert 150.0 not in scope.warehouse.read("prices")["price_usd"].to_list()
    assert scope.warehouse.read("prices").height == 23, "the other rows are stored"
    outcome = measure(scope, "quarantine", "nothing_held")
    assert not outcome.passed and "BTC" in outcome.description

    assert quarantine.release(scope.warehouse, "BTC", MIDNIGHT + HOUR * 7) == 150.0
    assert scope.warehouse.read("prices").height == 24
    assert measure(scope, "quarantine", "nothing_held").passed
    assert store(scope, frame) == 0, "a person's word holds when the day is fetched again"
    assert scope.warehouse.read("prices").filter(ts=MIDNIGHT + HOUR * 7)["price_usd"].to_list() == [150.0]
    assert store(scope, prices({7: 300.0})) == 1, "for that price only"


def test_a_jump_that_both_sources_show_is_a_jump(tmp_path: Path) -> None:
    scope = scope_of(tmp_path)
    bars(scope, "ohlc", {hour: 100.0 if hour < 12 else 180.0 for hour in range(24)}, "binance_usdt")
    assert store(scope, prices({hour: 100.0 if hour < 12 else 180.0 for hour in range(24)})) == 0
    assert store(scope, prices({5: 60.0})) == 1, "below counts as well"


def test_without_a_second_source_nothing_is_held(tmp_path: Path) -> None:
    scope = scope_of(tmp_path)
    assert store(scope, prices({1: 1.0, 2: 1000.0})) == 0
    bars(scope, "ohlc", {2: 1.0}, "coingecko")
    assert store(scope, prices({1: 1.0, 2: 1000.0})) == 0, "a source does not contradict itself"


def test_a_row_that_an_earlier_run_stored_leaves_prices_once_it_is_contradicted(tmp_path: Path) -> None:
    scope = scope_of(tmp_path)
    assert store(scope, prices({6: 100.0, 7: 150.0})) == 0
    bars(scope, "kraken_ohlc", {7: 100.0})
    assert store(scope, prices({6: 100.0, 7: 150.0})) == 1
    assert scope.warehouse.read("prices")["price_usd"].to_list() == [100.0]
    other = scope_of(tmp_path / "bars first")
    bars(other, "kraken_ohlc", {7: 100.0})
    assert store(other, prices({6: 100.0, 7: 150.0})) == 1
    for table in ("prices", "quarantine"):
        assert_frame_equal(scope.warehouse.read(table), other.warehouse.read(table))


def test_a_stored_row_stays_while_another_price_for_its_hour_is_held(tmp_path: Path) -> None:
    """A day fetched again, every hour of it contradicted: nothing that was stored is lost, and a release takes its place."""
    scope = scope_of(tmp_path)
    bars(scope, "kraken_ohlc", {hour: 100.0 for hour in range(24)})
    assert store(scope, prices({hour: 100.0 for hour in range(24)})) == 0
    assert quarantine.pending_sentence(scope.warehouse, DAY, DAY) is None
    before = scope.warehouse.read("prices")
    again = prices({hour: 100.0 if hour == 3 else 150.0 for hour in range(24)})
    assert store(scope, again) == 23
    assert_frame_equal(scope.warehouse.read("prices"), before)
    versions = scope.warehouse.versions()
    assert store(scope, again) == 23
    assert scope.warehouse.versions() == versions, "the same answer once more changes nothing"
    said = quarantine.pending_sentence(scope.warehouse, DAY, DAY)
    assert said is not None and said.startswith("23 price(s) of 1 coin(s)") and "\n" not in said

    assert quarantine.release(scope.warehouse, "BTC", MIDNIGHT + HOUR * 7) == 150.0
    assert scope.warehouse.read("prices")["price_usd"].to_list() == [150.0 if h == 7 else 100.0 for h in range(24)]
    assert quarantine.pending_sentence(scope.warehouse, DAY, DAY) != said, "one fewer"


def test_what_is_held_today_is_seen_by_the_look(tmp_path: Path) -> None:
    """A check that is started without days ends its range yesterday; nobody should wait for midnight."""
    scope = scope_of(tmp_path, MIDNIGHT + HOUR * 9)
    bars(scope, "kraken_ohlc", {7: 100.0})
    store(scope, prices({7: 150.0}))
    looked = replace(scope, start=DAY - timedelta(days=31), end=DAY - timedelta(days=1))
    assert measure(looked, "quarantine", "nothing_held").passed, "a report on closed days"
    assert not measure(replace(looked, live=True), "quarantine", "nothing_held").passed


def test_releasing_what_is_not_held_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="select symbol, ts, reason from quarantine"):
        quarantine.release(scope_of(tmp_path).warehouse, "BTC", MIDNIGHT)


def test_agreement_names_the_worst(tmp_path: Path) -> None:
    scope = scope_of(tmp_path)
    bars(scope, "kraken_ohlc", {hour: 100.0 for hour in range(24)})
    store(scope, prices({hour: 100.5 for hour in range(24)}))
    outcome = measure(scope, "prices", "agreement")
    assert outcome.passed and outcome.numbers["compared"] == 24
    store(scope, prices({9: 110.0}))
    outcome = measure(scope, "prices", "agreement")
    assert not outcome.passed
    assert "BTC at 2021-03-02 09:00, 110 against 100 (10.0%)" in outcome.description


def test_agreement_without_the_second_source(tmp_path: Path) -> None:
    scope = scope_of(tmp_path)
    assert measure(scope, "prices", "agreement").passed, "nothing to compare"
    store(scope, prices({9: 110.0}))
    assert not measure(scope, "prices", "agreement").passed, "Kraken still shows these hours, and none is stored"
    assert measure(scope_of(tmp_path, MIDNIGHT + timedelta(days=90)), "prices", "agreement").passed


def test_agreement_is_not_asked_for_before_the_bar_that_closes_at_midnight_is_stored(tmp_path: Path) -> None:
    store(scope_of(tmp_path), prices({0: 110.0}))
    assert measure(scope_of(tmp_path, MIDNIGHT + timedelta(minutes=2)), "prices", "agreement").passed
    assert not measure(scope_of(tmp_path, MIDNIGHT + timedelta(minutes=62)), "prices", "agreement").passed


def usage(scope: Scope, calls: int, premium: int) -> None:
    row = {
        "provider": "coingecko", "endpoint": "/coins/markets", "ts": MIDNIGHT, "date": DAY, "available_at": MIDNIGHT + HOUR,
        "source": "platform", "calls": calls, "premium_calls": premium, "retries": 0, "rate_limited": 0, "errors": 0, "bytes": 1,
    }  # fmt: skip
    scope.warehouse.write(
        CONTRACTS["api_usage"], pl.DataFrame([row], schema=CONTRACTS["api_usage"].polars_schema), [DAY]
    )


def test_premium_share(tmp_path: Path) -> None:
    scope = scope_of(tmp_path, **PRO)
    assert measure(scope, "api_usage", "premium_share").passed, "no call, no waste"
    usage(scope, 10, 10)
    assert measure(scope, "api_usage", "premium_share").passed
    usage(scope, 10, 9)
    outcome = measure(scope, "api_usage", "premium_share")
    assert not outcome.passed and outcome.severity == "ERROR" and outcome.numbers["share"] == 0.9
    assert measure(scope_of(tmp_path), "api_usage", "premium_share").passed, "no pro key, no share"


def test_budget_projection(tmp_path: Path, new_instance) -> None:
    """700 calls in the last week, the 10th of a month of 30 days: 20 days are left, 2,000 more calls are to come."""
    new_instance()
    url = os.environ["DAGSTER_POSTGRES_URL"]
    quota, now = PostgresQuotaStore(url), datetime.now(timezone.utc)
    month = now.replace(day=10, hour=12, minute=0, second=0, microsecond=0)
    env = {**PRO, "DAGSTER_POSTGRES_URL": url}
    limit = limit_of("coingecko", scope_of(tmp_path, **env).settings)
    assert limit is not None and limit.budget == 500_000, "the plan's credits"
    quota.reserve(limit, 1000)
    quota.record({("coingecko", "/coins/markets", month - timedelta(days=n)): CallStats(calls=100) for n in range(7)})
    left = (month.replace(day=28) + timedelta(days=4)).replace(day=1) - month.replace(hour=12)
    projected = 1000 + 100 * (left.days)

    def outcome(budget: int) -> Outcome:
        return measure(
            scope_of(tmp_path, month, **env, API_BUDGETS=f"coingecko={budget}"), "api_usage", "budget_projection"
        )

    good = outcome(2 * projected)
    assert good.passed and good.numbers["used"] == 1000
    assert good.numbers["projected"] == pytest.approx(projected, abs=100)
    warned = outcome(int(projected * 1.1))
    assert not warned.passed and warned.severity == "WARN" and "projected to its end" in warned.description
    assert measure(scope_of(tmp_path, month), "api_usage", "budget_projection").passed, "no budget on the public plan"

    # A budget of one's own for another provider: 35 feeds in the week, 20 days left, nothing of it reserved yet.
    quota.record({("rss", "one", month - timedelta(days=n)): CallStats(calls=5) for n in range(7)})
    both = scope_of(tmp_path, month, **env, API_BUDGETS=f"coingecko={2 * projected},rss=60")
    found = measure(both, "api_usage", "budget_projection")
    assert not found.passed and found.numbers["provider"] == "rss"
    assert (
        found.description.startswith("rss: 0 of 60 calls used this month")
        and "; coingecko: 1,000 of" in found.description
    )
    over = {sighting.subject: sighting.trouble for sighting in call_budgets(both.settings, month)}
    assert over["coingecko"] is None and over["kraken"] is None and str(over["rss"]).startswith("0 of 60 calls used")


def test_most_of_a_day_contradicted_is_a_suspected_identifier_not_an_outlier(tmp_path: Path) -> None:
    """23 right prices of 24 are held because the second source trades another coin: that has an incident of its own."""
    scope = scope_of(tmp_path)
    bars(scope, "kraken_ohlc", {hour: 100.0 for hour in range(24)})
    assert store(scope, prices({hour: 100.0 if hour == 3 else 9.0 for hour in range(24)})) == 23
    outcome = measure(scope, "prices", "identifiers")
    assert (outcome.passed, outcome.severity) == (False, "ERROR"), "an incident whatever the day"
    for part in ("BTC: 23 of 24 hour(s) on 2021-03-02", "'bitcoin'", "'XBTUSD'", "coins.csv", "crypto-assets release"):
        assert part in outcome.description
    assert outcome.numbers == {"coins": 1, "coin_days": 1, "hours_held": 23}


def test_a_single_outlier_suspects_no_identifier(tmp_path: Path) -> None:
    scope = scope_of(tmp_path)
    assert measure(scope, "prices", "identifiers").passed
    bars(scope, "kraken_ohlc", {hour: 100.0 for hour in range(24)})
    store(scope, prices({hour: 150.0 if hour in (7, 8, 9) else 100.0 for hour in range(24)}))
    assert measure(scope, "prices", "identifiers").passed, "three of 24 hours"
    assert not measure(scope, "quarantine", "nothing_held").passed


def test_hours_without_a_second_opinion_speak_for_nobody(tmp_path: Path) -> None:
    """All four hours that can be compared contradict; the twenty others cannot be."""
    scope = scope_of(tmp_path)
    bars(scope, "ohlc", {hour: 100.0 for hour in range(4)}, "binance_usdt")
    store(scope, prices({hour: 9.0 for hour in range(24)}))
    outcome = measure(scope, "prices", "identifiers")
    assert not outcome.passed and "4 of 4 hour(s)" in outcome.description and "'BTCUSDT'" in outcome.description


def test_a_corrected_identifier_ends_it_and_the_held_rows_go(tmp_path: Path) -> None:
    scope = scope_of(tmp_path)
    bars(scope, "kraken_ohlc", {hour: 100.0 for hour in range(24)})
    store(scope, prices({hour: 9.0 for hour in range(24)}))
    quarantine.release(scope.warehouse, "BTC", MIDNIGHT + HOUR * 5)
    assert store(scope, prices({hour: 101.0 for hour in range(24)})) == 0
    assert scope.warehouse.read("quarantine")["ts"].to_list() == [MIDNIGHT + HOUR * 5], "what a person judged stays"
    assert measure(scope, "prices", "identifiers").passed and measure(scope, "quarantine", "nothing_held").passed
    assert scope.warehouse.read("prices")["price_usd"].to_list() == [101.0] * 24
