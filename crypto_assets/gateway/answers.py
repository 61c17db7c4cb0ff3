"""How rows become an answer: pages in JSON, streams in the other formats, and ``304`` where the client has them already."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice

import polars as pl
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from crypto_assets.gateway import rows
from crypto_assets.gateway.formats import JSON, Format, Piece, json_rows
from crypto_assets.gateway.problems import Problem
from crypto_assets.gateway.rows import Query
from crypto_assets.storage.warehouse import Warehouse

PAGE, LARGEST_PAGE = 1_000, 10_000
STREAMS = 12  # at once: each holds two parts in memory, and a client may read slowly


class Streams:
    """Counts the streams that are under way. Safe to use from several threads."""

    def __init__(self, most: int = STREAMS) -> None:
        self._free = threading.BoundedSemaphore(most)

    def begin(self) -> None:
        """Take a place. Raises Problem: there is none (503)."""
        if not self._free.acquire(blocking=False):
            raise Problem(503, "too-many-streams", "too many streams are under way; ask again later, or for pages of JSON",
                          {"Retry-After": "5"})  # fmt: skip

    def end(self) -> None:
        """Give the place back."""
        self._free.release()


class _Streamed(StreamingResponse):
    """A stream that gives its place back, however it ends."""

    streams: Streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.streams.end()


Counted = Callable[[int], None]


def not_modified(request: Request, mark: str) -> Response | None:
    """Return ``304`` where the client has this answer already; None where it has not."""
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    return Response(status_code=304, headers={"ETag": f'"{mark}"'}) if f'"{mark}"' in known or "*" in known else None


def json_page(
    request: Request, warehouse: Warehouse, query: Query, limit: int | None, token: str | None, count: Counted
) -> Response:
    """Answer with a page of JSON.

    Args:
        request: the request.
        warehouse: the tables.
        query: the rows.
        limit: rows of a page; None for :data:`PAGE`.
        token: the ``page_token``; None for the first page.
        count: called with the number of rows.

    Returns:
        ``{"rows": […], "next_page_token": …, "version": n}``.

    Raises:
        Problem: the limit is too large, or the cursor is one of another query (400).
    """
    limit = PAGE if limit is None else limit
    if not 1 <= limit <= LARGEST_PAGE:
        raise Problem(400, "wrong-limit", f"limit is {limit}; a page has 1 to {LARGEST_PAGE:,} rows")
    begin = None
    if token is not None:
        mark, _, begin = rows.read_cursor(token)
        if mark != query.mark:
            raise Problem(
                400, "wrong-cursor", "page_token is of another query; change nothing but page_token between pages"
            )
    mark = f"{query.mark}-{limit}-{'' if begin is None else begin.text(query)[-24:]}"
    if known := not_modified(request, mark):
        return known
    found, following = rows.page(warehouse, query, limit, begin)
    count(found.height)
    after = "null" if following is None else f'"{following.text(query)}"'
    version = "null" if query.version is None else query.version
    body = f'{{"rows":{json_rows(found)},"next_page_token":{after},"version":{version}}}'
    return Response(body, media_type=JSON, headers={"ETag": f'"{mark}"'})


def streamed(
    request: Request,
    warehouse: Warehouse,
    query: Query,
    form: Format,
    limit: int | None,
    count: Counted,
    streams: Streams,
) -> Response:
    """Answer with all rows as a stream; the next part is read while the last one is sent.

    Args:
        request: the request.
        warehouse: the tables.
        query: the rows.
        form: the format.
        limit: the largest number of rows; None for all.
        count: called with the number of rows of each part.
        streams: the streams that are under way.

    Returns:
        The stream.

    Raises:
        Problem: the limit is below 1 (400), or too many streams are under way (503).
    """
    if limit is not None and limit < 1:
        raise Problem(400, "wrong-limit", f"limit is {limit}; ask for at least one row")
    mark = f"{query.mark}-{form.name}-{limit or ''}"
    if known := not_modified(request, mark):
        return known

    def parts() -> Iterator[pl.DataFrame]:
        for found in rows.stream(warehouse, query, limit):
            count(found.height)
            yield found

    headers = {
        "ETag": f'"{mark}"',
        "Content-Disposition": f'attachment; filename="{query.selection.contract.table}.{form.ending}"',
        "Crypto-Assets-Version": str(query.version),
    }
    written = form.write(query.empty, parts())
    streams.begin()
    try:
        # The first part is read before the answer begins, so that a table that cannot be read is an error and no empty stream.
        found = _Streamed(_ahead(written, _first(written)), media_type=form.media_type, headers=headers)
    except BaseException:
        streams.end()
        raise
    found.streams = streams
    return found


def _first(written: Iterator[Piece]) -> list[Piece]:
    """Return the head and the first part; fewer where there is no more."""
    return list(islice(written, 2))


async def _ahead(written: Iterator[Piece], begun: list[Piece]) -> AsyncIterator[Piece]:
    """Yield pieces, reading one ahead of what is sent: never more than two parts are in memory."""
    for piece in begun:
        if piece:
            yield piece
    nothing = object()
    following = asyncio.ensure_future(run_in_threadpool(next, written, nothing))
    try:
        while (found := await following) is not nothing:
            following = asyncio.ensure_future(run_in_threadpool(next, written, nothing))
            if found:
                yield found  # type: ignore[misc]
    finally:
        if not following.done():
            following.cancel()
