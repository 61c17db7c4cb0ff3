"""Errors as problem documents (RFC 9457): a type, a sentence, what to do. Nothing of the inside is in them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

from crypto_assets.errors import CryptoAssetsError, InstanceError, UsageError, WarehouseError

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that is not answered as asked.

    Attributes:
        status: the HTTP status.
        kind: a short name of the kind of problem, stable for programs, e.g. ``unknown-table``.
        detail: one sentence: what is wrong and what to do.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.headers = status, kind, detail, dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse(body(self.status, self.kind, self.detail), self.status, self.headers, MEDIA_TYPE)


def body(status: int, kind: str, detail: str) -> dict[str, str | int]:
    """Return a problem document."""
    return {
        "type": f"urn:crypto-assets:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }


def problem_of(error: CryptoAssetsError) -> Problem:
    """Return the problem that a failure of ours is. Addresses of the inside stay in the log."""
    if isinstance(error, UsageError):
        return Problem(400, "wrong-request", str(error))
    if isinstance(error, WarehouseError) and ("no version" in str(error) or "did not exist" in str(error)):
        return Problem(
            400,
            "no-such-version",
            "the table has no such version any more or yet; /v1/tables/TABLE lists the last ones",
        )
    if isinstance(error, WarehouseError):
        return Problem(
            503, "warehouse-away", "the warehouse cannot be read now; ask again later", {"Retry-After": "10"}
        )
    if isinstance(error, InstanceError):
        return Problem(503, "postgres-away", "Postgres cannot be asked now; ask again later", {"Retry-After": "10"})
    return Problem(503, "unavailable", "this cannot be answered now; ask again later", {"Retry-After": "10"})
