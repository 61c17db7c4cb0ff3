"""The newest row of each coin, in Postgres: read once for all who ask the same of the same rows.

A question that was answered once is known by its address. Asked again, it is answered without the router, and without reading
its arguments a second time: these cost more than all the rest of such an answer.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from crypto_assets.errors import CryptoAssetsError
from crypto_assets.gateway.access import Caller, Gate
from crypto_assets.gateway.current import Current
from crypto_assets.gateway.formats import JSON
from crypto_assets.gateway.kept import Answer, Answers
from crypto_assets.gateway.measured import Measured
from crypto_assets.gateway.problems import Problem, problem_of
from crypto_assets.tables.contract import Contract

COMPRESSED_BYTES = 2_000  # smaller documents are sent as they are
VARIES = (b"vary", b"Accept-Encoding")  # which the layer that compresses adds to the others
KNOWN, LONGEST_ADDRESS = 1_024, 16_384
Address = tuple[str, bytes]


@dataclass(frozen=True)
class Question:
    """A question that makes sense.

    Attributes:
        contract: of the table.
        columns: the columns to give.
        symbols: the coins; None for all.
        route: FastAPI's route, by which the request is counted.
    """

    contract: Contract
    columns: Sequence[str]
    symbols: Sequence[str] | None
    route: Any


class Newest:
    """Answers questions for the newest rows. All calls are of one event loop."""

    def __init__(self, current: Current, gate: Gate, measured: Measured) -> None:
        self.gate = gate
        self._current, self._measured = current, measured
        self._answers = Answers()
        self._known: OrderedDict[Address, Question] = OrderedDict()

    def known(self, scope: Scope) -> Question | None:
        """Return the question of a request where it was answered before."""
        return self._known.get((scope["path"], scope["query_string"])) if scope["method"] == "GET" else None

    async def answer(self, scope: Scope, caller: Caller, question: Question) -> Answer:
        """Answer a question, and count the rows.

        Args:
            scope: the request.
            caller: who asks.
            question: the question of its address.

        Returns:
            The answer, compressed where the client accepts that.

        Raises:
            Problem: the caller may not read the table (403).
            InstanceError: Postgres does not answer.
        """
        caller.check([question.contract.table])
        address = (scope["path"], scope["query_string"])
        compressed = any(name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"])
        marks = await self.gate.marks() if caller.marks is None else caller.marks
        mark = marks.get(question.contract.table)  # known before the rows are read: these can only be newer than it
        found = await self._answers.get((*address, compressed), mark, lambda: self._read(question, compressed))
        self._remember(address, question)
        self._measured.rows(question.contract.table, found.rows)
        self.gate.count_rows(caller, found.rows)
        return found

    def _remember(self, address: Address, question: Question) -> None:
        if address not in self._known and len(address[1]) <= LONGEST_ADDRESS:
            self._known[address] = question
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)

    def _read(self, question: Question, compressed: bool) -> Answer:
        count, rows = self._current.newest(question.contract).as_json(question.columns, question.symbols)
        document = f'{{"rows":{rows}}}'.encode()
        headers = [(b"content-type", JSON.encode())]
        if compressed and len(document) >= COMPRESSED_BYTES:
            document = zlib.compress(document, 1, wbits=31)
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(document)).encode()))
        return Answer(count, document, tuple(headers))


class Prepared(Response):
    """An answer that is ready to be sent, as FastAPI's routes return it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.document)
        self.raw_headers = list(answer.headers)


class Repeated:
    """ASGI middleware that answers questions which were answered before."""

    def __init__(self, app: ASGIApp, newest: Newest) -> None:
        self._app, self._newest = app, newest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on (ASGI's interface)."""
        question = self._newest.known(scope) if scope["type"] == "http" else None
        if question is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = question.route
        try:
            answer = await self._answer(scope, question)
        except Problem as problem:
            await problem.response()(scope, receive, send)
        except CryptoAssetsError as error:
            await problem_of(error).response()(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": [*answer.headers, VARIES]})
            await send({"type": "http.response.body", "body": answer.document})

    async def _answer(self, scope: Scope, question: Question) -> Answer:
        token = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"), None)
        caller = await self._newest.gate.admit(token, scope["client"][0] if scope["client"] else None)
        scope["state"]["caller"] = caller.name
        return await self._newest.answer(scope, caller, question)
