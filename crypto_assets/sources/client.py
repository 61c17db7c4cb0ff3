"""One careful HTTP client for every provider: time-outs, a size cap, retries of what can heal, errors that say why.

What does not belong here: what a provider's answer means.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import Any, NoReturn

import httpx

from crypto_assets.errors import SourceError
from crypto_assets.proxies import Transport
from crypto_assets.settings import Settings
from crypto_assets.sources.book import Book, Tally
from crypto_assets.sources.limits import limit_of
from crypto_assets.sources.pace import Pace

# What waiting can mend; other 5xx are retried as well. 418 is what Binance says to who went on after a 429.
HEALING = frozenset({408, 418, 429, 500, 502, 503, 504})
SANDBOX_HEADER = "X-Crypto-Assets-Sandbox"
MAX_REDIRECTS = 3
MAX_DIGITS = 4000  # of a whole number; Python refuses to read 4,300
TOO_MANY = (418, 429)
REFUSED_PLACE = 451
RECORD_EVERY = 50  # calls between two entries in the book: what a kill can leave uncounted
PREMIUM_HEADER = "x-cg-pro-api-key"


@dataclass(frozen=True)
class Answer:
    """A successful response: the parsed body, the SHA-256 of its bytes, and the sandbox's mark if it came from one.

    ``content_type`` is the header of that name, which alone may say a text's charset; empty where there was none.
    """

    body: Any
    digest: str
    sandbox: str | None
    content_type: str = ""


class ResponseError(SourceError):
    """An HTTP error status; ``body`` is the parsed JSON of the answer where it is JSON, ``sandbox`` its mark if it has one."""

    body: Any = None
    sandbox: str | None = None


class RefusedForNowError(ResponseError):
    """No request was made: the provider asked for a pause that is too long to wait for, and it is not over."""


@dataclass(frozen=True)
class _Route:
    """Who is called, and under which name the call is counted."""

    provider: str
    endpoint: str


class Client:
    """Asynchronous client; use as ``async with Client() as client``. Times in seconds, sizes in bytes.

    With ``settings`` and ``book`` it keeps to the plans' limits and budgets and counts every call in the book.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 10,
        read_timeout: float = 30,
        answer_timeout: float = 120,  # for all of an answer: each byte of one that drips comes in time
        max_bytes: int = 64 * 2**20,
        concurrency: int = 40,  # at 500 calls a minute and answers that take four seconds, 34 are under way
        max_attempts: int = 5,
        max_wait: float = 120,
        backoff: float = 0.5,
        settings: Settings | None = None,
        book: Book | None = None,
    ) -> None:
        self._timeout = httpx.Timeout(read_timeout, connect=connect_timeout)
        self._answer_timeout = answer_timeout
        self._max_bytes = max_bytes
        self._slots = asyncio.Semaphore(concurrency)
        self._max_attempts = max_attempts
        self._max_wait = max_wait
        self._backoff = backoff
        self._settings = settings
        self._book = book
        self._paces: dict[str, Pace | None] = {}
        self._tallies: dict[tuple[str, str, datetime], Tally] = {}
        self._firsts: dict[str, asyncio.Event] = {}  # by provider: set once its first request is over
        self._refused: dict[str, tuple[float, ResponseError]] = {}  # by provider: until when (monotonic), and why
        self.calls = 0

    async def __aenter__(self) -> Client:
        self._http = httpx.AsyncClient(
            timeout=self._timeout,
            headers={"User-Agent": "crypto-assets"},
            transport=Transport(trust()),  # a proxy where the variables name one, never for this machine
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
        for pace in self._paces.values():
            if pace is not None:
                await pace.close()
        await self._record(at_least=1)

    async def get_json(
        self,
        provider: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        subject: str = "",
        endpoint: str | None = None,
    ) -> Answer:
        """GET and parse JSON. Raises :class:`SourceError`; ``subject`` names coin and window in its sentence.

        ``endpoint`` is the route's name in ``api_usage`` where the path holds a coin or chain; default: the path.
        """
        route = _Route(provider, endpoint or httpx.URL(url).path)
        return await self._get(route, url, params, headers, subject, parse_json)

    async def get_text(
        self,
        provider: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        subject: str = "",
        endpoint: str | None = None,
    ) -> Answer:
        """GET the body as bytes, for formats that declare their own encoding (XML)."""
        route = _Route(provider, endpoint or httpx.URL(url).path)
        return await self._get(route, url, params, headers, subject, lambda body, where: body)

    async def _get(self, route: _Route, url: str, params: Any, headers: Any, subject: str, parse: Any) -> Answer:
        where = f"{route.provider} {httpx.URL(url).path}" + (f" for {subject}" if subject else "")
        for attempt in range(1, self._max_attempts + 1):
            wait: float | None = None
            try:
                async with self._alone(route.provider), self._slots:
                    self._check_refused(route.provider)
                    status, sent, body = await self._fetch(route, url, params, headers, where, retry=attempt > 1)
                    if status in TOO_MANY:
                        self._refuse(route.provider, where, status, sent, body)
                if status < 400:
                    digest, kind = hashlib.sha256(body).hexdigest(), sent.get("Content-Type", "")
                    return Answer(parse(body, where), digest, sent.get(SANDBOX_HEADER), kind)
                wait = retry_after(sent.get("Retry-After"))
                if status in TOO_MANY:
                    wait = await self._cool(route, wait, attempt)
                _raise_status(where, status, body, wait if (wait or 0) > self._max_wait else None)
            except RefusedForNowError:
                raise
            except SourceError as error:
                if isinstance(error, ResponseError):
                    error.sandbox = sent.get(SANDBOX_HEADER)
                if not error.transient or attempt == self._max_attempts or (wait or 0) > self._max_wait:
                    raise
            except (httpx.TransportError, httpx.DecodingError) as error:
                if _distrusted(error):
                    raise SourceError(
                        f"{where} cannot be trusted (TLS: {_why(error)}); nothing was sent or written; check the base "
                        "address, this machine's clock and its certificates"
                    ) from error
                if attempt == self._max_attempts:
                    raise SourceError(
                        f"{where} did not answer ({_why(error)}) in {attempt} attempts; nothing was written; "
                        "check the network and the provider's status page, then run again",
                        transient=True,
                    ) from error
            await asyncio.sleep(wait if wait is not None else self._pause(attempt))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pause(self, attempt: int) -> float:
        """Seconds before the next attempt, at most ``max_wait``: full jitter, so that many do not come back together."""
        return random.uniform(0, min(self._max_wait, self._backoff * 2 ** min(attempt, 60)))

    @asynccontextmanager
    async def _alone(self, provider: str) -> AsyncIterator[None]:
        """The first request to a provider goes alone: where it refuses us, it is asked once and not by every coin."""
        first = self._firsts.get(provider)
        if first is None:
            first = self._firsts[provider] = asyncio.Event()
            try:
                yield
            finally:
                first.set()
        else:
            await first.wait()
            yield

    def _refuse(self, provider: str, where: str, status: int, sent: httpx.Headers, body: bytes) -> None:
        """Remember a pause that is too long to wait for: until it is over, nobody asks this provider."""
        wait = retry_after(sent.get("Retry-After"))
        if wait is not None and wait > self._max_wait:
            try:
                _raise_status(where, status, body, wait)
            except ResponseError as error:
                self._refused[provider] = (time.monotonic() + wait, error)

    def _check_refused(self, provider: str) -> None:
        """Raise what the provider said, without a request, while the pause that it asked for lasts."""
        until, error = self._refused.get(provider, (0.0, None))
        if error is not None and time.monotonic() < until:
            again = RefusedForNowError(str(error), transient=True, status=error.status)
            again.body = error.body
            raise again from error

    def _pace(self, provider: str) -> Pace | None:
        if provider not in self._paces:
            limit = limit_of(provider, self._settings) if self._settings is not None else None
            self._paces[provider] = Pace(limit, self._book) if limit is not None and self._book is not None else None
        return self._paces[provider]

    async def _cool(self, route: _Route, wait: float | None, attempt: int) -> float:
        """The provider has had enough: everyone who shares the limit waits, not only this request."""
        seconds = wait if wait is not None else self._pause(attempt)
        pace = self._pace(route.provider)
        if pace is not None and seconds <= self._max_wait:
            await pace.pause(seconds)
        return seconds

    async def _record(self, at_least: int = RECORD_EVERY) -> None:
        if self._book is None or sum(tally.calls for tally in self._tallies.values()) < at_least:
            return
        entries, self._tallies = self._tallies, {}
        await asyncio.to_thread(self._book.record, entries)

    async def _fetch(
        self, route: _Route, url: str, params: Any, headers: Any, where: str, *, retry: bool
    ) -> tuple[int, httpx.Headers, bytes]:
        pace = self._pace(route.provider)
        if pace is not None:
            await pace.turn()
        hour = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
        tally = self._tallies.setdefault((route.provider, route.endpoint, hour), Tally())
        tally.retries += retry
        tally.premium_calls += PREMIUM_HEADER in (headers or {})
        ended_well = False
        try:
            exchange = self._exchange(tally, url, params, headers, where)
            status, sent, body = await asyncio.wait_for(exchange, self._answer_timeout)
            ended_well = status < 400
            tally.rate_limited += status in TOO_MANY
            return status, sent, body
        except asyncio.TimeoutError as error:
            raise httpx.ReadTimeout(f"no whole answer within {self._answer_timeout:g} s") from error
        finally:
            tally.errors += not ended_well
            await self._record()

    async def _exchange(
        self, tally: Tally, url: str, params: Any, headers: Any, where: str
    ) -> tuple[int, httpx.Headers, bytes]:
        first = httpx.URL(url)
        target, query = first, params
        for _ in range(MAX_REDIRECTS + 1):
            self.calls += 1
            tally.calls += 1
            async with self._http.stream("GET", target, params=query, headers=headers) as response:
                if response.is_redirect:
                    target, query = _redirect(target, response, where), None
                    if not _same_server(first, target):
                        raise SourceError(
                            f"{where} redirects to another host ({target.scheme}://{target.netloc.decode()}), which is "
                            "not followed, since keys travel along; nothing was written; correct the base address"
                        )
                    continue
                try:
                    return response.status_code, response.headers, await self._body(response, where)
                finally:
                    tally.bytes += response.num_bytes_downloaded
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
        return target.join(response.headers["Location"])
    except (httpx.InvalidURL, ValueError, KeyError) as error:
        raise SourceError(f"{where} redirects to no address; correct the base address") from error


def _same_server(first: httpx.URL, target: httpx.URL) -> bool:
    """Scheme, host and port; from plain http to https on the usual ports is the same server, better met."""
    if (first.scheme, first.host, first.port) == (target.scheme, target.host, target.port):
        return True
    upgraded = (first.scheme, target.scheme) == ("http", "https") and first.port is None and target.port is None
    return upgraded and first.host == target.host


@cache
def trust() -> ssl.SSLContext:
    """The certificates we trust; reading them takes longer than a request."""
    return httpx.create_ssl_context()


def _distrusted(error: BaseException | None) -> bool:
    """A certificate or protocol that another attempt will find as it is; a handshake cut short is not one."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
        error = error.__cause__ or error.__context__
    return False


def parse_json(body: bytes, where: str) -> Any:
    """JSON, in which NaN, Infinity and whole numbers of thousands of digits are text: one such cell is no broken answer.

    The sources take the text "NaN" for no value and set "Infinity" aside, as they do where a provider quotes its numbers.
    Raises :class:`SourceError` (transient: a cut body can heal; HTML cannot).
    """
    try:
        try:
            return json.loads(body, parse_constant=str)
        except json.JSONDecodeError:
            raise
        except ValueError:  # more digits than Python turns into a number
            return json.loads(body, parse_constant=str, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        html = body.lstrip()[:1] == b"<"
        what = "answered HTML instead of JSON" if html else "answered malformed JSON"
        raise SourceError(
            f"{where} {what}; nothing was written; check the base address and the provider's status page",
            transient=not html,
        ) from error


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) < MAX_DIGITS else digits


def _raise_status(where: str, status: int, body: bytes, too_long: float | None = None) -> NoReturn:
    try:
        parsed = json.loads(body)
        text = _message(parsed)
    except (ValueError, RecursionError):
        parsed, text = None, "HTML" if body.lstrip()[:1] == b"<" else body[:80].decode("utf-8", "replace")
    transient = status in HEALING or status >= 500
    advice = "wait and run again" if transient else "check the address, the key and the plan"
    if status == REFUSED_PLACE:
        advice = (
            "the provider refuses this place (its country or network); ask from elsewhere or leave the provider out"
        )
    if too_long is not None:
        advice = f"it asks for a pause of {too_long:,.0f} s, which is too long to wait for: run again after it"
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
    except (TypeError, ValueError, OverflowError):
        return None


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
