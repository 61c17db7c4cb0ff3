"""Every variable once, typed, with the provider's own address as default; secrets that do not show."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest

from crypto_assets.errors import UsageError
from crypto_assets.settings import Settings


def test_defaults_need_nothing() -> None:
    found = Settings.from_env({})
    assert found.coingecko_base_url == "https://api.coingecko.com/api/v3"
    assert found.coinmetrics_base_url == "https://community-api.coinmetrics.io/v4"
    assert found.kraken_base_url == "https://api.kraken.com/0/public"
    assert found.binance_base_url == "https://api.binance.com/api/v3"
    assert found.ohlc_sources == ("binance", "kraken", "coingecko")
    assert found.home == Path(".crypto_assets").resolve()
    assert found.warehouse == str(found.home / "warehouse")
    assert found.postgres_url is None
    assert len(found.news_feeds) >= 5


@pytest.mark.parametrize(("plan", "host"), [("demo", "api"), ("basic", "pro-api"), ("analyst", "pro-api")])
def test_the_plan_chooses_the_host(plan: str, host: str) -> None:
    found = Settings.from_env({"COINGECKO_API_KEY": "k", "COINGECKO_PLAN": plan})
    assert found.coingecko_base_url == f"https://{host}.coingecko.com/api/v3"


def test_a_replaced_defillama_serves_stablecoins_too() -> None:
    found = Settings.from_env({"DEFILLAMA_BASE_URL": "http://127.0.0.1:1/"})
    assert found.defillama_base_url == found.stablecoins_base_url == "http://127.0.0.1:1"
    assert Settings.from_env({}).stablecoins_base_url != Settings.from_env({}).defillama_base_url


def test_values_are_read() -> None:
    found = Settings.from_env(
        {
            "CRYPTO_ASSETS_START": "2021-02-03",
            "CRYPTO_ASSETS_WAREHOUSE": "s3://bucket/x",
            "OHLC_SOURCES": "kraken, binance",
            "NEWS_FEEDS": "a=http://h/1, b=https://h/2",
        }
    )
    assert found.start == date(2021, 2, 3)
    assert found.warehouse == "s3://bucket/x"
    assert found.ohlc_sources == ("kraken", "binance")
    assert found.news_feeds == {"a": "http://h/1", "b": "https://h/2"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRYPTO_ASSETS_START", "03/02/2021"),
        ("CRYPTO_ASSETS_START", "2021-02-30"),
        ("COINGECKO_PLAN", "gold"),
        ("COINGECKO_PLAN", "analyst"),  # without a key
        ("COINGECKO_BASE_URL", "api.coingecko.com"),
        ("KRAKEN_BASE_URL", "ftp://x"),
        ("OHLC_SOURCES", "binance,binance"),
        ("OHLC_SOURCES", "coinbase"),
        ("NEWS_FEEDS", "a"),
        ("NEWS_FEEDS", "a=http://h,a=http://i"),
    ],
)
def test_a_value_that_makes_no_sense_is_one_sentence_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        Settings.from_env({name: value})
    assert "\n" not in str(caught.value)


def test_secrets_do_not_show() -> None:
    planted = {name: "planted" for name in ("COINGECKO_API_KEY", "COINMETRICS_API_KEY", "DAGSTER_POSTGRES_URL")}
    found = Settings.from_env(planted)
    assert "planted" not in repr(found) + str(found)
    assert all("planted" not in str(getattr(found, field.name)) for field in fields(found))
