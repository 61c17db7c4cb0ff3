"""The routes of the other providers: Coin Metrics, DefiLlama, Alternative.me, RSS and Atom feeds."""

from __future__ import annotations

import base64
from datetime import date, datetime, timezone
from email.utils import format_datetime
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto_assets.sandbox.market import Backend, Item

FEED_ITEMS = 5000


def routes(backend: Backend) -> list[Route]:
    """Return the routes: Coin Metrics under ``/v4``; DefiLlama, Alternative.me and ``/rss/{feed}`` at the root."""

    def asset_metrics(request: Request) -> Response:
        asked = request.query_params
        metrics = asked.get("metrics", "").split(",")
        first, last = asked.get("start_time", "")[:10], asked.get("end_time", "9999")[:10]
        rows = []
        for asset in asked.get("assets", "").split(","):
            found = backend.onchain(asset, first, last)
            if found is None:
                message = f"Bad parameter 'assets'. Value '{asset}' is not supported."
                return JSONResponse({"error": {"type": "bad_parameter", "message": message}}, 400)
            for row in found:
                values = {name: row[name] for name in metrics if name in row}
                if values:
                    rows.append({"asset": asset, "time": f"{row['time']}T00:00:00.000000000Z", **values})
        return JSONResponse(_page(rows, max(1, int(asked.get("page_size", 100))), asked.get("next_page_token")))

    def tvl(request: Request) -> Response:
        days = backend.tvl(request.path_params.get("chain", "all"))
        if days is None:
            return JSONResponse({"message": "Chain not found"}, 404)
        return JSONResponse([{"date": _epoch(day), "tvl": value} for day, value in days.items()])

    def stablecoins(request: Request) -> Response:
        days = backend.stablecoins(request.path_params["chain"])
        if days is None:
            return JSONResponse({"message": "Chain not found"}, 404)
        supply = [{"date": str(_epoch(d)), "totalCirculatingUSD": {"peggedUSD": v}} for d, v in days.items()]
        return JSONResponse(supply)

    def fear_greed(request: Request) -> Response:
        limit = int(request.query_params.get("limit", 1))
        rows = [
            {"value": str(value), "value_classification": _mood(value), "timestamp": str(_epoch(day))}
            for day, value in sorted(backend.fear_greed(), reverse=True)
        ]
        return JSONResponse(
            {"name": "Fear and Greed Index", "data": rows[: limit or None], "metadata": {"error": None}}
        )

    def feed(request: Request) -> Response:
        items = backend.feeds().get(request.path_params["feed"])
        if items is None:
            return Response("<html>not found</html>", 404, media_type="text/html")
        write = _atom if request.path_params["feed"] == "decrypt" else _rss
        return Response(write(request.path_params["feed"], items[:FEED_ITEMS]), media_type="application/xml")

    return [
        Route("/v4/timeseries/asset-metrics", asset_metrics),
        Route("/v2/historicalChainTvl", tvl),
        Route("/v2/historicalChainTvl/{chain}", tvl),
        Route("/stablecoincharts/{chain}", stablecoins),
        Route("/fng/", fear_greed),
        Route("/rss/{feed}", feed),
        Route(
            "/posts/forum",
            lambda request: Response(_rss("forum", backend.posts()[:FEED_ITEMS]), media_type="application/xml"),
        ),
    ]


def _mood(value: int) -> str:
    limits = ((25, "Extreme Fear"), (46, "Fear"), (55, "Neutral"), (76, "Greed"))
    return next((name for limit, name in limits if value < limit), "Extreme Greed")


def _epoch(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())


def _page(rows: list[dict[str, str]], size: int, token: str | None) -> dict[str, object]:
    """Return one page. The token is opaque to clients: ``0.`` and the unpadded base64 of the next row's number."""
    start = int(base64.b64decode(token[2:] + "=" * (-len(token[2:]) % 4))) if token else 0
    page: dict[str, object] = {"data": rows[start : start + size]}
    if start + size < len(rows):
        page["next_page_token"] = "0." + base64.b64encode(str(start + size).encode()).decode().rstrip("=")
    return page


def _rss(name: str, items: list[Item]) -> str:
    entries = "".join(
        f"<item><title>{escape(i.title)}</title><link>{escape(i.url)}</link><guid>{escape(i.url)}</guid>"
        f"<description><![CDATA[{i.summary.replace(']]>', '')}]]></description>"
        f"<pubDate>{format_datetime(i.published)}</pubDate></item>"
        for i in items
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>{escape(name)}</title>'
        f"{entries}</channel></rss>"
    )


def _atom(name: str, items: list[Item]) -> str:
    entries = "".join(
        f'<entry><title>{escape(i.title)}</title><link href="{escape(i.url)}"/><id>{escape(i.url)}</id>'
        f'<summary type="html">{escape(i.summary)}</summary><published>{i.published.isoformat()}</published></entry>'
        for i in items
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>{escape(name)}</title>'
        f"{entries}</feed>"
    )
