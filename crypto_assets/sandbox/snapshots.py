"""Routes for the current state or one day: derivatives, communities, the key, protocols, yields, Kraken's tickers.

A replay has recorded none of these, and answers like a provider without data.
"""

from __future__ import annotations

from datetime import datetime, timezone
from zlib import crc32

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto_assets.catalog import Coin, all_coins
from crypto_assets.sandbox.market import Backend

VENUES = ("Binance (Futures)", "Bybit (Futures)", "OKX (Futures)")
PROTOCOLS = (
    ("Lido", "Liquid Staking"),
    ("Aave", "Lending"),
    ("Uniswap", "Dexs"),
    ("MakerDAO", "CDP"),
    ("Curve", "Dexs"),
)


def routes(backend: Backend) -> list[Route]:
    """Return the routes: CoinGecko's under ``/api/v3``, DefiLlama's at the root, Kraken's under ``/0/public``."""
    by_id = {coin.coingecko: coin for coin in all_coins() if coin.coingecko}
    by_altname = {coin.kraken: coin for coin in all_coins() if coin.kraken}
    generated = backend.mark == "sandbox"

    def derivatives(_: Request) -> Response:
        coins = [coin for coin in all_coins() if generated and coin.binance and coin.consensus != "stable"]
        return JSONResponse([row for coin in coins for row in _contracts(backend, coin)])

    def history(request: Request) -> Response:
        coin = by_id.get(request.path_params["id"])
        try:
            day = datetime.strptime(request.query_params.get("date", ""), "%d-%m-%Y").replace(tzinfo=timezone.utc)
        except ValueError:
            return JSONResponse({"error": "invalid date"}, 400)
        if coin is None or not generated:
            return JSONResponse({"error": "coin not found"}, 404)
        return JSONResponse(_history(coin, day))

    def key(_: Request) -> Response:
        used = {"current_total_monthly_calls": 0, "current_remaining_monthly_calls": 500_000}
        return JSONResponse(
            {"plan": "Analyst", "rate_limit_request_per_minute": 500, "monthly_call_credit": 500_000, **used}
        )

    def protocols(_: Request) -> Response:
        return JSONResponse([_protocol(backend, name, category) for name, category in PROTOCOLS if generated])

    def pools(_: Request) -> Response:
        return JSONResponse({"status": "success", "data": [_pool(backend, name) for name, _ in PROTOCOLS if generated]})

    def ticker(request: Request) -> Response:
        pair = request.query_params.get("pair", "")
        newest = backend.newest(by_altname[pair].symbol) if pair in by_altname else None
        if newest is None:
            return JSONResponse({"error": ["EQuery:Unknown asset pair"]})
        last = repr(newest[1])
        return JSONResponse(
            {"error": [], "result": {pair: {"a": [last, "1", "1"], "b": [last, "1", "1"], "c": [last, "0.1"]}}}
        )

    gecko = "/api/v3"
    return [
        Route(f"{gecko}/derivatives", derivatives),
        Route(f"{gecko}/coins/{{id}}/history", history),
        Route(f"{gecko}/key", key),
        Route("/protocols", protocols),
        Route("/pools", pools),
        Route("/0/public/Ticker", ticker),
    ]


def _random(*names: str) -> np.random.Generator:
    return np.random.default_rng(crc32("/".join(names).encode()))


def _contracts(backend: Backend, coin: Coin) -> list[dict[str, object]]:
    newest = backend.newest(coin.symbol)
    if newest is None:
        return []
    hour, price = newest
    rows: list[dict[str, object]] = []
    for venue in VENUES:
        random = _random("contract", venue, coin.symbol, str(hour))
        basis = float(random.normal(0, 0.05))
        rows.append(
            {
                "market": venue,
                "symbol": f"{coin.symbol}USDT",
                "index_id": coin.symbol,
                "price": repr(price),
                "contract_type": "perpetual",
                "index": price / (1 + basis / 100),
                "basis": basis,
                "funding_rate": float(random.normal(0.005, 0.01)),
                "open_interest": float(random.lognormal(18, 1)),
                "volume_24h": float(random.lognormal(19, 1)),
                "last_traded_at": hour,
                "expired_at": None,
            }
        )
    return rows


def _history(coin: Coin, day: datetime) -> dict[str, object]:
    size = float(_random("community", coin.symbol).lognormal(9, 2))
    age = (day - datetime(2017, 1, 1, tzinfo=timezone.utc)).days
    random = _random("history", coin.symbol, f"{day:%Y-%m-%d}")
    grown = int(size * (1 + age / 2000))
    return {
        "id": coin.coingecko,
        "symbol": coin.symbol.lower(),
        "name": coin.name,
        "community_data": {
            "facebook_likes": None,
            "reddit_subscribers": grown,
            "reddit_accounts_active_48h": float(int(grown * random.uniform(0.001, 0.01))),
            "reddit_average_posts_48h": round(float(random.uniform(0, 9)), 3),
            "reddit_average_comments_48h": round(float(random.uniform(0, 90)), 3),
        },
        "developer_data": {
            "forks": grown // 40,
            "stars": grown // 20,
            "subscribers": grown // 300,
            "total_issues": 500 + age,
            "closed_issues": 400 + age,
            "pull_requests_merged": 300 + age,
            "pull_request_contributors": 40 + age // 30,
            "code_additions_deletions_4_weeks": {
                "additions": int(random.integers(100, 9000)),
                "deletions": -int(random.integers(50, 4000)),
            },
            "commit_count_4_weeks": int(random.integers(0, 300)),
        },
    }


def _protocol(backend: Backend, name: str, category: str) -> dict[str, object]:
    random = _random("protocol", name, f"{backend.now():%Y-%m-%d}")
    ids = {"Aave": "aave", "Uniswap": "uniswap", "MakerDAO": "maker", "Lido": "lido-dao", "Curve": "curve-dao-token"}
    return {
        "name": name,
        "slug": name.lower(),
        "category": category,
        "gecko_id": ids[name],
        "tvl": float(random.lognormal(22, 0.2)),
    }


def _pool(backend: Backend, name: str) -> dict[str, object]:
    random = _random("pool", name, f"{backend.now():%Y-%m-%d}")
    apy = round(float(random.uniform(0.5, 8)), 4)
    return {
        "chain": "Ethereum",
        "project": name.lower(),
        "symbol": "STETH" if name == "Lido" else "USDC",
        "tvlUsd": float(random.lognormal(20, 0.2)),
        "apy": apy,
        "apyBase": apy,
        "pool": f"pool-{name.lower()}",
        "stablecoin": name != "Lido",
    }
