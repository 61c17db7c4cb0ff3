"""Errors as problem documents (RFC 9457): a type, a sentence, what to do. Nothing of the inside is in them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

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
