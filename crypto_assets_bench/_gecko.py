"""A server with CoinGecko's hourly charts of any coin, under a rate limit: ``python -m crypto_assets_bench._gecko N S``.

It prints its address, and at ``/counts`` what came: calls, refused ones, and the seconds from the first to the last.
"""

from __future__ import annotations

import socket
import sys
import time
from functools import cache

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto_assets.sandbox.faults import Faults, parse

HOUR_S = 3600


def app(calls: int, seconds: float) -> Starlette:
    limit = Faults(parse(f"limit={calls},window={seconds}"), seed=0)
    arrivals: list[float] = []

    async def chart(request: Request) -> Response:
        arrivals.append(time.monotonic())
        first, last = (int(request.query_params[name]) for name in ("from", "to"))
        if last - first > 100 * 86_400:
            return JSONResponse({"error": {"status": {"error_code": 10012, "error_message": "100 days at most"}}}, 401)
        refused = limit.refusal(request.url.path)
        return refused or Response(_body(first, last), media_type="application/json")

    async def counts(_: Request) -> Response:
        span = arrivals[-1] - arrivals[0] if arrivals else 0.0
        return JSONResponse({"calls": len(arrivals), "refused": limit.refused, "span_s": span})

    return Starlette(routes=[Route("/api/v3/coins/{id}/market_chart/range", chart), Route("/counts", counts)])


@cache
def _body(first: int, last: int) -> bytes:
    """The same for every coin: what is measured is the pace, not the market."""
    stamps = [(mark + 17) * 1000 for mark in range(-(-first // HOUR_S) * HOUR_S, last, HOUR_S)]
    names = ("prices", "market_caps", "total_volumes")
    series = {name: [[stamp, 100.5 + n % 97] for n, stamp in enumerate(stamps)] for name in names}
    return JSONResponse(series).body  # type: ignore[return-value]


def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    served = app(int(sys.argv[1]), float(sys.argv[2]))
    uvicorn.Server(uvicorn.Config(served, log_level="critical", lifespan="off")).run([listener])


if __name__ == "__main__":
    main()
