"""Examine everything that the platform needs: one finding per line, with what to do where something is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from crypto_assets.catalog import select
from crypto_assets.catalog.macro import of_provider
from crypto_assets.checks.health import free_space
from crypto_assets.errors import CryptoAssetsError, WarehouseError
from crypto_assets.narratives.llm.examine import examine_model
from crypto_assets.operate import doctor_deployment
from crypto_assets.settings import Settings, variable
from crypto_assets.sources import cboe, coingecko, ecb, fred, nyfed, treasury
from crypto_assets.sources.binance_statistics import archive_path
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.client.limits import PREMIUM_PLANS, PROVIDERS, limit_of, plan_of
from crypto_assets.sources.client.quota import QuotaStore, open_quota_store
from crypto_assets.sources.coingecko_context import fetch_ids, fetch_key
from crypto_assets.sources.network import FEE_RATES


@dataclass(frozen=True)
class Finding:
    """One finding. ``ok``: nothing to do. ``warn``: works with less. ``fail``: repair it first."""

    name: str
    state: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Return the finding as a document."""
        return asdict(self)


FILES = ("binance_archive", "cboe", "treasury")  # their answers are no JSON
LIMIT = timedelta(seconds=75)  # for all providers and the model together; the model alone may take 60 s to load


def examine() -> Iterator[Finding]:
    """Examine configuration, storage, cluster, database, disk, each source, Ollama and its model.

    Yields:
        Each finding as soon as it is known. Providers are asked at once and come in the order of their answers; no later
        than ``LIMIT`` after the first was asked, those without an answer are findings too.
    """
    try:
        settings = Settings.from_env()
        coins = select(settings.coins)
    except CryptoAssetsError as error:
        yield Finding("configuration", "fail", str(error))
        return
    yield Finding(
        "configuration", "ok",
        f"{len(coins)} coins from {settings.start}; CoinGecko plan {settings.coingecko_plan}; "
        f"state in {settings.home}" + (f", a demo's home ({settings.demo.sandbox})" if settings.demo else ""),
    )  # fmt: skip
    yield _guard("warehouse", lambda: _warehouse(settings))
    if "://" in settings.warehouse:
        yield _guard("object_store", lambda: doctor_deployment.object_store(settings))
    if settings.kube_namespace is not None:
        yield _kubernetes(settings)
    database = _guard("database", lambda: _database(settings))
    yield database
    yield disk(settings.home)
    yield models(settings)
    yield from _limits(settings)
    # These calls also count against the month's budget, where the quota store can be reached.
    quota = open_quota_store((variable("DAGSTER_POSTGRES_URL") or None) if database.state == "ok" else None)
    with asyncio.Runner() as runner:
        answers = _asked(settings, quota)
        while (found := runner.run(anext(answers, None))) is not None:  # type: ignore[arg-type]
            yield found


async def _asked(settings: Settings, quota: QuotaStore) -> AsyncIterator[Finding]:
    """Yield what providers and the model answer, in the order of their answers."""
    async with Client(max_attempts=2, settings=settings, quota=quota) as client:
        waiting = {asyncio.create_task(probe, name=name) for name, probe in _probes(client, settings).items()}
        deadline = asyncio.get_running_loop().time() + LIMIT.total_seconds()
        while waiting:
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: task.get_name()):
                for finding in task.result():
                    yield finding
            if not done:
                for task in sorted(waiting, key=lambda task: task.get_name()):
                    task.cancel()
                    text = (
                        f"no answer within {LIMIT.total_seconds():.0f} s; its tables cannot be filled until it answers"
                    )
                    yield Finding(task.get_name(), "warn", text)
                return


def _kubernetes(settings: Settings) -> Finding:
    try:
        well, text = doctor_deployment.kubernetes(settings)
    except CryptoAssetsError as error:
        return Finding("kubernetes", "fail", str(error))
    return Finding("kubernetes", "ok" if well else "warn", text)


def _guard(name: str, probe: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", probe())
    except CryptoAssetsError as error:
        return Finding(name, "fail", str(error))


def _warehouse(settings: Settings) -> str:
    from crypto_assets.storage.warehouse import Warehouse

    warehouse = Warehouse(settings.warehouse)
    versions = {name: v for name, v in warehouse.versions().items() if v is not None}
    for table in versions if warehouse.is_local else ():  # in an object store this would be one call per file
        log = Path(warehouse.path(table), "_delta_log")
        blank = sorted(commit.name for commit in log.glob("*.json") if not commit.stat().st_size)
        if blank:  # it is read as a commit that did nothing
            raise WarehouseError(
                f"{table} in {warehouse.uri} lost what {blank[0]} of its log had written (the file is empty, as after a power "
                "cut); backfill the days of that time again, without --missing"
            )
        lost = [path for path in warehouse.files(table)["path"] if not Path(warehouse.path(table), path).exists()]
        if lost:
            raise WarehouseError(
                f"{table} in {warehouse.uri} lacks {len(lost)} of its files, first {lost[0]}; restore the table from a "
                "backup, or move its folder away and backfill"
            )
    return f"{settings.warehouse} holds {len(versions)} table(s)"


def _database(settings: Settings) -> str:
    from crypto_assets.runtime.home import open_instance

    with open_instance(settings) as instance:
        return f"{'external' if settings.postgres_url else 'embedded'} Postgres answers; {instance.get_runs_count()} run(s)"


def disk(home: Path) -> Finding:
    """Compare free space with the limits of the check ``disk_space``.

    The check itself cannot run once Postgres has no space left.

    Args:
        home: the home folder.

    Returns:
        The finding.
    """
    found = free_space(home)
    if found.passed:
        return Finding("disk", "ok", found.description)
    state = "fail" if found.severity == "ERROR" else "warn"
    return Finding(
        "disk", state, f"{found.description}; Postgres and the tables cannot grow without it: make room there"
    )


def models(settings: Settings) -> Finding:
    """Check that the models can be trained: their file, and LightGBM with the system's OpenMP library.

    Args:
        settings: names the file of the models.

    Returns:
        The finding.
    """
    from crypto_assets.assets.models import configs_of
    from crypto_assets.models.learners import booster_library

    try:
        names = ", ".join(config.name for config in configs_of(settings))
    except CryptoAssetsError as error:
        return Finding("models", "fail", str(error))
    try:
        version = booster_library().__version__
    except CryptoAssetsError as error:
        return Finding("models", "warn", str(error))
    return Finding("models", "ok", f"{names} can be trained; LightGBM {version}")


def _probes(client: Client, settings: Settings) -> dict[str, Coroutine[Any, Any, list[Finding]]]:
    """Return name -> what asks it: each provider, each feed, CoinGecko's plan and list, the model."""
    day = "2024-01-01"
    addresses = {
        "coingecko": ("coingecko", f"{settings.coingecko_base_url}/ping"),
        "coinmetrics": (
            "coinmetrics",
            f"{settings.coinmetrics_base_url}/timeseries/asset-metrics"
            f"?assets=btc&metrics=PriceUSD&frequency=1d&start_time={day}&end_time={day}",
        ),
        "binance": ("binance", f"{settings.binance_base_url}/klines?symbol=BTCUSDT&interval=1h&limit=1"),
        "binance_futures": (
            "binance_funding",
            f"{settings.binance_futures_base_url}/fapi/v1/fundingRate?symbol=BTCUSDT&limit=1",
        ),
        "binance_archive": (
            "binance_archive",
            f"{settings.binance_archive_base_url}{archive_path('BTCUSDT', date(2024, 1, 1))}.CHECKSUM",
        ),
        "bybit": (
            "bybit",
            f"{settings.bybit_base_url}/v5/market/funding/history?category=linear&symbol=BTCUSDT&limit=1",
        ),
        "deribit": (
            "deribit",
            f"{settings.deribit_base_url}/api/v2/public/get_volatility_index_data?currency=BTC&resolution=3600"
            "&start_timestamp=1704067200000&end_timestamp=1704070800000",
        ),
        "kraken": ("kraken", f"{settings.kraken_base_url}/OHLC?pair=XBTUSD&interval=60"),
        **_keyless(settings, day),
        "defillama": ("defillama", f"{settings.defillama_base_url}/v2/historicalChainTvl"),
        "fear_greed": ("alternative_me", f"{settings.fear_greed_base_url}/fng/?limit=1"),
        **{f"news:{name}": ("rss", url) for name, url in settings.news_feeds.items()},
        **{f"social:{name}": ("rss", url) for name, url in settings.social_feeds.items()},
    }
    return {
        **{name: _reach(client, settings, name, *where) for name, where in addresses.items()},
        "fred": _fred(client, settings),
        "catalogue": _coingecko(client, settings),
        "ollama": _ollama(settings),
    }


def _keyless(settings: Settings, day: str) -> dict[str, tuple[str, str]]:
    """Return name -> (provider, address) of the providers of macro series and chain data that need no key."""
    return {
        "blockchain": ("blockchain", f"{settings.blockchain_base_url}/charts/difficulty?timespan=5days&format=json"),
        "mempool": ("mempool", f"{settings.mempool_base_url}{FEE_RATES}"),
        "cboe": ("cboe", f"{settings.cboe_base_url}{cboe.ROUTE}"),
        "nyfed": (
            "nyfed",
            f"{settings.nyfed_base_url}{nyfed.ROUTES['SOFR']}?startDate={day}&endDate=2024-01-05&type=rate",
        ),
        "treasury": (
            "treasury",
            f"{settings.treasury_base_url}{treasury.ROUTE}?data=daily_treasury_yield_curve&field_tdr_date_value_month=202401",
        ),
        "ecb": (
            "ecb",
            f"{settings.ecb_base_url}/service/data/{ecb.FLOWS['DEXUSEU']}?startPeriod=2024-01-02&endPeriod=2024-01-02&format=jsondata",
        ),
    }


def _limits(settings: Settings) -> list[Finding]:
    """Find names in RATE_LIMITS or API_BUDGETS that are not providers; their limits would have no effect."""
    strange = sorted({*settings.rate_limits, *settings.api_budgets} - {*PROVIDERS})
    text = (
        f"RATE_LIMITS or API_BUDGETS names {', '.join(strange)}, whom nothing calls; names are {', '.join(PROVIDERS)}"
    )
    return [Finding("limits", "warn", text)] if strange else []


async def _coingecko(client: Client, settings: Settings) -> list[Finding]:
    """Examine the plan, its limit and budget; with a paid key also the provider's count.

    The catalogue against its list.
    """
    found = []
    name, plan = plan_of("coingecko", settings) or ("", None)
    limit = limit_of("coingecko", settings)
    if plan is not None:
        budget = f", {limit.budget:,} a month" if limit is not None and limit.budget is not None else ""
        found.append(Finding("plan", "ok", f"CoinGecko {name}: {plan.calls} calls in {plan.seconds:g} s{budget}"))
    if settings.coingecko_plan in PREMIUM_PLANS:
        found.append(await _credits(client, settings))
    return [*found, await _catalogue(client, settings)]


async def _credits(client: Client, settings: Settings) -> Finding:
    try:
        usage = await fetch_key(client, settings)
    except CryptoAssetsError as error:
        return Finding("credits", "warn", str(error))
    text = f"{usage.used:,} of {usage.credits:,} credits used, {usage.left:,} left; {usage.calls_per_minute} calls a minute"
    return Finding("credits", "ok" if usage.left > usage.credits * 0.2 else "warn", text)


async def _catalogue(client: Client, settings: Settings) -> Finding:
    try:
        listed = await fetch_ids(client, settings)
    except CryptoAssetsError as error:
        return Finding("catalogue", "warn", f"{error}; the identifiers were not checked")
    gone = [c.symbol for c in select(settings.coins) if c.coingecko is not None and c.coingecko not in listed]
    if gone:
        return Finding(
            "catalogue", "warn", f"CoinGecko no longer lists {', '.join(gone)}; correct crypto_assets/catalog/coins.csv"
        )
    return Finding("catalogue", "ok", "CoinGecko lists every configured coin")


async def _reach(client: Client, settings: Settings, name: str, provider: str, url: str) -> list[Finding]:
    headers = coingecko.headers(settings) if provider == "coingecko" else None  # the same headers as in runs
    try:
        if provider == "rss":
            await client.get_bytes(provider, url, subject=name, endpoint=name.removeprefix("news:"))
        elif provider in FILES:
            await client.get_bytes(provider, url)
        else:
            await client.get_json(provider, url, headers=headers)
    except CryptoAssetsError as error:
        return [Finding(name, "warn", f"{error}; its tables cannot be filled until it answers")]
    return [Finding(name, "ok", "answers")]


async def _fred(client: Client, settings: Settings) -> list[Finding]:
    """Examine the key of FRED; without one, say what it would add."""
    series = of_provider("fred")
    names = ", ".join(one.name for one in series)
    if settings.fred_api_key is None:
        text = (
            f"FRED_API_KEY is not set: {len(series)} series are not fetched ({names}), and the features of the group macro "
            f"that rest on them are null, at {settings.fred_base_url}; VIX, Treasury yields, SOFR, EFFR and the ECB need no key"
        )
        return [Finding("fred", "ok", text)]
    try:
        await fred.get(client, settings, fred.RELEASES, "release 10", release_id=10, limit=1)
    except CryptoAssetsError as error:
        return [Finding("fred", "warn", f"{error}; until then these series are not fetched: {names}")]
    return [Finding("fred", "ok", f"the key is accepted; it adds {len(series)} series: {names}")]


async def _ollama(settings: Settings) -> list[Finding]:
    """Examine the model. Its absence is a warning, because the lexicon works without it."""
    well, text = await examine_model(settings)
    return [Finding("ollama", "ok" if well else "warn", text if well else f"{text}; until then the lexicon fills in")]
