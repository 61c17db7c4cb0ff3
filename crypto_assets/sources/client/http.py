"""One HTTP client for every provider: timeouts, a size limit, retries, and errors with a reason.

It retries only what can heal. The meaning of an answer does not belong here.
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
from functools import cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from crypto_assets.demo_home import GO_LIVE
from crypto_assets.errors import SourceError
from crypto_assets.lazy import lazy
from crypto_assets.proxies import is_loopback
from crypto_assets.settings import Settings
from crypto_assets.sources.client.lanes import Lanes
from crypto_assets.sources.client.limits import limit_of
from crypto_assets.sources.client.pace import Pace
from crypto_assets.sources.client.quota import CallStats, QuotaStore
from crypto_assets.sources.client.waits import Say, Waits

if TYPE_CHECKING:
    import httpx

    from crypto_assets import transport
else:
    httpx = lazy("httpx")
    transport = lazy("crypto_assets.transport")

# Statuses that can heal; other 5xx are retried as well. Binance answers 418 to a client that went on after a 429.
HEALING = frozenset({408, 418, 429, 500, 502, 503, 504})
SANDBOX_HEADER = "X-Crypto-Assets-Sandbox"
MAX_REDIRECTS = 3
MAX_DIGITS = 4000  # of a whole number; Python refuses to read 4,300
TOO_MANY = (418, 429)
REFUSED_PLACE = 451
RECORD_EVERY = 50  # calls between two entries in the quota store; a kill leaves at most this many uncounted
PREMIUM_HEADER = "x-cg-pro-api-key"


@dataclass(frozen=True)
class Answer:
    """A successful response.

    Attributes:
        body: the parsed body.
        digest: SHA-256 of its bytes.
        sandbox: the sandbox's mark; None if the answer came from a real provider.
        content_type: the header of that name, which may state the charset of a text; empty if there was none.
    """

    body: Any
    digest: str
    sandbox: str | None
    content_type: str = ""


class ResponseError(SourceError):
    """The provider answered with an HTTP error status.

    Attributes:
        body: the parsed JSON of the answer; None where it is not JSON.
        sandbox: the sandbox's mark; None without one.
    """

    body: Any = None
    sandbox: str | None = None


class RefusedForNowError(ResponseError):
    """No request was made, because the provider asked for a pause that is not over and is too long to wait for."""


@dataclass(frozen=True)
class _Route:
    """The provider that is called, and the endpoint name under which the call is counted."""

    provider: str
    endpoint: str


class Client:
    """An asynchronous HTTP client; use it as ``async with Client() as client``.

    Times are in seconds and sizes in bytes. With ``settings`` and ``quota`` the client respects the limits and budgets
    of the plans, and counts every call. ``say`` is called at once when a request waits, with what, why and when it goes
    on.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 10,
        read_timeout: float = 30,
        answer_timeout: float = 120,  # for the whole answer: bytes that trickle keep within the read timeout
        max_bytes: int = 64 * 2**20,
        concurrency: int = 40,  # 500 calls a minute with answers of four seconds keep 34 requests open
        max_attempts: int = 5,
        max_wait: float = 120,
        backoff: float = 0.5,
        settings: Settings | None = None,
        quota: QuotaStore | None = None,
        say: Say | None = None,
    ) -> None:
        self._waits = Waits(say)
        self._timeout = httpx.Timeout(read_timeout, connect=connect_timeout)
        self._answer_timeout = answer_timeout
        self._max_bytes = max_bytes
        self._lanes = Lanes(concurrency, self._connect)
        self._begun = asyncio.Semaphore(concurrency)
        self._max_attempts = max_attempts
        self._max_wait = max_wait
        self._backoff = backoff
        self._settings = settings
        self._quota = quota
        self._paces: dict[str, Pace | None] = {}
        self._stats: dict[tuple[str, str, datetime], CallStats] = {}
        self._firsts: dict[str, asyncio.Event] = {}  # by provider: set when its first request has ended
        self._refused: dict[str, tuple[float, ResponseError]] = {}  # by provider: until when (monotonic), and why
        self.calls = 0

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._lanes.aclose()
        for pace in self._paces.values():
            if pace is not None:
                await pace.close()
        await self._record(at_least=1)

    def _connect(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=self._timeout,
            headers={"User-Agent": "crypto-assets"},
            transport=transport.Transport(trust()),  # finds the proxy of each request itself
            trust_env=False,
        )

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Hold requests that belong together, so that one is not sent long before the next.

        Without it the first request of everything that waits is sent before the second request of anything, and every
        answer is kept until then. Not to be nested.
        """
        async with self._begun:
            yield

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
        """Send a GET request and parse the JSON answer.

        Args:
            provider: the provider's name, which decides limit and quota.
            url: the address.
            params: the query.
            headers: the request's headers, e.g. the key.
            subject: the coin and window, for error messages.
            endpoint: the route's name in ``api_usage``, for paths that hold a coin or chain; by default the path.

        Returns:
            The answer; its ``body`` is the parsed JSON.

        Raises:
            ResponseError: the provider answered with an HTTP error status, after retries where it can heal.
            SourceError: there was no complete, trusted or readable answer, or the month's budget is used up.
        """
        route = _Route(provider, endpoint or httpx.URL(url).path)
        return await self._get(route, url, params, headers, subject, parse_json)

    async def get_bytes(
        self,
        provider: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        subject: str = "",
        endpoint: str | None = None,
    ) -> Answer:
        """Send a GET request and return the body as bytes, for formats that declare their own encoding (XML).

        Args:
            provider: the provider's name, which decides limit and quota.
            url: the address.
            params: the query.
            headers: the request's headers.
            subject: the feed, for error messages.
            endpoint: the route's name in ``api_usage``; by default the path.

        Returns:
            The answer; its ``body`` is bytes.

        Raises:
            ResponseError: the provider answered with an HTTP error status, after retries where it can heal.
            SourceError: there was no complete or trusted answer, or the month's budget is used up.
        """
        route = _Route(provider, endpoint or httpx.URL(url).path)
        return await self._get(route, url, params, headers, subject, lambda body, where: body)

    async def _get(self, route: _Route, url: str, params: Any, headers: Any, subject: str, parse: Any) -> Answer:
        where = f"{route.provider} {httpx.URL(url).path}" + (f" for {subject}" if subject else "")
        self._check_address(where, url)
        for attempt in range(1, self._max_attempts + 1):
            wait: float | None = None
            why = ""
            try:
                async with self._alone(route.provider), self._lanes.free() as http:
                    self._check_refused(route.provider)
                    status, sent, body = await self._fetch(http, route, url, params, headers, where, retry=attempt > 1)
                    if status in TOO_MANY:
                        self._refuse(route.provider, where, status, sent, body)
                if status < 400:
                    self._check_mark(where, url, sent)
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
                why = f"HTTP {error.status}" if error.status is not None else "no readable answer"
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
                why = f"no answer ({_why(error)})"
            pause = wait if wait is not None else self._pause(attempt)
            self._waits.retry(route.provider, where, why, attempt, self._max_attempts, pause)
            await asyncio.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _check_address(self, where: str, url: str) -> None:
        """Refuse any address but this machine's in a demo's home: its sandbox is here, real providers are not."""
        if self._settings is not None and self._settings.demo is not None and not is_loopback(httpx.URL(url).host):
            raise SourceError(
                f"{where} was not asked: {self._settings.home} is a demo's home ({self._settings.demo.sandbox}), in which "
                f"nothing calls a real provider; start crypto-assets dev, which runs its sandbox, or go live with {GO_LIVE}"
            )

    def _check_mark(self, where: str, url: str, sent: httpx.Headers) -> None:
        """Refuse an answer without a sandbox's mark in a demo's home, whoever serves it."""
        if self._settings is not None and self._settings.demo is not None and SANDBOX_HEADER not in sent:
            raise SourceError(
                f"{where} was answered by {httpx.URL(url).netloc.decode()}, which is no sandbox; {self._settings.home} is a "
                f"demo's home, so nothing was written; ask that server from another home: {GO_LIVE}"
            )

    def _pause(self, attempt: int) -> float:
        """Return the seconds before the next attempt, at most ``max_wait``. Full jitter keeps many clients apart."""
        return random.uniform(0, min(self._max_wait, self._backoff * 2 ** min(attempt, 60)))

    @asynccontextmanager
    async def _alone(self, provider: str) -> AsyncIterator[None]:
        """Let the first request to a provider go alone, so that a refusal costs one request and not one per coin."""
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
        """Remember a pause that is too long to wait for. No request goes to this provider until it is over."""
        wait = retry_after(sent.get("Retry-After"))
        if wait is not None and wait > self._max_wait:
            try:
                _raise_status(where, status, body, wait)
            except ResponseError as error:
                self._refused[provider] = (time.monotonic() + wait, error)

    def _check_refused(self, provider: str) -> None:
        """Raise the remembered refusal, without a request, while the provider's pause lasts."""
        until, error = self._refused.get(provider, (0.0, None))
        if error is not None and time.monotonic() < until:
            again = RefusedForNowError(str(error), transient=True, status=error.status)
            again.body = error.body
            raise again from error

    def _pace(self, provider: str) -> Pace | None:
        if provider not in self._paces:
            limit = limit_of(provider, self._settings) if self._settings is not None else None
            if limit is None or self._quota is None:
                self._paces[provider] = None
            else:
                waiting = partial(self._waits.turn, provider, limit.calls, limit.seconds)
                self._paces[provider] = Pace(limit, self._quota, waiting)
        return self._paces[provider]

    async def _cool(self, route: _Route, wait: float | None, attempt: int) -> float:
        """Slow down after "too many requests": every request under the same limit waits, not only this one."""
        seconds = wait if wait is not None else self._pause(attempt)
        pace = self._pace(route.provider)
        if pace is not None and seconds <= self._max_wait:
            await pace.pause(seconds)
        return seconds

    async def _record(self, at_least: int = RECORD_EVERY) -> None:
        if self._quota is None or sum(stats.calls for stats in self._stats.values()) < at_least:
            return
        entries, self._stats = self._stats, {}
        await asyncio.to_thread(self._quota.record, entries)

    async def _fetch(
        self, http: httpx.AsyncClient, route: _Route, url: str, params: Any, headers: Any, where: str, *, retry: bool
    ) -> tuple[int, httpx.Headers, bytes]:
        pace = self._pace(route.provider)
        if pace is not None:
            await pace.turn()
        hour = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
        stats = self._stats.setdefault((route.provider, route.endpoint, hour), CallStats())
        stats.retries += retry
        stats.premium_calls += PREMIUM_HEADER in (headers or {})
        ended_well = False
        try:
            exchange = self._exchange(http, stats, url, params, headers, where)
            status, sent, body = await asyncio.wait_for(exchange, self._answer_timeout)
            ended_well = status < 400
            stats.rate_limited += status in TOO_MANY
            return status, sent, body
        except asyncio.TimeoutError as error:
            raise httpx.ReadTimeout(f"no whole answer within {self._answer_timeout:g} s") from error
        finally:
            stats.errors += not ended_well
            await self._record()

    async def _exchange(
        self, http: httpx.AsyncClient, stats: CallStats, url: str, params: Any, headers: Any, where: str
    ) -> tuple[int, httpx.Headers, bytes]:
        first = httpx.URL(url)
        target, query = first, params
        for _ in range(MAX_REDIRECTS + 1):
            self.calls += 1
            stats.calls += 1
            async with http.stream("GET", target, params=query, headers=headers) as response:
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
                    stats.bytes += response.num_bytes_downloaded
        raise SourceError(f"{where} redirects more than {MAX_REDIRECTS} times; correct the base address")

    async def _body(self, response: httpx.Response, where: str) -> bytes:
        parts, size = [], 0
        async for part in response.aiter_bytes():  # decompressed, so that a gzip bomb stops here too
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
    """Compare scheme, host and port. An upgrade from http to https on the default ports is the same server."""
    if (first.scheme, first.host, first.port) == (target.scheme, target.host, target.port):
        return True
    upgraded = (first.scheme, target.scheme) == ("http", "https") and first.port is None and target.port is None
    return upgraded and first.host == target.host


@cache
def trust() -> ssl.SSLContext:
    """Return the trusted certificates. They are cached, because reading them takes longer than a request."""
    return httpx.create_ssl_context()


def _distrusted(error: BaseException | None) -> bool:
    """Whether a certificate or protocol error is permanent. A handshake that was cut short is not."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
        error = error.__cause__ or error.__context__
    return False


def parse_json(body: bytes, where: str) -> Any:
    """Parse JSON. NaN, Infinity and whole numbers of thousands of digits become text.

    One such cell must not break the whole answer. The sources read the text "NaN" as no value and set "Infinity" aside,
    as they do where a provider quotes its numbers.

    Args:
        body: the bytes of the answer.
        where: the provider and path, for error messages.

    Returns:
        The parsed document.

    Raises:
        SourceError: the body is not JSON. It is transient, because a cut body can heal, except where the body is HTML.
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
    """Return the provider's own message, wherever its error shape keeps it."""
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
    """Read a ``Retry-After`` header (RFC 9110, 10.2.3).

    Args:
        value: the header: seconds or an HTTP date.

    Returns:
        Seconds to wait; None where the header is absent or unreadable.
    """
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
