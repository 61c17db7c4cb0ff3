"""All environment variables, read once and typed. Secrets are wrapped and never printed.

No other module of the package reads ``os.environ`` for configuration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypto_assets import demo_home
from crypto_assets.dates import parse_day
from crypto_assets.demo_home import DemoHome
from crypto_assets.errors import UsageError
from crypto_assets.lazy import lazy

if TYPE_CHECKING:
    import pydantic
    from pydantic import SecretStr
else:
    pydantic = lazy("pydantic")

OHLC_SOURCES = ("binance", "kraken", "coingecko")
DERIVATIVE_SOURCES = ("binance", "bybit")
ALERT_FORMATS = ("json", "slack")
PLANS = ("public", "demo", "basic", "analyst", "lite", "enterprise")
_NO_BUCKET = re.compile(r"s3a?:(?!//)|(?!file:)[a-z][a-z0-9+.-]*://(?:/|$)", re.IGNORECASE)
KUBE_SELECTOR = "crypto-assets/owner=crypto-assets"
DEFAULT_OLLAMA = "http://127.0.0.1:11434"
OLLAMA_READS = ("articles", "events")
DEFAULT_START = "2017-01-01"
DEFAULT_COINS = "top:20"
DEFAULT_FEEDS = (
    "coindesk=https://www.coindesk.com/arc/outboundfeeds/rss/,"
    "cointelegraph=https://cointelegraph.com/rss,"
    "decrypt=https://decrypt.co/feed,"
    "bitcoinmagazine=https://bitcoinmagazine.com/feed,"
    "theblock=https://www.theblock.co/rss.xml"
)

HISTORY_DAYS_LEAST = 1


@dataclass(frozen=True)
class Settings:
    """The configuration of one process. Build it with :meth:`from_env`."""

    home: Path
    warehouse: str
    start: date
    coins: str
    postgres_url: SecretStr | None
    coingecko_api_key: SecretStr | None
    coingecko_plan: str
    coingecko_base_url: str
    coinmetrics_api_key: SecretStr | None
    coinmetrics_base_url: str
    kraken_base_url: str
    binance_base_url: str
    ohlc_sources: tuple[str, ...]
    binance_futures_base_url: str
    binance_archive_base_url: str
    bybit_base_url: str
    deribit_base_url: str
    derivative_sources: tuple[str, ...]
    defillama_base_url: str
    stablecoins_base_url: str
    yields_base_url: str
    fear_greed_base_url: str
    blockchain_base_url: str
    mempool_base_url: str
    fred_api_key: SecretStr | None
    fred_base_url: str
    cboe_base_url: str
    nyfed_base_url: str
    treasury_base_url: str
    ecb_base_url: str
    news_feeds: Mapping[str, str] = field(default_factory=dict)
    news_folder: Path | None = None
    social_feeds: Mapping[str, str] = field(default_factory=dict)
    social_folder: Path | None = None
    rate_limits: Mapping[str, tuple[int, float]] = field(default_factory=dict)  # provider -> (calls, seconds)
    api_budgets: Mapping[str, int] = field(default_factory=dict)  # provider -> calls a month
    kube_namespace: str | None = None  # where run pods live; None: not in a cluster
    kube_selector: str = KUBE_SELECTOR  # the label of our objects there
    kube_dry_run: bool = False  # the janitor only reports
    chunk_days: int = 366  # the largest number of days per run
    history_days: int = 2  # how long all that runs left is kept
    ollama_host: str = DEFAULT_OLLAMA
    ollama_model: str = "llama3.2:3b"
    alert_webhook_url: SecretStr | None = None
    alert_format: str = "json"
    alert_runbooks: str = "docs/runbooks"
    docs: str = "docs"  # the folder or address of the documentation that the UI links to
    metrics_host: str = "127.0.0.1"  # where the metrics endpoint listens
    ollama_set: bool = False  # a server or a model was configured: warn if it is absent
    ollama_timeout_s: float = 120.0
    ollama_concurrency: int = 2
    ollama_reads: tuple[str, ...] = OLLAMA_READS  # what the model is asked about
    signal_changes: bool = False  # whether changes of signals are sent as alerts
    models: Path | None = None  # TOML file of the models to train; None: ridge and LightGBM
    demo: DemoHome | None = None  # what a demo's home remembers; None for an ordinary home

    @property
    def last_day(self) -> date | None:
        """The last partition of every table, where a demo's recordings end; None where days go on."""
        return None if self.demo is None else self.demo.last_day

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the environment.

        Args:
            env: the variables; by default those of the process.

        Returns:
            The settings.

        Raises:
            UsageError: a variable has an invalid value; the message names it.
            InstanceError: what a demo's home remembers cannot be read.
        """
        env = os.environ if env is None else env

        def text(name: str, default: str) -> str:
            return variable(name, env) or default

        def url(name: str, default: str) -> str:
            value = text(name, default).rstrip("/")
            if not value.startswith(("http://", "https://")):
                raise UsageError(f"{name} {value!r} is not an http(s) address; write e.g. {default}")
            return value

        def secret(name: str) -> SecretStr | None:
            value = text(name, "")
            return pydantic.SecretStr(value) if value else None

        key = secret("COINGECKO_API_KEY")
        plan = text("COINGECKO_PLAN", "demo" if key else "public").lower()
        if plan not in PLANS:
            raise UsageError(f"COINGECKO_PLAN {plan!r} is unknown; choose one of {', '.join(PLANS)}")
        if plan != "public" and key is None:
            raise UsageError(f"COINGECKO_PLAN is {plan} but COINGECKO_API_KEY is not set; set the key or use public")
        host = "api" if plan in ("public", "demo") else "pro-api"
        llama = url("DEFILLAMA_BASE_URL", "https://api.llama.fi")
        return cls(
            **_home(text),
            postgres_url=secret("DAGSTER_POSTGRES_URL"),
            coingecko_api_key=key,
            coingecko_plan=plan,
            coingecko_base_url=url("COINGECKO_BASE_URL", f"https://{host}.coingecko.com/api/v3"),
            coinmetrics_api_key=secret("COINMETRICS_API_KEY"),
            coinmetrics_base_url=url(
                "COINMETRICS_BASE_URL",
                f"https://{'api' if text('COINMETRICS_API_KEY', '') else 'community-api'}.coinmetrics.io/v4",
            ),
            kraken_base_url=url("KRAKEN_BASE_URL", "https://api.kraken.com/0/public"),
            binance_base_url=url("BINANCE_BASE_URL", "https://api.binance.com/api/v3"),
            ohlc_sources=_order("OHLC_SOURCES", text("OHLC_SOURCES", ""), OHLC_SOURCES),
            **_derivatives(text, url),
            defillama_base_url=llama,
            # Stablecoins and yields have their own hosts; a replaced base address serves all.
            stablecoins_base_url=llama if text("DEFILLAMA_BASE_URL", "") else "https://stablecoins.llama.fi",
            yields_base_url=llama if text("DEFILLAMA_BASE_URL", "") else "https://yields.llama.fi",
            fear_greed_base_url=url("FEAR_GREED_BASE_URL", "https://api.alternative.me"),
            **_macro(secret, url),
            news_feeds=_feeds(text("NEWS_FEEDS", DEFAULT_FEEDS)),
            **_social(text),
            rate_limits=_rate_limits(text("RATE_LIMITS", "")),
            api_budgets=_api_budgets(text("API_BUDGETS", "")),
            **_cluster(text),
            **_ollama(text),
            **_alerts(text, secret),
            docs=text("CRYPTO_ASSETS_DOCS", "docs").rstrip("/"),
            metrics_host=text("CRYPTO_ASSETS_METRICS_HOST", "127.0.0.1"),
            **_models(text),
        )


def variable(name: str, env: Mapping[str, str] | None = None) -> str:
    """Read one environment variable. All code reads our variables here, so that a blank one is unset everywhere.

    Args:
        name: the variable's name.
        env: the variables; by default those of the process.

    Returns:
        The value without surrounding blanks; empty where it is unset or blank.
    """
    return ((os.environ if env is None else env).get(name) or "").strip()


def place(name: str, address: str) -> str:
    """Check a folder, or the address of a bucket in an object store.

    Args:
        name: where it was written, for the error message.
        address: the folder or address.

    Returns:
        The folder or address.

    Raises:
        UsageError: the address is not valid; the message names ``name``.
    """
    if _NO_BUCKET.match(address):  # delta-rs would use it as a folder and end the process
        raise UsageError(f"{name} {address!r} names no bucket; write s3://BUCKET/FOLDER, or a folder")
    if "://" in address and set("#?") & set(address):
        raise UsageError(f"{name} {address!r} has a # or ? in it; write s3://BUCKET/FOLDER")
    return address


def _number(name: str, value: str, low: float, high: float) -> float:
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not low <= found <= high:
        raise UsageError(f"{name} {value!r} is not a number from {low:g} to {high:g}")
    return found


def _order(variable_name: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Read an order of preference; all known names in their own order where nothing is set."""
    names = tuple(name.strip().lower() for name in (text or ",".join(known)).split(",") if name.strip())
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise UsageError(f"{variable_name} {text!r} is not a list of distinct names from {', '.join(known)}")
    return names


def _models(text: Callable[[str, str], str]) -> dict[str, Any]:
    """Read where trained models lie, and whether changed signals are reported."""
    folder = text("CRYPTO_ASSETS_MODELS", "")
    return {
        "signal_changes": _switch("SIGNAL_CHANGES", text("SIGNAL_CHANGES", "no")),
        "models": Path(folder) if folder else None,
    }


def _alerts(text: Callable[[str, str], str], secret: Callable[[str], SecretStr | None]) -> dict[str, Any]:
    """Read where messages about incidents go, and in which form."""
    return {
        "alert_webhook_url": _webhook(secret("ALERT_WEBHOOK_URL")),
        "alert_format": _alert_format(text("ALERT_FORMAT", "json").lower()),
        "alert_runbooks": text("ALERT_RUNBOOKS", "docs/runbooks"),
    }


def _webhook(url: SecretStr | None) -> SecretStr | None:
    if url is not None and not url.get_secret_value().startswith(("http://", "https://")):
        raise UsageError("ALERT_WEBHOOK_URL is not an http(s) address; write the address that the receiver gave you")
    return url


def _alert_format(text: str) -> str:
    if text not in ALERT_FORMATS:
        raise UsageError(f"ALERT_FORMAT {text!r} is unknown; choose one of {', '.join(ALERT_FORMATS)}")
    return text


def _feeds(text: str, variable_name: str = "NEWS_FEEDS") -> dict[str, str]:
    """Read feeds by name from ``name=url,name=url``. Raises :class:`UsageError` for an invalid or repeated entry."""
    feeds: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, address = (part.strip() for part in item.partition("="))
        if not name or not equals or not address.lower().startswith(("http://", "https://")):
            raise UsageError(
                f"{variable_name} has {item!r}; write name=url,name=url with distinct names and http(s) urls"
            )
        if name in feeds:
            raise UsageError(f"{variable_name} names the feed {name!r} twice; give each feed a name of its own")
        feeds[name] = address
    if not feeds:
        raise UsageError(
            f"{variable_name} names no feed; write name=url,name=url, or leave it unset for the default feeds"
        )
    return feeds


def _pairs(name: str, text: str, example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        provider, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not provider or provider in found:
            raise UsageError(f"{name} has {item!r}; write e.g. {example}")
        found[provider.lower()] = value
    return found


def _rate_limits(text: str) -> dict[str, tuple[int, float]]:
    example = "coingecko=500/60,kraken=1/1 (calls/seconds)"
    found = {}
    for provider, value in _pairs("RATE_LIMITS", text, example).items():
        calls, _, seconds = value.partition("/")
        try:
            found[provider] = int(calls), float(seconds)
        except ValueError:
            found[provider] = 0, 0.0
        if found[provider][0] < 1 or not 0 < found[provider][1] < float("inf"):
            raise UsageError(f"RATE_LIMITS has {provider}={value!r}; write e.g. {example}")
    return found


def _api_budgets(text: str) -> dict[str, int]:
    example = "coingecko=500000 (calls a month)"
    found = _pairs("API_BUDGETS", text, example)
    for provider, value in found.items():
        if not value.isdecimal():
            raise UsageError(f"API_BUDGETS has {provider}={value!r}; write e.g. {example}")
    return {provider: int(value) for provider, value in found.items()}


def _derivatives(text: Callable[[str, str], str], url: Callable[[str, str], str]) -> dict[str, Any]:
    """Read the venues of derivatives: their addresses, and in which order they are preferred."""
    return {
        "binance_futures_base_url": url("BINANCE_FUTURES_BASE_URL", "https://fapi.binance.com"),
        "binance_archive_base_url": url("BINANCE_ARCHIVE_BASE_URL", "https://data.binance.vision"),
        "bybit_base_url": url("BYBIT_BASE_URL", "https://api.bybit.com"),
        "deribit_base_url": url("DERIBIT_BASE_URL", "https://www.deribit.com"),
        "derivative_sources": _order("DERIVATIVE_SOURCES", text("DERIVATIVE_SOURCES", ""), DERIVATIVE_SOURCES),
    }


def _social(text: Callable[[str, str], str]) -> dict[str, Any]:
    """Read where posts are, feeds and a folder of files, and the folder of files of news; nothing by default."""
    feeds, folder, news = text("SOCIAL_FEEDS", ""), text("SOCIAL_FOLDER", ""), text("NEWS_FOLDER", "")
    return {
        "social_feeds": _feeds(feeds, "SOCIAL_FEEDS") if feeds else {},
        "social_folder": Path(folder).expanduser() if folder else None,
        "news_folder": Path(news).expanduser() if news else None,
    }


def _macro(secret: Callable[[str], SecretStr | None], url: Callable[[str, str], str]) -> dict[str, Any]:
    """Read the providers of macro series and chain data: their addresses, and the key of FRED."""
    return {
        "blockchain_base_url": url("BLOCKCHAIN_BASE_URL", "https://api.blockchain.info"),
        "mempool_base_url": url("MEMPOOL_BASE_URL", "https://mempool.space"),
        "fred_api_key": secret("FRED_API_KEY"),
        "fred_base_url": url("FRED_BASE_URL", "https://api.stlouisfed.org/fred"),
        "cboe_base_url": url("CBOE_BASE_URL", "https://cdn.cboe.com/api/global/us_indices"),
        "nyfed_base_url": url("NYFED_BASE_URL", "https://markets.newyorkfed.org"),
        "treasury_base_url": url("TREASURY_BASE_URL", "https://home.treasury.gov"),
        "ecb_base_url": url("ECB_BASE_URL", "https://data-api.ecb.europa.eu"),
    }


def _home(text: Callable[[str, str], str]) -> dict[str, Any]:
    """Read the home and what is in it; a variable goes before what a demo's home remembers."""
    home = Path(text("CRYPTO_ASSETS_HOME", ".crypto_assets")).expanduser().resolve()
    demo = demo_home.read(home)
    first = str(demo.first_day) if demo else DEFAULT_START
    return {
        "home": home,
        "warehouse": place("CRYPTO_ASSETS_WAREHOUSE", text("CRYPTO_ASSETS_WAREHOUSE", str(home / "warehouse"))),
        "start": parse_day(text("CRYPTO_ASSETS_START", first), "CRYPTO_ASSETS_START"),
        "coins": text("CRYPTO_ASSETS_COINS", demo.coins if demo else DEFAULT_COINS),
        "demo": demo,
    }


def _ollama(text: Callable[[str, str], str]) -> dict[str, Any]:
    """Read the local model's settings: server, model, time limits, concurrent calls."""
    return {
        "ollama_host": text("OLLAMA_HOST", DEFAULT_OLLAMA),
        "ollama_model": text("OLLAMA_MODEL", "llama3.2:3b"),
        "ollama_set": bool(text("OLLAMA_HOST", "") or text("OLLAMA_MODEL", "")),
        "ollama_timeout_s": _number("OLLAMA_TIMEOUT", text("OLLAMA_TIMEOUT", "120"), 1, 3600),
        "ollama_reads": _order("OLLAMA_READS", text("OLLAMA_READS", ""), OLLAMA_READS),
        "ollama_concurrency": int(_number("OLLAMA_CONCURRENCY", text("OLLAMA_CONCURRENCY", "2"), 1, 64)),
    }


def _cluster(text: Callable[[str, str], str]) -> dict[str, Any]:
    """Read where runs go, how large they are, and how long what they leave is kept."""
    return {
        "kube_namespace": text("CRYPTO_ASSETS_KUBE_NAMESPACE", "") or None,
        "kube_selector": _selector(text("CRYPTO_ASSETS_KUBE_SELECTOR", KUBE_SELECTOR)),
        "kube_dry_run": _switch("CRYPTO_ASSETS_KUBE_DRY_RUN", text("CRYPTO_ASSETS_KUBE_DRY_RUN", "no")),
        "chunk_days": _count("CRYPTO_ASSETS_CHUNK_DAYS", text("CRYPTO_ASSETS_CHUNK_DAYS", "366")),
        "history_days": _history_days(text("CRYPTO_ASSETS_HISTORY_DAYS", "2")),
    }


def _history_days(text: str) -> int:
    """Read how long all that runs left is kept: at least as long as alerts look back."""
    if not text.isdecimal() or int(text) < HISTORY_DAYS_LEAST:
        raise UsageError(
            f"CRYPTO_ASSETS_HISTORY_DAYS {text!r} is not a number of days from {HISTORY_DAYS_LEAST} on (alerts look a day back); "
            "write e.g. 7"
        )
    return int(text)


def _selector(text: str) -> str:
    key, equals, value = text.partition("=")
    if not key.strip() or not equals or not value.strip() or set(text) & set(",! ()"):
        raise UsageError(f"CRYPTO_ASSETS_KUBE_SELECTOR {text!r} is not one label; write e.g. {KUBE_SELECTOR}")
    return text


def _switch(name: str, text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false", "1", "0"):
        raise UsageError(f"{name} {text!r} is not yes or no")
    return text.lower() in ("yes", "true", "1")


def _count(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{name} {text!r} is not a number of days; write e.g. 30")
    return int(text)
