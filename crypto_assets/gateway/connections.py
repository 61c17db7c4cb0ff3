"""Bounds of a connection, below HTTP: a head that is too large or does not come, and a client that does not read.

What is refused here never becomes a request, so its problem document is written by hand.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crypto_assets.gateway.problems import MEDIA_TYPE, body

HEAD_BYTES = 64 * 1024
ADDRESS_BYTES = 60_000
HEAD_S = 20.0  # for the head of a request, from the connection or from its first byte
LINGER_S = 2.0  # what a refused client still sends is read away: a connection closed too early takes the answer with it
STALL_S = 60.0  # a client that reads less than STALL_BYTES in this time has gone
STALL_BYTES = 64 * 1024


class _HeadWithBody:
    """Sends the head of an answer together with the first part of its body, which uvicorn writes one after the other.

    One write instead of two: each wakes the client, and costs as much as all the rest of sending a small answer.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._begun = False

    def write(self, data: bytes | memoryview) -> None:
        if not self._begun:
            self._head, self._begun = bytes(data), True
        elif self._head is None:
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            self._transport.writelines((head, data) if data else (head,))

    def close(self) -> None:
        if self._head is not None:
            self.write(b"")
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(HttpToolsProtocol):
    """uvicorn's connection with these bounds."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._head_bytes, self._in_head, self._refused = 0, True, False
        self._stalled: asyncio.TimerHandle | None = None
        self._late: asyncio.TimerHandle | None = self.loop.call_later(HEAD_S, self._too_late)

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a head that has no end."""
        if self._refused:
            return
        if self._in_head and self._late is None:
            self._late = self.loop.call_later(HEAD_S, self._too_late)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(
                431, "head-too-large", f"address and headers are larger than {HEAD_BYTES:,} bytes; ask for less"
            )

    def on_headers_complete(self) -> None:
        """A request begins: its head has come."""
        self._in_head = False
        self._wait_no_longer()
        if len(self.url) > ADDRESS_BYTES:  # of a longer one than 65,535 httptools says only that it is no address
            self._refuse(
                414, "address-too-long", f"the address is longer than {ADDRESS_BYTES:,} bytes; ask for less at once"
            )
        else:
            before = self.cycle
            super().on_headers_complete()
            # Other methods may have no body to wait for, or be asked to go on before there is an answer.
            if self.cycle is not before and self.scope["method"] == "GET" and not self.expect_100_continue:
                self.cycle.transport = cast("asyncio.Transport", _HeadWithBody(self.transport))

    def on_message_complete(self) -> None:
        """What comes next is the head of another request."""
        if self._refused:
            return
        super().on_message_complete()
        self._head_bytes, self._in_head = 0, True

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "no-http", "this is no HTTP request that can be read; /docs shows the right form")

    def pause_writing(self) -> None:
        """The client reads slower than we write: watch it."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It has read what was waiting."""
        if self._stalled is not None:
            self._stalled.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timers."""
        self._wait_no_longer()
        if self._stalled is not None:
            self._stalled.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._stalled = self.loop.call_later(STALL_S, self._has_read, self.transport.get_write_buffer_size())

    def _has_read(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < STALL_BYTES:
            self.transport.abort()  # to close would wait for it
        else:
            self._watch()

    def _wait_no_longer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        if self._head_bytes:
            self._refuse(408, "head-too-late", f"the head of the request did not come within {HEAD_S:.0f} s; ask again")
        else:
            self.transport.close()

    def eof_received(self) -> None:
        """A refused client has read its answer, or said all."""
        if self._refused:
            self.transport.close()

    def _refuse(self, status: int, kind: str, detail: str) -> None:
        if self._refused:  # the parser may have more to say of the same bytes
            return
        self._refused = True
        self._wait_no_longer()
        text = json.dumps(body(status, kind, detail)).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + text)
        self.loop.call_later(LINGER_S, self.transport.close)
