"""Examine everything that the platform needs: one finding per line, with what to do where something is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from crypto_assets.catalog import select
from crypto_assets.checks.health import free_space
from crypto_assets.errors import CryptoAssetsError, WarehouseError
from crypto_assets.narratives.llm.examine import examine_model
from crypto_assets.operate import doctor_deployment
from crypto_assets.settings import Settings, variable
from crypto_assets.sources import coingecko
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.client.limits import PREMIUM_PLANS, PROVIDERS, limit_of, plan_of
from crypto_assets.sources.client.quota import QuotaStore, open_quota_store
from crypto_assets.sources.coingecko_context import fetch_ids, fetch_key


@dataclass(frozen=True)
class Finding:
    """One finding. ``ok``: nothing to do. ``warn``: works with less. ``fail``: repair it first."""

    name: str
    state: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Return the finding as a document."""
        return asdict(self)


def examine() -> list[Finding]:
    """Examine configuration, storage, cluster, database, disk, each source, Ollama and its model."""
    try:
        settings = Settings.from_env()
        coins = select(settings.coins)
    except CryptoAssetsError as error:
        return [Finding("configuration", "fail", str(error))]
    findings = [
        Finding(
            "configuration", "ok",
            f"{len(coins)} coins from {settings.start}; CoinGecko plan {settings.coingecko_plan}; "
            f"state in {settings.home}" + (f", a demo's home ({settings.demo.sandbox})" if settings.demo else ""),
        )
    ]  # fmt: skip
    findings.append(_guard("warehouse", lambda: _warehouse(settings)))
    if "://" in settings.warehouse:
        findings.append(_guard("object_store", lambda: doctor_deployment.object_store(settings)))
    if settings.kube_namespace is not None:
        findings.append(_kubernetes(settings))
    database = _guard("database", lambda: _database(settings))
    # These calls also count against the month's budget, where the quota store can be reached.
    quota = open_quota_store((variable("DAGSTER_POSTGRES_URL") or None) if database.state == "ok" else None)
    findings.append(database)
    findings.append(disk(settings.home))
    findings.extend(_limits(settings))
    findings.extend(asyncio.run(_sources(settings, quota)))
    findings.extend(asyncio.run(_coingecko(settings, quota)))
    findings.append(_ollama(settings))
    return findings


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


async def _sources(settings: Settings, quota: QuotaStore) -> list[Finding]:
    day = "2024-01-01"
    probes = {
        "coingecko": ("coingecko", f"{settings.coingecko_base_url}/ping"),
        "coinmetrics": (
            "coinmetrics",
            f"{settings.coinmetrics_base_url}/timeseries/asset-metrics"
            f"?assets=btc&metrics=PriceUSD&frequency=1d&start_time={day}&end_time={day}",
        ),
        "binance": ("binance", f"{settings.binance_base_url}/klines?symbol=BTCUSDT&interval=1h&limit=1"),
        "kraken": ("kraken", f"{settings.kraken_base_url}/OHLC?pair=XBTUSD&interval=60"),
        "defillama": ("defillama", f"{settings.defillama_base_url}/v2/historicalChainTvl"),
        "fear_greed": ("alternative_me", f"{settings.fear_greed_base_url}/fng/?limit=1"),
        **{f"news:{name}": ("rss", url) for name, url in settings.news_feeds.items()},
    }
    async with Client(max_attempts=2, settings=settings, quota=quota) as client:
        reached = (_reach(client, settings, name, provider, url) for name, (provider, url) in probes.items())
        return list(await asyncio.gather(*reached))


def _limits(settings: Settings) -> list[Finding]:
    """Find names in RATE_LIMITS or API_BUDGETS that are not providers; their limits would have no effect."""
    strange = sorted({*settings.rate_limits, *settings.api_budgets} - {*PROVIDERS})
    text = (
        f"RATE_LIMITS or API_BUDGETS names {', '.join(strange)}, whom nothing calls; names are {', '.join(PROVIDERS)}"
    )
    return [Finding("limits", "warn", text)] if strange else []


async def _coingecko(settings: Settings, quota: QuotaStore) -> list[Finding]:
    """Examine the plan, its limit and budget; with a paid key also the provider's count.

    The catalogue against its list.
    """
    found = []
    name, plan = plan_of("coingecko", settings) or ("", None)
    limit = limit_of("coingecko", settings)
    if plan is not None:
        budget = f", {limit.budget:,} a month" if limit is not None and limit.budget is not None else ""
        found.append(Finding("plan", "ok", f"CoinGecko {name}: {plan.calls} calls in {plan.seconds:g} s{budget}"))
    async with Client(max_attempts=2, settings=settings, quota=quota) as client:
        if settings.coingecko_plan in PREMIUM_PLANS:
            found.append(await _credits(client, settings))
        found.append(await _catalogue(client, settings))
    return found


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


async def _reach(client: Client, settings: Settings, name: str, provider: str, url: str) -> Finding:
    headers = coingecko.headers(settings) if provider == "coingecko" else None  # the same headers as in runs
    try:
        if provider == "rss":
            await client.get_bytes(provider, url, subject=name, endpoint=name.removeprefix("news:"))
        else:
            await client.get_json(provider, url, headers=headers)
    except CryptoAssetsError as error:
        return Finding(name, "warn", f"{error}; its tables cannot be filled until it answers")
    return Finding(name, "ok", "answers")


def _ollama(settings: Settings) -> Finding:
    """Examine the model. Its absence is a warning, because the lexicon works without it."""
    well, text = asyncio.run(examine_model(settings))
    return Finding("ollama", "ok" if well else "warn", text if well else f"{text}; until then the lexicon fills in")
