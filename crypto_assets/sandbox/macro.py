"""The routes of macro series: FRED, CBOE, New York Fed, Treasury, ECB; generated or recorded observations behind them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import polars as pl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto_assets.catalog.business_days import is_business_day, next_business_day
from crypto_assets.catalog.macro import BY_NAME, FRED, Frequency, MacroSeries
from crypto_assets.sources.ecb import FLOWS
from crypto_assets.sources.nyfed import ROUTES as RATES
from crypto_assets.sources.treasury import FIELDS
from crypto_assets.sources.treasury import ROUTE as YIELDS

DAY = timedelta(days=1)
FIRST, LAST_DAY = date(2010, 1, 6), "9999-12-31"
KEY = "0" * 32  # any other key is refused, as one that is not registered
MOST_VINTAGES = 2_000
LEVELS = {
    "VIXCLS": 18.0, "DGS2": 4.1, "DGS10": 4.3, "EFFR": 4.33, "SOFR": 4.31, "ECBDFR": 2.0, "DEXUSEU": 1.1, "DTWEXBGS": 121.0,
    "T10YIE": 2.3, "DFII10": 1.9, "BAMLH0A0HYM2": 3.1, "RRPONTSYD": 350.0, "WALCL": 6.7e6, "WTREGEN": 8e5, "NFCI": -0.4,
    "M2SL": 21_900.0, "CPIAUCSL": 318.0, "CPILFESL": 325.0, "UNRATE": 4.2, "PAYEMS": 159_000.0, "GDPC1": 23_700.0, "GDP": 30_300.0,
}  # fmt: skip


class Stood(NamedTuple):
    """A value of an observation, and from when to when it stood; ``to`` is None where it still does."""

    observed: date
    since: date
    to: date | None
    value: float


Observations: TypeAlias = Callable[[str, date], list[Stood] | None]  # (series, today in New York)


class Backend(Protocol):
    """The part of a back end that this file needs."""

    mark: str

    def now(self) -> datetime:
        """Return the current time of the market, UTC."""

    def macro(self, series: str, today: date) -> list[Stood] | None:
        """Return what stood of a series by a day, by observation and vintage; None for an unknown series."""


@cache
def generated(seed: int, name: str, until: date) -> tuple[Stood, ...]:
    """Generate a series: a slow wave with noise; monthly and quarterly values are revised a month later."""
    series = BY_NAME[name]
    days = list(_dates(series, until))
    noise = np.random.default_rng([seed, zlib.crc32(f"macro/{name}".encode())]).standard_normal((2, 10_000))
    found: list[Stood] = []
    for n, day in enumerate(days):
        value = round(float(LEVELS[name] * (1 + 0.03 * np.sin(n / 9) + 0.01 * noise[0, n])), 4)
        since = _published(series, day)
        if since > until:
            break
        revised = since + timedelta(days=30)
        if series.frequency in (Frequency.MONTHLY, Frequency.QUARTERLY) and revised <= until:
            found.append(Stood(day, since, revised - DAY, value))
            found.append(Stood(day, revised, None, round(float(value * (1 + 0.001 * noise[1, n])), 4)))
        else:
            found.append(Stood(day, since, None, value))
    return tuple(found)


def _dates(series: MacroSeries, until: date) -> Iterator[date]:
    day = FIRST
    while day <= until:
        if series.frequency is Frequency.DAILY:
            if is_business_day(day):
                yield day
            day += DAY
        elif series.frequency is Frequency.WEEKLY:
            yield day
            day += 7 * DAY
        else:
            yield day.replace(day=1)
            months = 3 if series.frequency is Frequency.QUARTERLY else 1
            day = date(day.year + (day.month + months > 12), (day.month + months - 1) % 12 + 1, 1)


def _published(series: MacroSeries, day: date) -> date:
    lag = {Frequency.DAILY: 0, Frequency.WEEKLY: 0, Frequency.MONTHLY: 40, Frequency.QUARTERLY: 117}[series.frequency]
    return next_business_day(day + timedelta(days=lag))


def recorded(folder: Path, name: str) -> list[Stood] | None:
    """Read a series of the recordings: ``macro/fred_vintages*.parquet``, else, where it is never revised, its last values."""
    if name == "VIXCLS" and (paths := sorted(folder.glob("vix/*.csv*"))):
        rows = pl.concat([pl.read_csv(path, columns=["date", "close"], try_parse_dates=True) for path in paths]).rows()
        return [Stood(day, day, None, close) for day, close in sorted(rows)]
    if vintages := sorted(folder.glob("macro/fred_vintages*.parquet")):
        frame = pl.concat([pl.read_parquet(path) for path in vintages]).filter(pl.col("series_id") == name)
        days = pl.col("observation_date", "first_seen_vintage").str.to_date()
        rows = (
            frame.with_columns(days)
            .select("observation_date", "first_seen_vintage", "value")
            .unique()
            .sort(pl.all())
            .rows()
        )
        if rows:
            after = [*rows[1:], (None, None, None)]
            ends = [nxt[1] - DAY if nxt[0] == row[0] else None for row, nxt in zip(rows, after, strict=True)]
            return [Stood(day, since, end, value) for (day, since, value), end in zip(rows, ends, strict=True)]
    latest = sorted(folder.glob("macro/fred_latest*.parquet"))
    if not latest or BY_NAME[name].provider == FRED:
        return None
    frame = (
        pl.concat([pl.read_parquet(path) for path in latest]).filter(pl.col("series_id") == name).drop_nulls("value")
    )
    rows = frame.select(pl.col("observation_date").str.to_date(), "value").sort("observation_date").rows()
    return [Stood(day, day, None, value) for day, value in rows] or None


def routes(backend: Backend) -> list[Route]:
    """Return the routes under ``/fred``, ``/cboe``, ``/nyfed``, ``/treasury`` and ``/ecb``."""
    return [
        Route("/fred/series/observations", lambda request: _observations(backend, request)),
        Route("/fred/release/dates", lambda request: _releases(backend, request)),
        Route("/cboe/daily_prices/VIX_History.csv", lambda request: _vix(backend)),
        *(Route(f"/nyfed{route}", lambda request, name=name: _rates(backend, request, name)) for name, route in RATES.items()),
        Route(f"/treasury{YIELDS}", lambda request: _yields(backend, request)),
        *(Route(f"/ecb/service/data/{flow}", lambda request, name=name: _ecb(backend, request, name)) for name, flow in FLOWS.items()),
    ]  # fmt: skip


def _of(backend: Backend, name: str) -> list[Stood] | None:
    return backend.macro(name, backend.now().date())


def _bad(text: str) -> Response:
    return JSONResponse({"error_code": 400, "error_message": f"Bad Request.  {text}"}, 400)


def _key_refused(request: Request) -> Response | None:
    known = request.query_params.get("api_key") == KEY
    return None if known else _bad("The value for variable api_key is not registered.")


def _observations(backend: Backend, request: Request) -> Response:
    asked = request.query_params
    if (refused := _key_refused(request)) is not None:
        return refused
    name = asked.get("series_id", "")
    found = _of(backend, name) if name in BY_NAME and BY_NAME[name].provider == FRED else None
    if found is None:
        return _bad("The series does not exist.")
    begin, end = asked.get("realtime_start", "1776-07-04"), asked.get("realtime_end", LAST_DAY)
    vintages = {one.since for one in found if begin <= str(one.since) <= end}
    if len(vintages) > MOST_VINTAGES:
        return _bad(
            f"There are {len(vintages)} vintage dates in the specified real-time period: {begin} to {end}. This exceeds the "
            f"maximum number of vintage dates allowed ({MOST_VINTAGES})."
        )
    rows = [
        {"realtime_start": max(begin, str(one.since)), "realtime_end": min(end, str(one.to or LAST_DAY)),
         "date": str(one.observed), "value": repr(one.value)}
        for one in found
        if str(one.since) <= end and str(one.to or LAST_DAY) >= begin and str(one.observed) >= asked.get("observation_start", "")
    ]  # fmt: skip
    offset, limit = int(asked.get("offset", 0)), int(asked.get("limit", 100_000))
    return JSONResponse(
        {"count": len(rows), "offset": offset, "limit": limit, "observations": rows[offset : offset + limit]}
    )


def _releases(backend: Backend, request: Request) -> Response:
    if (refused := _key_refused(request)) is not None:
        return refused
    number = int(request.query_params.get("release_id", 0))
    of = [name for name, series in BY_NAME.items() if series.release == number and series.provider == FRED]
    begin, end = (request.query_params.get(name, default) for name, default in
                  (("realtime_start", ""), ("realtime_end", LAST_DAY)))  # fmt: skip
    found: set[date] = set()
    if of and _of(backend, of[0]) is not None:
        ahead = backend.now().date() + timedelta(days=120)
        found = {one.since for one in backend.macro(of[0], ahead) or ()}
    dates = [{"release_id": number, "date": str(day)} for day in sorted(found) if begin <= str(day) <= end]
    return JSONResponse({"count": len(dates), "release_dates": dates})


def _vix(backend: Backend) -> Response:
    found = _of(backend, "VIXCLS")
    if found is None:
        return Response("not found", 404)
    lines = [f"{one.observed:%m/%d/%Y},{one.value},{one.value},{one.value},{one.value}" for one in found]
    return Response("\n".join(["DATE,OPEN,HIGH,LOW,CLOSE", *lines]) + "\n", media_type="text/csv")


def _within(found: list[Stood], first: str, last: str) -> list[Stood]:
    return [one for one in found if first <= str(one.observed) <= last]


def _rates(backend: Backend, request: Request, name: str) -> Response:
    found, asked = _of(backend, name), request.query_params
    if found is None:
        return JSONResponse({"error": "not recorded"}, 404)
    shown = _within(found, asked.get("startDate", ""), asked.get("endDate", LAST_DAY))[::-1]
    return JSONResponse(
        {"refRates": [{"effectiveDate": str(one.observed), "type": name, "percentRate": one.value, "revisionIndicator": ""}
                      for one in shown]}
    )  # fmt: skip


def _yields(backend: Backend, request: Request) -> Response:
    year = request.query_params.get("field_tdr_date_value", "")
    series = {field: _of(backend, name) for name, field in FIELDS.items()}
    if any(found is None for found in series.values()):
        return Response("not found", 404)
    days: dict[date, str] = {}
    for field, found in series.items():
        for one in _within(found or [], f"{year}-01-01", f"{year}-12-31"):
            days[one.observed] = days.get(one.observed, "") + f"<d:{field}>{one.value}</d:{field}>"
    entries = "".join(
        f"<entry><content><m:properties><d:NEW_DATE>{day}T00:00:00</d:NEW_DATE>{cells}</m:properties></content></entry>"
        for day, cells in sorted(days.items())
    )
    data = "http://schemas.microsoft.com/ado/2007/08/dataservices"
    head = f'<feed xmlns="http://www.w3.org/2005/Atom" xmlns:d="{data}" xmlns:m="{data}/metadata">'
    return Response(f'<?xml version="1.0" encoding="utf-8"?>{head}{entries}</feed>', media_type="application/xml")


def _ecb(backend: Backend, request: Request, name: str) -> Response:
    found, asked = _of(backend, name), request.query_params
    if found is None:
        return JSONResponse({"error": "not recorded"}, 404)
    shown = _within(found, asked.get("startPeriod", ""), asked.get("endPeriod", LAST_DAY))
    days = [{"id": str(one.observed)} for one in shown]
    observations = {str(n): [one.value] for n, one in enumerate(shown)}
    version = {
        "action": "Replace",
        "validFrom": backend.now().isoformat(),
        "series": {"0": {"observations": observations}},
    }
    structure = {"dimensions": {"observation": [{"id": "TIME_PERIOD", "values": days}]}}
    return JSONResponse({"dataSets": [version], "structure": structure})
