"""The routes of the gateway. Each reads its arguments, checks the caller, calls ``store/`` or ``storage/`` and answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from crypto_assets.dates import parse_day
from crypto_assets.errors import CryptoAssetsError, WarehouseError, suggestion
from crypto_assets.gateway import answers
from crypto_assets.gateway.access import LOOPBACK, Caller, Gate
from crypto_assets.gateway.current import Current
from crypto_assets.gateway.document import (
    AsOf,
    Catalog,
    Columns,
    Digest,
    DigestSaid,
    End,
    FeatureNames,
    Health,
    HistoricalRows,
    KnownAt,
    Limit,
    NewestRows,
    PageToken,
    RowsPage,
    Start,
    StatusSaid,
    Symbols,
    TableName,
    TableSaid,
    describe,
    given,
    metrics_given,
)
from crypto_assets.gateway.empty_parameters import WithoutEmptyParameters
from crypto_assets.gateway.formats import JSON, chosen, json_rows
from crypto_assets.gateway.limits import Compressed, Limits
from crypto_assets.gateway.measured import Measured, Observed
from crypto_assets.gateway.newest import Newest, Prepared, Question, Repeated
from crypto_assets.gateway.page import add_page
from crypto_assets.gateway.problems import Problem, problem_of
from crypto_assets.gateway.rows import Query as Rows
from crypto_assets.gateway.rows import read_cursor
from crypto_assets.settings import Settings
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.store.selection import feature_columns, select
from crypto_assets.store.store import Store
from crypto_assets.store.table import Table
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES, SIGNALS

LARGEST_ENTITIES = 100_000


def _no_number(value: object) -> object:
    """Refuse what would be read as seconds since 1970: a number, also one in a text."""
    if not isinstance(value, str) or not _DAY.match(value):
        raise ValueError("an instant is a text such as 2024-01-02T10:17:00Z")
    return value


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Entity(BaseModel):
    """One coin at one instant."""

    model_config = ConfigDict(extra="forbid")
    symbol: str = Field(
        max_length=40,
        description="A coin of the catalogue, or a ticker that a venue used on that day.",
        examples=["BTC"],
    )
    ts: Annotated[datetime, BeforeValidator(_no_number)] = Field(
        description="Any instant; UTC where it has no time zone.", examples=["2024-01-02T10:17:00Z"]
    )


class Historical(BaseModel):
    """Entities and the features that they are joined with."""

    model_config = ConfigDict(extra="forbid")
    entities: list[Entity] = Field(
        min_length=1, max_length=LARGEST_ENTITIES, description="Coins and instants, in any order."
    )
    columns: list[str] | None = Field(
        None, max_length=1_000, description="Features; null for all.", examples=[["rsi_14", "return_24h"]]
    )


@dataclass(frozen=True)
class Gateway:
    """What the routes share.

    Attributes:
        settings: the installation.
        store: its tables.
        gate: who may ask.
        current: the catalogue and the status.
        measured: the requests, for Prometheus.
        newest: the newest row of each coin, in Postgres.
        streams: the streams that are under way.
    """

    settings: Settings
    store: Store
    gate: Gate
    current: Current
    measured: Measured
    newest: Newest
    streams: answers.Streams


def build(
    settings: Settings, postgres_url: str, *, loopback_without_token: bool = False, counts: Path | None = None
) -> FastAPI:
    """Build the gateway.

    Args:
        settings: the installation.
        postgres_url: the Postgres of the tokens and of ``ml_features_latest``.
        loopback_without_token: whether programs of this machine need no token.
        counts: the folder where several processes keep their counts; None: there is one process.

    Returns:
        The ASGI application.
    """
    store = Store(settings, settings.warehouse)
    gate = Gate(postgres_url, loopback_without_token=loopback_without_token)
    current, measured = Current(postgres_url), Measured(counts)
    newest = Newest(current, gate, measured)
    gateway = Gateway(settings, store, gate, current, measured, newest, answers.Streams())
    app = FastAPI(
        title="crypto_assets",
        version=version("crypto_assets"),
        summary="Crypto market data, as it is and as it was known.",
        description="Times are UTC. `as_of` is what was stored then, `known_at` is what was known then.",
        lifespan=_lifespan,
        docs_url=None,  # FastAPI's pages load their scripts from another server
        redoc_url=None,
    )
    app.state.gateway = gateway
    _tables(app)
    _features(app)
    _operations(app)
    _errors(app)
    describe(app)
    add_page(app)
    app.add_middleware(Compressed)
    return app


def front(app: FastAPI) -> ASGIApp:
    """Return what a server calls for a gateway.

    The bounds, the counts and the answers that are ready lie before FastAPI, whose own layers cost a request as much as these.

    Args:
        app: the gateway, of :func:`build`.

    Returns:
        The ASGI application.
    """
    gateway: Gateway = app.state.gateway
    return Observed(Limits(WithoutEmptyParameters(Repeated(app, gateway.newest))), gateway.measured)


THREADS = 12  # that read at once; each keeps up to two connections to Postgres


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = THREADS
    gateway: Gateway = app.state.gateway
    counting = asyncio.create_task(gateway.gate.count_steadily())
    yield
    counting.cancel()
    await asyncio.wait([counting])


async def _gateway(request: Request) -> Gateway:
    found: Gateway = request.app.state.gateway
    return found


async def _caller(
    request: Request, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
) -> Caller:
    """Admit the request; runs before every route that reads anything."""
    gateway = await _gateway(request)
    caller = await gateway.gate.admit(authorization, request.client.host if request.client else None)
    request.state.caller = caller.name
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    if unknown := [name for name in request.query_params if name not in known]:
        near = suggestion(unknown, known) if known else ""
        raise Problem(400, "wrong-request", f"there is no parameter {unknown[0][:64]!r} here{near}; /docs lists them")
    if empty := [name for name, value in request.query_params.items() if not value.strip()]:
        raise Problem(400, "wrong-request", f"{empty[0]} is blank; give it a value, or leave it out")
    return caller


Shared = Annotated[Gateway, Depends(_gateway)]
Asked = Annotated[Caller, Depends(_caller)]


def _table(gateway: Gateway, caller: Caller, name: str) -> Table:
    """Return a table that the caller may read. Raises Problem (404, 403)."""
    if name not in CONTRACTS:
        raise Problem(
            404,
            "unknown-table",
            f"there is no table {name[:64]!r}{suggestion([name], CONTRACTS)}; /v1/catalog lists them",
        )
    caller.check([name])
    return gateway.store.table(name)


def _warehouse(gateway: Gateway) -> SnapshotWarehouse:
    """Return the tables, each of which stays at one version. Raises WarehouseError: their folder is not there.

    The commit log is opened once for a whole answer. To others a folder that is not there is an installation without rows; a
    gateway that says so of a disk that is not mounted would make up an answer.
    """
    found = SnapshotWarehouse(gateway.store.warehouse)
    if found.is_local and not Path(found.uri).is_dir():
        raise WarehouseError(f"the warehouse {found.uri} is not there; set CRYPTO_ASSETS_WAREHOUSE, or fill it first")
    return found


def _json(body: str) -> Response:
    return Response(body, media_type=JSON)


def _tables(app: FastAPI) -> None:
    """Add the routes of tables."""

    @app.get(
        "/v1/catalog",
        tags=["tables"],
        summary="Every table that the token may read, with what it holds now",
        responses=given(Catalog, "The tables."),
    )
    def catalog(gateway: Shared, caller: Asked) -> Response:
        rows = gateway.current.catalog(gateway.store).filter(
            pl.Series([caller.may_read(name) for name in CONTRACTS], dtype=pl.Boolean)
        )
        within = pl.col("fresh_within").dt.total_seconds().alias("fresh_within_seconds")
        return _json(f'{{"tables":{json_rows(rows.with_columns(within).drop("fresh_within"))}}}')

    @app.get(
        "/v1/tables/{table}",
        tags=["tables"],
        summary="A table's contract, freshness, coverage and last versions",
        responses=given(TableSaid, "The table.", 403, 404),
    )
    def table(gateway: Shared, caller: Asked, table: TableName) -> dict[str, Any]:
        found = _table(gateway, caller, table)
        _warehouse(gateway)
        said = found.describe()
        now = gateway.current.catalog(gateway.store).filter(pl.col("table") == table).to_dicts()[0]
        spec = TABLES[table]
        return {
            "table": table,
            "description": said.description,
            "group": spec.group,
            "grain": said.grain,
            "key": list(said.key),
            "known": said.known,
            "revised": said.revised,
            "reference": said.reference,
            "columns": said.columns.rename({"is": "description"}).to_dicts(),
            "rows": now["rows"], "first_day": now["first_day"], "last_day": now["last_day"],
            "coverage": now["coverage"], "newest": now["newest"], "fresh": now["fresh"],
            "fresh_within_seconds": None if now["fresh_within"] is None else now["fresh_within"].total_seconds(),
            "versions": found.versions().head(10).to_dicts(),
        }  # fmt: skip

    @app.get(
        "/v1/tables/{table}/rows",
        tags=["tables"],
        summary="Rows, in order of date and key: pages of JSON, or one stream in another format",
        responses={
            **given(RowsPage, "Rows.", 403, 404, 406, 422, formats=True),
            304: {"description": "The client has this answer already (`If-None-Match`)."},
        },
        response_class=Response,
    )
    def rows(
        request: Request,
        gateway: Shared,
        caller: Asked,
        table: TableName,
        symbols: Symbols = None,
        start: Start = None,
        end: End = None,
        columns: Columns = None,
        as_of: AsOf = None,
        known_at: KnownAt = None,
        limit: Limit = None,
        page_token: PageToken = None,
    ) -> Response:
        contract = _table(gateway, caller, table).contract
        form = chosen(request.headers.get("accept"))
        selection = select(contract, start, end, symbols, columns, known_at)
        warehouse = _warehouse(gateway)
        query = Rows(selection, _version(Table(warehouse, contract), as_of, page_token))

        def count(read: int) -> None:
            gateway.measured.rows(table, read)
            gateway.gate.count_rows(caller, read)

        if form is None:
            return answers.json_page(request, warehouse, query, limit, page_token, count)
        if page_token is not None:
            raise Problem(
                400, "wrong-cursor", "page_token is for JSON; the other formats come as one stream, without pages"
            )
        return answers.streamed(request, warehouse, query, form, limit, count, gateway.streams)


def _version(table: Table, as_of: str | None, page_token: str | None) -> int | None:
    """Return the version to read: that of the cursor, else of ``as_of``, else the newest."""
    if page_token is not None:
        return read_cursor(page_token)[1]
    if as_of is None:
        return table.version()
    text = as_of.strip()
    return table.version(int(text) if text.isdigit() and len(text) < 8 else text)


def _features(app: FastAPI) -> None:
    """Add the routes of features and news."""

    @app.get(
        "/v1/features/latest",
        tags=["features"],
        summary="The newest features row of each coin, from Postgres",
        responses=given(NewestRows, "A row a coin.", 403),
        response_class=Response,
    )
    async def latest(
        request: Request, gateway: Shared, caller: Asked, symbols: Symbols = None, columns: FeatureNames = None
    ) -> Response:
        caller.check([ML_FEATURES.table])
        features = [name for name in feature_columns(columns) if name not in ML_FEATURES.key]
        return await _newest(request, caller, ML_FEATURES, ["symbol", "ts", "available_at", *features], symbols)

    @app.get(
        "/v1/signals/latest",
        tags=["features"],
        summary="The newest signal of each coin, from Postgres",
        responses=given(NewestRows, "A row a coin.", 403),
        response_class=Response,
    )
    async def signals(request: Request, gateway: Shared, caller: Asked, symbols: Symbols = None) -> Response:
        caller.check([SIGNALS.table])
        return await _newest(request, caller, SIGNALS, SIGNALS.names, symbols)

    @app.post(
        "/v1/features/historical",
        tags=["features"],
        summary="Features as they were known at any instants",
        responses=given(HistoricalRows, "A row an entity.", 403, 406, 422, formats=True),
        response_class=Response,
    )
    def historical(request: Request, gateway: Shared, caller: Asked, asked: Historical) -> Response:
        caller.check([ML_FEATURES.table])
        form = chosen(request.headers.get("accept"))
        entities = pl.DataFrame(
            {
                "symbol": [entity.symbol for entity in asked.entities],
                "ts": [_utc(entity.ts) for entity in asked.entities],
            },
            schema={"symbol": pl.String, "ts": pl.Datetime("us", "UTC")},
        )
        _warehouse(gateway)
        found = gateway.store.historical_features(entities, asked.columns)
        gateway.measured.rows(ML_FEATURES.table, found.height)
        gateway.gate.count_rows(caller, found.height)
        if form is None:
            return _json(f'{{"rows":{json_rows(found)}}}')
        return Response(b"".join(form.write(found.clear(), [found])), media_type=form.media_type)

    @app.get(
        "/v1/narratives/digest",
        tags=["news"],
        summary="What the news of a day was about, by theme",
        responses=given(DigestSaid, "Rows of the day.", 403, 422),
        response_class=Response,
    )
    def digest(gateway: Shared, caller: Asked, day: Digest = None) -> Response:
        caller.check([DIGESTS])
        _warehouse(gateway)
        table = gateway.store.table(DIGESTS)
        chosen_day = parse_day(day, "date") if day else gateway.current.newest_day(gateway.store, DIGESTS)
        rows = table.read(chosen_day, chosen_day) if chosen_day else table.contract.empty()
        gateway.gate.count_rows(caller, rows.height)
        shown = "null" if chosen_day is None else f'"{chosen_day.isoformat()}"'
        return _json(f'{{"date":{shown},"rows":{json_rows(rows)}}}')


DIGESTS = "theme_digests"


async def _newest(
    request: Request, caller: Caller, contract: Contract, columns: Sequence[str], symbols: str | None
) -> Response:
    """Answer with the newest row of each coin of a table."""
    question = Question(contract, columns, select(contract, symbols=symbols).symbols, request.scope.get("route"))
    gateway = await _gateway(request)
    return Prepared(await gateway.newest.answer(request.scope, caller, question))


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:  # at an end of the calendar, where hours more or less mean nothing
        return moment.replace(tzinfo=timezone.utc)


def _operations(app: FastAPI) -> None:
    """Add the routes about the service itself."""

    @app.get(
        "/v1/status",
        tags=["service"],
        summary="Coverage, freshness and checks of the last seven days",
        responses=given(StatusSaid, "The last seven days."),
    )
    def status(gateway: Shared, caller: Asked) -> dict[str, Any]:
        document = dict(gateway.current.status(gateway.settings))
        document["assets"] = {name: said for name, said in document["assets"].items() if caller.may_read(name)}
        if not caller.may_read(ML_FEATURES.table):
            document.pop("population")
        return document

    @app.get(
        "/healthz",
        tags=["service"],
        summary="Whether the process answers",
        responses=given(Health, "It does.", token=False),
    )
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz",
        tags=["service"],
        summary="Whether the warehouse and Postgres can be read",
        responses=given(Health, "They can.", 503, token=False),
    )
    def readyz(gateway: Shared) -> dict[str, str]:
        _warehouse(gateway)
        gateway.current.check(gateway.store)
        return {"status": "ready"}

    @app.get(
        "/metrics",
        tags=["service"],
        summary="Requests, rows and times, for Prometheus; from the same machine without a token",
        responses=metrics_given(),
        response_class=Response,
    )
    async def metrics(
        request: Request, gateway: Shared, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
    ) -> Response:
        client = request.client.host if request.client else None
        if client not in LOOPBACK or authorization is not None:
            await gateway.gate.admit(authorization, client)
        return Response(*gateway.measured.page())


def _errors(app: FastAPI) -> None:
    """Turn every failure into a problem document."""

    def answer(problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(Problem)
    async def known(request: Request, error: Problem) -> Response:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def wrong_form(request: Request, error: RequestValidationError) -> Response:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
        return answer(Problem(422, "wrong-form", f"{said[:500]}; /docs shows the right form"))

    @app.exception_handler(HTTPException)
    async def by_starlette(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, Problem):  # of the body: FastAPI wraps what reading it raises
            return answer(error.__cause__)
        kinds = {404: "unknown-address", 405: "wrong-method"}
        text = {
            404: "there is no such address; /docs lists them",
            405: "the address has no such method; /docs lists them",
        }
        kind, said = kinds.get(error.status_code, "refused"), text.get(error.status_code, str(error.detail))
        return answer(Problem(error.status_code, kind, said, error.headers))

    @app.exception_handler(CryptoAssetsError)
    async def expected(request: Request, error: CryptoAssetsError) -> Response:
        return answer(problem_of(error))

    @app.exception_handler(Exception)  # a fault of ours: the log has it whole, the client nothing of it
    async def fault(request: Request, error: Exception) -> Response:
        return answer(Problem(500, "fault", "this is a fault of the gateway; its log says more to the operator"))
