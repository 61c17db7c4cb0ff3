"""One careful HTTP client for every provider: time-outs, a size cap, retries of what can heal, errors that say why.

What does not belong here: what a provider's answer means.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, NoReturn

import httpx

from crypto_assets.errors import SourceError

HEALING = frozenset({408, 429, 500, 502, 503, 504})  # what waiting can mend; other 5xx are retried as well
SANDBOX_HEADER = "X-Crypto-Assets-Sandbox"
MAX_REDIRECTS = 3


@dataclass(frozen=True)
class Answer:
    """A successful response: the parsed body, the SHA-256 of its bytes, and the sandbox's mark if it came from one."""

    body: Any
    digest: str
    sandbox: str | None


class ResponseError(SourceError):
    """An HTTP error status; ``body`` is the parsed JSON of the answer where it is JSON."""

    body: Any = None


class Client:
    """Asynchronous client; use as ``async with Client() as client``. Times in seconds, sizes in bytes."""

    def __init__(
        self,
        *,
        connect_timeout: float = 10,
        read_timeout: float = 30,
        max_bytes: int = 64 * 2**20,
        concurrency: int = 8,
        max_attempts: int = 5,
        max_wait: float = 120,
        backoff: float = 0.5,
    ) -> None:
        self._timeout = httpx.Timeout(read_timeout, connect=connect_timeout)
        self._max_bytes = max_bytes
        self._slots = asyncio.Semaphore(concurrency)
        self._max_attempts = max_attempts
        self._max_wait = max_wait
        self._backoff = backoff
        self.calls = 0

    async def __aenter__(self) -> Client:
        self._http = httpx.AsyncClient(timeout=self._timeout, headers={"User-Agent": "crypto-assets"})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get_json(
        self,
        provider: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        subject: str = "",
    ) -> Answer:
        """GET and parse JSON. Raises :class:`SourceError`; ``subject`` names coin and window in its sentence."""
        return await self._get(provider, url, params, headers, subject, parse_json)

    async def get_text(
        self,
        provider: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        subject: str = "",
    ) -> Answer:
        """GET the body as bytes, for formats that declare their own encoding (XML)."""
        return await self._get(provider, url, params, headers, subject, lambda body, where: body)

    async def _get(self, provider: str, url: str, params: Any, headers: Any, subject: str, parse: Any) -> Answer:
        where = f"{provider} {httpx.URL(url).path}" + (f" for {subject}" if subject else "")
        for attempt in range(1, self._max_attempts + 1):
            wait: float | None = None
            try:
                async with self._slots:
                    status, sent, body = await self._fetch(url, params, headers, where)
                if status < 400:
                    return Answer(parse(body, where), hashlib.sha256(body).hexdigest(), sent.get(SANDBOX_HEADER))
                wait = retry_after(sent.get("Retry-After"))
                _raise_status(where, status, body)
            except SourceError as error:
                if not error.transient or attempt == self._max_attempts or (wait or 0) > self._max_wait:
                    raise
            except (httpx.TransportError, httpx.DecodingError) as error:
                if attempt == self._max_attempts:
                    raise SourceError(
                        f"{where} did not answer ({_why(error)}) in {attempt} attempts; nothing was written; "
                        "check the network and the provider's status page, then run again",
                        transient=True,
                    ) from error
            await asyncio.sleep(wait if wait is not None else self._pause(attempt))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pause(self, attempt: int) -> float:
        """Exponential with full jitter, so that many clients do not come back together."""
        return min(self._max_wait, self._backoff * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5)

    async def _fetch(self, url: str, params: Any, headers: Any, where: str) -> tuple[int, httpx.Headers, bytes]:
        host = httpx.URL(url).host
        target, query = httpx.URL(url), params
        for _ in range(MAX_REDIRECTS + 1):
            self.calls += 1
            async with self._http.stream("GET", target, params=query, headers=headers) as response:
                if response.is_redirect:
                    target, query = _redirect(target, response, where), None
                    if target.host != host:
                        raise SourceError(
                            f"{where} redirects to another host ({target.host}), which is not followed with a key; "
                            "correct the base address"
                        )
                    continue
                return response.status_code, response.headers, await self._body(response, where)
        raise SourceError(f"{where} redirects more than {MAX_REDIRECTS} times; correct the base address")

    async def _body(self, response: httpx.Response, where: str) -> bytes:
        parts, size = [], 0
        async for part in response.aiter_bytes():  # decompressed: a gzip bomb ends here as well
            size += len(part)
            if size > self._max_bytes:
                raise SourceError(
                    f"{where} answered more than {self._max_bytes >> 20} MiB; nothing was written; ask for a shorter range"
                )
            parts.append(part)
        return b"".join(parts)


def _redirect(target: httpx.URL, response: httpx.Response, where: str) -> httpx.URL:
    try:
        return target.join(response.headers.get("Location", ""))
    except (httpx.InvalidURL, ValueError) as error:
        raise SourceError(f"{where} redirects to no address; correct the base address") from error


def parse_json(body: bytes, where: str) -> Any:
    """JSON without NaN and Infinity. Raises :class:`SourceError` (transient: a cut body can heal; HTML cannot)."""
    try:
        return json.loads(body, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        html = body.lstrip()[:1] == b"<"
        what = "answered HTML instead of JSON" if html else "answered malformed JSON"
        raise SourceError(
            f"{where} {what}; nothing was written; check the base address and the provider's status page",
            transient=not html,
        ) from error


def _no_constants(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _raise_status(where: str, status: int, body: bytes) -> NoReturn:
    try:
        parsed = json.loads(body)
        text = _message(parsed)
    except (ValueError, RecursionError):
        parsed, text = None, "HTML" if body.lstrip()[:1] == b"<" else body[:80].decode("utf-8", "replace")
    transient = status in HEALING or status >= 500
    advice = "wait and run again" if transient else "check the address, the key and the plan"
    error = ResponseError(
        f"{where} answered HTTP {status} ({' '.join(text.split())[:160]}); nothing was written; {advice}",
        transient=transient,
        status=status,
    )
    error.body = parsed
    raise error


def _message(body: Any) -> str:
    """The provider's own words, wherever its error shape keeps them."""
    for path in (
        ("error", "status", "error_message"), ("status", "error_message"), ("error", "message"),
        ("error_message",), ("msg",), ("message",), ("error",),
    ):  # fmt: skip
        found = body
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, str):
            return found
    return json.dumps(body)


def retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header (seconds or an HTTP date); None where it is absent or unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):
        return None


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
