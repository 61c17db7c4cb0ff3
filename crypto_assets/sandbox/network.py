"""The routes of chain data without a key: blockchain.info, mempool.space, DefiLlama's overviews."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Protocol

import polars as pl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto_assets.sources.network import FEE_RATES

DAY_S = 86_400


class Backend(Protocol):
    """The part of a back end that this file needs."""

    def now(self) -> datetime:
        """Return the current time of the market, UTC."""

    def network(self, name: str) -> dict[date, float] | None:
        """Return day -> value of a chart (``n-transactions``), of ``fee-rates`` or of ``dexs/CHAIN``; None if unknown."""


def recorded(folder: Path, name: str) -> dict[date, float] | None:
    """Read a chart of the recordings ``blockchain_charts/*.parquet``; None where it is not recorded."""
    paths = sorted(folder.glob("blockchain_charts/*.parquet"))
    if not paths:
        return None
    rows = pl.concat([pl.read_parquet(path) for path in paths]).filter(pl.col("chart") == name)
    days = rows.select(pl.col("date").str.slice(0, 10).str.to_date(), "value").unique(
        "date", keep="first", maintain_order=True
    )
    return dict(days.sort("date").rows()) or None


def routes(backend: Backend) -> list[Route]:
    """Return the routes under ``/blockchain`` and ``/mempool``, and DefiLlama's overviews at the root."""

    def points(name: str) -> list[tuple[int, float]] | None:
        found = backend.network(name)
        if found is None:
            return None
        closed = backend.now().date()
        return [(_epoch(day), value) for day, value in found.items() if day < closed]

    def chart(request: Request) -> Response:
        name = request.path_params["name"]
        found = points(name)
        if found is None:
            return JSONResponse({"status": "not-found"}, 404)
        shown = found if request.query_params.get("sampled") == "false" else found[:: max(1, len(found) // 1500)]
        return JSONResponse(
            {"status": "ok", "name": name, "period": "day", "values": [{"x": x, "y": y} for x, y in shown]}
        )

    def fee_rates(request: Request) -> Response:
        found = points("fee-rates")
        if found is None:
            return Response("not found", 404)
        since = (backend.now() - timedelta(days=3 * 365)).timestamp()
        return JSONResponse([{"timestamp": x + 43_200, "avgFee_50": y} for x, y in found if x >= since])

    def overview(request: Request) -> Response:
        found = points(f"{request.path_params['kind']}/{request.path_params['chain']}")
        if found is None:
            return JSONResponse({"message": "Chain not found"}, 404)
        return JSONResponse({"totalDataChart": [list(point) for point in found]})

    return [
        Route("/blockchain/charts/{name}", chart),
        Route(f"/mempool{FEE_RATES}", fee_rates),
        Route("/overview/{kind}/{chain}", overview),
    ]


def _epoch(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())
