"""Venues of derivatives for tests: what they list, answered in their wire formats by a function of requests."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any

from crypto_assets_tests.sources.wire_server import Reply, Request

UTC = timezone.utc
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HEAD = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)


def at(day: date, hours: float = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + hours * HOUR


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def every(hours: int, first: datetime, last: datetime) -> list[datetime]:
    return [first + hours * HOUR * n for n in range(int((last - first) / (hours * HOUR)) + 1)]


def packed(contract: str, rows: Iterable[tuple[str, float, float, Any, Any]]) -> bytes:
    """A daily file: (label, open interest, its value, long/short, taker ratio) a row."""
    lines = [HEAD, *(f"{label},{contract},{a!r},{b!r},1,1,{c},{d}" for label, a, b, c, d in rows)]
    return zipped("\n".join(lines) + "\n")


def zipped(text: str) -> bytes:
    """A zip of one CSV file; the same text gives the same bytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr(zipfile.ZipInfo("metrics.csv"), text)
    return held.getvalue()


def checksum(body: bytes) -> bytes:
    return f"{hashlib.sha256(body).hexdigest()}  file.zip\n".encode()


@dataclass
class Venues:
    """Settlements by contract as (stamp, rate); files by path. A contract that is not there is not listed."""

    binance: Mapping[str, list[tuple[datetime, float]]] = field(default_factory=dict)
    bybit: Mapping[str, list[tuple[datetime, float]]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    mark: str = ""

    def __call__(self, request: Request) -> Any:
        if request.path.endswith("/fapi/v1/fundingRate"):
            return self.funding(request)
        if request.path.endswith("/v5/market/funding/history"):
            return self.history(request)
        if request.path.startswith("/binance-archive"):
            body = self.files.get(request.path.rpartition("/")[2])
            return Reply(b"<Error>NoSuchKey</Error>", 404) if body is None else body
        return Reply({"code": -1121, "msg": "Invalid symbol."}, 400)

    def funding(self, request: Request) -> Any:
        listed = self.binance.get(request.query["symbol"])
        if listed is None:
            return Reply({"code": -1121, "msg": "Invalid symbol."}, 400)
        first, last = int(request.query["startTime"]), int(request.query["endTime"])
        rows = [
            {
                "symbol": request.query["symbol"],
                "fundingRate": repr(rate),
                "fundingTime": ms(stamp),
                "markPrice": self.mark,
            }
            for stamp, rate in listed
            if first <= ms(stamp) <= last
        ]
        return rows[: int(request.query["limit"])]

    def history(self, request: Request) -> Any:
        listed = self.bybit.get(request.query["symbol"])
        if listed is None:
            return {"retCode": 10001, "retMsg": "params error: symbol invalid", "result": {}}
        first, last = int(request.query["startTime"]), int(request.query["endTime"])
        rows = [
            {"symbol": request.query["symbol"], "fundingRate": repr(rate), "fundingRateTimestamp": str(ms(stamp))}
            for stamp, rate in reversed(listed)
            if first <= ms(stamp) <= last
        ]
        return {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "list": rows[:200]}}
