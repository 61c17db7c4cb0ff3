"""The OpenAPI document: what each route takes and gives, word for word what a client may rely on.

FastAPI writes most of it from the routes. Here is what their signatures cannot say: bodies that are written by Postgres or Polars,
lists with commas, and which failures each route has.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, TypeAlias

from fastapi import FastAPI, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from crypto_assets.catalog.coins import by_symbol
from crypto_assets.gateway.formats import STREAMED
from crypto_assets.gateway.problems import MEDIA_TYPE
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES

Responses: TypeAlias = "dict[int | str, dict[str, Any]]"
DAY = r"^\d{4}-\d{2}-\d{2}$"
LARGEST_PAGE = 10_000

# Parameters

TableName = Annotated[
    str,
    Path(description="A table; `/v1/catalog` lists them.", json_schema_extra={"enum": list(CONTRACTS)}),
]  # fmt: skip
Symbols = Annotated[
    str | None,
    Query(description="Coins of the catalogue, tickers that a venue used in these days, or MARKET; all without it."),
]
Columns = Annotated[str | None, Query(description="Columns of the table; those of the key are always there.")]
FeatureNames = Annotated[str | None, Query(description="Features; all without it.")]
Start = Annotated[
    str | None, Query(description="The first day or instant (UTC), included.")
]  # fmt: skip
End = Annotated[
    str | None, Query(description="The last day or instant (UTC), included; a day counts whole.")
]  # fmt: skip
AsOf = Annotated[
    str | None,
    Query(description="A version of the table, or an instant that is not in the future: what was stored then."),
]  # fmt: skip
KnownAt = Annotated[
    str | None, Query(description="A day or an instant (UTC): only rows that were known then.")
]  # fmt: skip
Limit = Annotated[
    int | None,
    Query(description=f"Rows of a page of JSON (1,000; at most {LARGEST_PAGE:,}), or the largest number of rows of a stream."),
]  # fmt: skip
PageToken = Annotated[
    str | None,
    Query(description="`next_page_token` of the last page, with the same query. For JSON; streams have no pages."),
]
Digest = Annotated[
    str | None,
    Query(alias="date", pattern=DAY, description="A UTC day; the newest one without it."),
]

# Answers

Row = dict[str, Any]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Held(_Answer):
    """What a table holds now."""

    rows: int = Field(ge=0, description="Its rows.")
    first_day: date | None = Field(description="The first day with rows.")
    last_day: date | None = Field(description="The last day with rows.")
    coverage: float | None = Field(ge=0, le=1, description="Days with rows / days due; null where none is due.")
    newest: datetime | None = Field(description="The newest `available_at`.")
    fresh: bool | None = Field(description="Whether the newest row is new enough; null where that is not judged.")
    fresh_within_seconds: float | None = Field(description="The age of the newest row at which it is late.")


class CatalogTable(_Held):
    """A table, and what it holds now."""

    table: str = Field(description="Its name.", examples=["prices"])
    group: str = Field(description="Its group.")
    grain: str = Field(description="What one row is.", examples=["coin x hour"])
    pit_quality: list[str] = Field(description="Whether its values are those that were known at `available_at`.")
    units: list[str] = Field(description="Units of its columns.")
    version: int | None = Field(ge=0, description="Its newest version; null while it does not exist.")
    description: str = Field(description="What it holds.")


class Catalog(_Answer):
    """The tables that the token may read."""

    tables: list[CatalogTable] = Field(description="In the order of the registry.")


class ColumnSaid(_Answer):
    """A column of a table."""

    column: str = Field(description="Its name.")
    type: str = Field(description="Its type, as Polars names it.")
    unit: str = Field(description="Its unit.")
    nullable: bool = Field(description="Whether a value may be unknown.")
    description: str = Field(description="What it is.")


class TableSaid(_Held):
    """A table's contract, and what it holds now."""

    table: str = Field(description="Its name.", examples=["prices"])
    description: str = Field(description="What it holds.")
    group: str = Field(description="Its group.")
    grain: str = Field(description="What one row is.")
    key: list[str] = Field(description="Columns that name a row.")
    known: str = Field(description="From when a row is known.")
    revised: str = Field(description="Whether and how values change later.")
    reference: str | None = Field(description="Documentation of where it comes from.")
    columns: list[ColumnSaid] = Field(description="Its columns, in their order.")
    versions: list[Row] = Field(
        max_length=10, description="The last versions, newest first: `version`, and when it was written."
    )


class RowsPage(_Answer):
    """A page of rows."""

    rows: list[Row] = Field(
        description="Rows, a value a column. Times are ISO 8601 with a Z, an unknown value is null."
    )
    next_page_token: str | None = Field(description="`page_token` of the next page; null where there is none.")
    version: int | None = Field(ge=0, description="The version of the table; null while it does not exist.")


class NewestRows(_Answer):
    """The newest row of each coin, in order of the symbols."""

    rows: list[Row] = Field(description="`symbol`, `ts`, `available_at`, then the columns.")


class HistoricalRows(_Answer):
    """The entities with their features, in the order of the entities."""

    rows: list[Row] = Field(description="`symbol`, `ts`, then the features as they were known at `ts`.")


class DigestSaid(_Answer):
    """What the news of a day was about."""

    day: date | None = Field(alias="date", description="The day; null while there is none.")
    rows: list[Row] = Field(description="Rows of `theme_digests`.")


class StatusSaid(BaseModel):
    """The last seven days, as `crypto-assets status --json` has them."""

    model_config = ConfigDict(extra="allow")
    start: date = Field(description="The first day.")
    end: date = Field(description="The last day.")
    assets: dict[str, Row] = Field(description="Of each table its partitions, coverage, rows, freshness and checks.")


class Health(_Answer):
    """Whether it answers."""

    status: str = Field(pattern="^(ok|ready)$", examples=["ok"], description="`ok`, or `ready`.")


class ProblemSaid(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(pattern="^urn:crypto-assets:problem:[a-z-]+$", description="The kind of problem, stable for programs.",
                      examples=["urn:crypto-assets:problem:unknown-table"])  # fmt: skip
    title: str = Field(description="The status in words.")
    status: int = Field(ge=400, le=599, description="The status.")
    detail: str = Field(description="What is wrong and what to do.")


_PROBLEMS = {
    400: "The request makes no sense; `detail` says why and what to do.",
    401: "There is no valid token.",
    403: "The token may not read this.",
    404: "There is no such table or address.",
    406: "No format that the client accepts is given.",
    408: "The request did not come in time.",
    413: "The body is too large.",
    414: "The address is too long.",
    422: "The body or an argument has the wrong form.",
    429: "A limit of the token is used up; `Retry-After` says for how long.",
    431: "The headers are too large.",
    503: "The warehouse or Postgres cannot be read now, or too much is asked for at once; `Retry-After` says when to ask again.",
}
_WAIT = {"Retry-After": {"required": True, "description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_HEADERS = {
    401: {"WWW-Authenticate": {"required": True, "description": "The scheme.", "schema": {"type": "string"}}},
    429: _WAIT,
    503: _WAIT,
}
_ANY = (408, 413, 414, 431)  # of the connection: before the route is known
_ASKED = (400, 401, 429, 503)  # of every route that needs a token
FORMATS = {
    media: {"schema": {"type": "string", "format": "binary"}} for media in (form.media_type for form in STREAMED)
}


def given(model: type[BaseModel], text: str, *problems: int, token: bool = True, formats: bool = False) -> Responses:
    """Say what a route answers.

    Args:
        model: the body of its answer in JSON.
        text: what the answer is.
        problems: the statuses of its own failures.
        token: whether it asks for a token.
        formats: whether it has the other formats too.

    Returns:
        FastAPI's ``responses``.
    """
    codes = sorted({*problems, *_ANY, *(_ASKED if token else ())})
    found: Responses = {200: {"model": model, "description": text, **({"content": dict(FORMATS)} if formats else {})}}
    schema = {"$ref": "#/components/schemas/ProblemSaid"}
    return found | {
        code: {"description": _PROBLEMS[code], "content": {MEDIA_TYPE: {"schema": schema}}} for code in codes
    }


def metrics_given() -> Responses:
    """Say what ``/metrics`` answers: text, not JSON."""
    found = given(Health, "Counts.", 401, 429, 503, token=False)
    return {**found, 200: {"description": "Counts.", "content": {"text/plain": {"schema": {"type": "string"}}}}}


def describe(app: FastAPI) -> None:
    """Complete the OpenAPI document of a gateway."""
    written = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = written()
            for unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(unused, None)
            document["components"]["schemas"] |= {
                "ProblemSaid": ProblemSaid.model_json_schema(),
                "Coin": {"type": "string", "enum": list(by_symbol()), "description": "A coin of the catalogue."},
                "Feature": {
                    "type": "string", "enum": [*ML_FEATURES.key, *ML_FEATURES.value_columns],
                    "description": "A feature, or a column of the key; the data dictionary says what each is.",
                },
            }  # fmt: skip
            said = document["components"]["schemas"]
            said["Entity"]["properties"]["symbol"] |= _COIN
            said["Historical"]["properties"]["columns"]["anyOf"][0]["items"] = _FEATURE
            document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for path, methods in document["paths"].items():
                for operation in methods.values():
                    _complete(path, operation)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}
_COIN, _FEATURE = ({"$ref": f"#/components/schemas/{name}"} for name in ("Coin", "Feature"))
_MOMENT = {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "start": _MOMENT,
    "end": _MOMENT,
    "known_at": _MOMENT,
    "as_of": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9_999_999}, *_MOMENT["anyOf"]]},
    "page_token": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 200},
    "limit": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE},
    "date": {"type": "string", "format": "date"},
}


_EXAMPLES: dict[str, Any] = {
    "table": "prices", "symbols": ["BTC", "ETH"], "start": "2024-01-01", "end": "2024-01-31", "known_at": "2024-01-01T06:00:00Z",
    "limit": 100, "date": "2024-01-01",
}  # fmt: skip


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Say what FastAPI does not: the forms of texts, lists with commas, the token."""
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        if parameter["in"] == "query":
            parameter["allowEmptyValue"] = True  # as if it were not given
        if name in _SCHEMAS:
            parameter["schema"] = _SCHEMAS[name]
        if name in ("symbols", "columns"):
            item = _COIN if name == "symbols" else _FEATURE if path.startswith("/v1/features") else _NAME
            parameter |= {
                "style": "form",
                "explode": False,
                "schema": {"type": "array", "items": item, "minItems": 1},
            }
        if name == "columns":
            parameter["example"] = ["rsi_14"] if item is _FEATURE else ["available_at"]
        if name in _EXAMPLES:
            parameter["example"] = _EXAMPLES[name]
    if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {MEDIA_TYPE: {}}):
        del operation["responses"]["422"]  # FastAPI adds it to every route with an argument, also where any text is one
    if "401" in operation["responses"]:
        operation["security"] = [{"token": []}, *([{}] if path == "/metrics" else [])]
