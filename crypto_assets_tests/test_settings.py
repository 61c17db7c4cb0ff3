"""Every variable once, typed, with the provider's own address as default; secrets that do not show."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

import crypto_assets
from crypto_assets.errors import UsageError
from crypto_assets.settings import DERIVATIVE_SOURCES, Settings
from crypto_assets.tables.derivatives import VENUES

README = Path(crypto_assets.__file__).parent.parent / "README.md"
SECRETS = {
    "COINGECKO_API_KEY": "coingecko_api_key",
    "COINMETRICS_API_KEY": "coinmetrics_api_key",
    "FRED_API_KEY": "fred_api_key",
    "DAGSTER_POSTGRES_URL": "postgres_url",
    "ALERT_WEBHOOK_URL": "alert_webhook_url",
}
# variable -> (value, field, what the field then holds)
READ: dict[str, tuple[str, str, Any]] = {
    "CRYPTO_ASSETS_HOME": ("/srv/x", "home", Path("/srv/x")),
    "CRYPTO_ASSETS_WAREHOUSE": ("s3://bucket/x", "warehouse", "s3://bucket/x"),
    "CRYPTO_ASSETS_START": (" 2021-02-03 ", "start", date(2021, 2, 3)),
    "CRYPTO_ASSETS_COINS": ("BTC,ETH", "coins", "BTC,ETH"),
    "COINGECKO_PLAN": (" Public ", "coingecko_plan", "public"),
    "COINGECKO_BASE_URL": ("http://h/1/", "coingecko_base_url", "http://h/1"),
    "COINMETRICS_BASE_URL": ("http://h/2", "coinmetrics_base_url", "http://h/2"),
    "KRAKEN_BASE_URL": ("http://h/3", "kraken_base_url", "http://h/3"),
    "BINANCE_BASE_URL": ("http://h/4", "binance_base_url", "http://h/4"),
    "DEFILLAMA_BASE_URL": ("http://h/5", "defillama_base_url", "http://h/5"),
    "FEAR_GREED_BASE_URL": ("http://h/6", "fear_greed_base_url", "http://h/6"),
    "BINANCE_FUTURES_BASE_URL": ("http://h/7/", "binance_futures_base_url", "http://h/7"),
    "BINANCE_ARCHIVE_BASE_URL": ("http://h/8", "binance_archive_base_url", "http://h/8"),
    "BYBIT_BASE_URL": ("http://h/9", "bybit_base_url", "http://h/9"),
    "DERIBIT_BASE_URL": ("http://h/10", "deribit_base_url", "http://h/10"),
    "FRED_BASE_URL": ("http://h/11", "fred_base_url", "http://h/11"),
    "CBOE_BASE_URL": ("http://h/12", "cboe_base_url", "http://h/12"),
    "NYFED_BASE_URL": ("http://h/13", "nyfed_base_url", "http://h/13"),
    "TREASURY_BASE_URL": ("http://h/14", "treasury_base_url", "http://h/14"),
    "ECB_BASE_URL": ("http://h/15", "ecb_base_url", "http://h/15"),
    "BLOCKCHAIN_BASE_URL": ("http://h/16", "blockchain_base_url", "http://h/16"),
    "MEMPOOL_BASE_URL": ("http://h/17", "mempool_base_url", "http://h/17"),
    "DERIVATIVE_SOURCES": ("Bybit, binance", "derivative_sources", ("bybit", "binance")),
    "OHLC_SOURCES": ("Kraken, binance", "ohlc_sources", ("kraken", "binance")),
    "NEWS_FEEDS": ("a=http://h/?q=1", "news_feeds", {"a": "http://h/?q=1"}),
    "SOCIAL_FEEDS": ("f=http://h/posts", "social_feeds", {"f": "http://h/posts"}),
    "SOCIAL_FOLDER": ("/data/posts", "social_folder", Path("/data/posts")),
    "NEWS_FOLDER": ("/data/news", "news_folder", Path("/data/news")),
    "RATE_LIMITS": ("Kraken=1/2.5, x=30/60", "rate_limits", {"kraken": (1, 2.5), "x": (30, 60.0)}),
    "API_BUDGETS": ("CoinGecko=500000", "api_budgets", {"coingecko": 500_000}),
    "CRYPTO_ASSETS_KUBE_NAMESPACE": ("crypto", "kube_namespace", "crypto"),
    "CRYPTO_ASSETS_KUBE_SELECTOR": ("team=data", "kube_selector", "team=data"),
    "CRYPTO_ASSETS_KUBE_DRY_RUN": ("Yes", "kube_dry_run", True),
    "CRYPTO_ASSETS_CHUNK_DAYS": ("30", "chunk_days", 30),
    "CRYPTO_ASSETS_HISTORY_DAYS": ("90", "history_days", 90),
    "OLLAMA_HOST": ("http://h:7", "ollama_host", "http://h:7"),
    "ALERT_FORMAT": ("Slack", "alert_format", "slack"),
    "CRYPTO_ASSETS_DOCS": ("https://docs.example/", "docs", "https://docs.example"),
    "ALERT_RUNBOOKS": ("https://books.example", "alert_runbooks", "https://books.example"),
    "CRYPTO_ASSETS_METRICS_HOST": ("0.0.0.0", "metrics_host", "0.0.0.0"),
    "CRYPTO_ASSETS_MODELS": ("models.toml", "models", Path("models.toml")),
    "SIGNAL_CHANGES": ("Yes", "signal_changes", True),
    "OLLAMA_MODEL": ("tiny", "ollama_model", "tiny"),
    "OLLAMA_TIMEOUT": ("7.5", "ollama_timeout_s", 7.5),
    "OLLAMA_READS": ("Events", "ollama_reads", ("events",)),
    "OLLAMA_CONCURRENCY": ("4", "ollama_concurrency", 4),
}


def documented() -> set[str]:
    """The variables in the table of the README."""
    if not README.exists():
        pytest.skip("an installed package has no README")
    table = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return {name for line in table for name in re.findall(r"`([A-Z][A-Z_]+)`", line.split("|")[1])}


def test_every_documented_variable_is_covered_here() -> None:
    found = documented()
    assert {"CRYPTO_ASSETS_HOME", "OLLAMA_MODEL", "BINANCE_BASE_URL"} <= found, "the table was found"
    elsewhere = {name for name in found if name.startswith("AWS_")}  # storage/test_object_store.py
    assert found - elsewhere <= READ.keys() | SECRETS.keys()


@pytest.mark.parametrize("name", READ)
def test_each_variable_reaches_its_field_and_blank_is_unset(name: str) -> None:
    value, attribute, expected = READ[name]
    assert getattr(Settings.from_env({name: value}), attribute) == expected
    if name != "COINGECKO_PLAN":  # public is what it is anyway
        assert getattr(Settings.from_env({}), attribute) != expected
    for blank in ("", "  "):
        assert getattr(Settings.from_env({name: blank}), attribute) == getattr(Settings.from_env({}), attribute)


@pytest.mark.parametrize("name", SECRETS)
def test_each_secret_is_wrapped_and_can_be_had(name: str) -> None:
    found = getattr(Settings.from_env({name: " https://planted "}), SECRETS[name])
    assert isinstance(found, SecretStr)
    assert found.get_secret_value() == "https://planted"
    assert getattr(Settings.from_env({name: ""}), SECRETS[name]) is None


EVERY = {name: value for name, (value, _, _) in READ.items()} | {name: "https://planted" for name in SECRETS}
BLANKS = st.text(" \t\n\r\x0b\x0c", max_size=3)


@given(st.dictionaries(st.sampled_from(sorted(EVERY)), BLANKS), st.sets(st.sampled_from(sorted(EVERY))))
@settings(max_examples=200, deadline=None)
def test_a_blank_variable_is_unset_whatever_else_is_set(blank: dict[str, str], given_: set[str]) -> None:
    """A key of one blank must choose neither a paid host nor a plan."""
    env = {name: EVERY[name] for name in given_ - blank.keys()}
    assert Settings.from_env({**env, **blank}) == Settings.from_env(env)


def test_nothing_else_reads_a_variable_of_the_configuration_by_itself() -> None:
    """What reads the environment without :func:`variable` would take a blank for a value."""
    package = Path(crypto_assets.__file__).parent
    names = "|".join([*EVERY, "KUBECONFIG", "AWS_[A-Z_]+"])
    direct = re.compile(rf"(?:environ\.get|getenv|env\.get)\(\s*[\"'](?:{names})[\"']")
    found = [str(path.relative_to(package)) for path in package.rglob("*.py") if direct.search(path.read_text("utf-8"))]
    assert found == []


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTO_ASSETS_COINS", "DOGE")
    assert Settings.from_env().coins == "DOGE"
    monkeypatch.delenv("CRYPTO_ASSETS_COINS")
    assert Settings.from_env().coins == "top:20"


def test_a_key_alone_is_the_demo_plan_and_a_coinmetrics_key_the_paid_host() -> None:
    found = Settings.from_env({"COINGECKO_API_KEY": "k", "COINMETRICS_API_KEY": "k"})
    assert found.coingecko_plan == "demo"
    assert found.coinmetrics_base_url == "https://api.coinmetrics.io/v4"


def test_the_warehouse_lies_in_the_home_unless_it_is_named() -> None:
    assert Settings.from_env({"CRYPTO_ASSETS_HOME": "/srv/x"}).warehouse == "/srv/x/warehouse"
    assert Settings.from_env({"CRYPTO_ASSETS_HOME": "~/x"}).home == Path.home() / "x"


def test_a_model_is_asked_for_once_either_is_named() -> None:
    assert not Settings.from_env({}).ollama_set
    assert Settings.from_env({"OLLAMA_HOST": "h:1"}).ollama_set
    assert Settings.from_env({"OLLAMA_MODEL": "tiny"}).ollama_set


@pytest.mark.parametrize(
    ("name", "value"), [("OLLAMA_TIMEOUT", "soon"), ("OLLAMA_TIMEOUT", "nan"), ("OLLAMA_CONCURRENCY", "0")]
)
def test_numbers_of_ollama_that_make_no_sense(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        Settings.from_env({name: value})


def test_defaults_need_nothing() -> None:
    found = Settings.from_env({})
    assert found.start == date(2017, 1, 1)
    assert found.coins == "top:20"
    assert found.coingecko_plan == "public"
    assert found.coingecko_api_key is None
    assert found.coinmetrics_api_key is None
    assert found.fear_greed_base_url == "https://api.alternative.me"
    assert found.rate_limits == found.api_budgets == {}
    assert (found.ollama_host, found.ollama_model) == ("http://127.0.0.1:11434", "llama3.2:3b")
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
        ("DERIVATIVE_SOURCES", "binance,okx"),
        ("DERIVATIVE_SOURCES", "bybit,bybit"),
        ("DERIBIT_BASE_URL", "deribit.com"),
        ("NEWS_FEEDS", "a"),
        ("NEWS_FEEDS", "a=http://h,a=http://i"),
        ("NEWS_FEEDS", "a=ftp://h"),
        ("NEWS_FEEDS", "a=http://h, a =http://i"),
        ("NEWS_FEEDS", "=http://h"),
        ("NEWS_FEEDS", " =http://h"),
        ("NEWS_FEEDS", "http://h"),
        ("NEWS_FEEDS", ","),
        ("CRYPTO_ASSETS_START", "yesterday"),
        ("FEAR_GREED_BASE_URL", "https:/one-slash"),
        ("DEFILLAMA_BASE_URL", "nonsense"),
        ("OHLC_SOURCES", ","),
        ("RATE_LIMITS", "kraken"),
        ("RATE_LIMITS", "kraken=fast"),
        ("RATE_LIMITS", "kraken=5"),
        ("RATE_LIMITS", "kraken=0/1"),
        ("RATE_LIMITS", "kraken=1/0"),
        ("RATE_LIMITS", "kraken=1/inf"),
        ("RATE_LIMITS", "kraken=1/nan"),
        ("RATE_LIMITS", "=1/1"),
        ("API_BUDGETS", "coingecko=many"),
        ("API_BUDGETS", "coingecko=-1"),
        ("API_BUDGETS", "coingecko=1,coingecko=2"),
        ("ALERT_FORMAT", "carrier-pigeon"),
        ("CRYPTO_ASSETS_WAREHOUSE", "s3://"),
        ("CRYPTO_ASSETS_WAREHOUSE", "s3:"),
        ("CRYPTO_ASSETS_WAREHOUSE", "s3:/bucket"),
        ("CRYPTO_ASSETS_WAREHOUSE", "S3A:///folder"),
        ("CRYPTO_ASSETS_WAREHOUSE", "gs://"),
        ("CRYPTO_ASSETS_WAREHOUSE", "s3://bucket/a?b"),
    ],
)
def test_a_value_that_makes_no_sense_is_one_sentence_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        Settings.from_env({name: value})
    assert "\n" not in str(caught.value)


def test_a_webhook_that_is_no_address_is_refused_unseen() -> None:
    with pytest.raises(UsageError, match="ALERT_WEBHOOK_URL") as caught:
        Settings.from_env({"ALERT_WEBHOOK_URL": "hooks.example/planted"})
    assert "planted" not in str(caught.value)


def test_secrets_do_not_show() -> None:
    planted = {name: "planted" for name in ("COINGECKO_API_KEY", "COINMETRICS_API_KEY", "DAGSTER_POSTGRES_URL")}
    found = Settings.from_env(planted)
    assert "planted" not in repr(found) + str(found)
    assert all("planted" not in str(getattr(found, field.name)) for field in fields(found))
    assert "planted" not in repr(asdict(found))


def test_a_refusal_does_not_tell_the_key() -> None:
    with pytest.raises(UsageError, match="COINGECKO_PLAN") as caught:
        Settings.from_env({"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "gold"})
    assert "planted" not in str(caught.value)


def test_the_venues_that_features_prefer_by_default_are_those_that_are_asked() -> None:
    """Two rooms that may not import each other name the venues: settings, and the tables."""
    assert DERIVATIVE_SOURCES == VENUES
