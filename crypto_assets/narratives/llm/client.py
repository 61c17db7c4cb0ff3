"""The official Ollama client, reduced to two questions: is the model there, and what does it say about this text.

Every failure becomes one of two errors, each with one sentence. The official client raises builtins, httpx, pydantic
and its own errors, and has no time-out. Here each call has a time-out for the whole answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from crypto_assets import proxies
from crypto_assets.errors import CryptoAssetsError
from crypto_assets.lazy import lazy
from crypto_assets.narratives.llm import prompt
from crypto_assets.narratives.llm.answer import without_long_thoughts
from crypto_assets.narratives.llm.text import Text, plain
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import SANDBOX_HEADER, trust
from crypto_assets.sources.feed_dates import read_date

if TYPE_CHECKING:
    import httpx
    import ollama

    from crypto_assets import transport
else:
    httpx = lazy("httpx")
    transport = lazy("crypto_assets.transport")
    ollama = lazy("ollama")

CONNECT_S, PROBE_S = 2.0, 5.0
MAX_BYTES = 4 << 20
GARBAGE = (json.JSONDecodeError, UnicodeDecodeError, ValidationError, TypeError, AttributeError, KeyError)


class ModelAwayError(CryptoAssetsError):
    """The server cannot be reached, or does not have the model. ``reached``: the server received the call."""

    def __init__(self, message: str, *, reached: bool = False) -> None:
        super().__init__(message)
        self.reached = reached


class CallError(CryptoAssetsError):
    """One call failed. ``status`` is the status of the analysis.

    ``transient``: the failure is not the article's fault.
    """

    def __init__(self, message: str, status: str, *, transient: bool) -> None:
        super().__init__(message)
        self.status, self.transient = status, transient


@dataclass(frozen=True)
class Model:
    """A model that is there: its name as analyser, the digest of its weights, and whether it can think aloud."""

    name: str
    digest: str
    thinks: bool
    sandbox: bool


@dataclass(frozen=True)
class Reply:
    """The model's text, and what it cost."""

    content: str
    duration_s: float
    prompt_tokens: int | None
    answer_tokens: int | None
    answered_at: datetime | None  # by the server's clock; None where it does not state it


class Ollama:
    """One server and model, as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.ollama_model
        self.where = shown(settings.ollama_host)
        self.calls = 0
        self._sandbox = False
        with proxies.hidden():  # the first use imports the package, which then makes a client that nobody uses
            make_client = ollama.AsyncClient
        self._client = make_client(
            settings.ollama_host,
            timeout=httpx.Timeout(settings.ollama_timeout_s, connect=CONNECT_S),
            transport=transport.Transport(trust()),
            trust_env=False,
            event_hooks={"response": [self._look]},
        )

    async def __aenter__(self) -> Ollama:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def _look(self, response: httpx.Response) -> None:
        self._sandbox = SANDBOX_HEADER in response.headers
        size = response.headers.get("content-length", "0")
        if size.isdigit() and int(size) > MAX_BYTES:
            raise httpx.DecodingError(f"the answer has {int(size) >> 20} MiB")

    async def probe(self) -> Model:
        """Check that server and model are there.

        Returns:
            The model.

        Raises:
            ModelAwayError: one of them is not there; the message says which, and what to do.
        """
        try:
            listed = await asyncio.wait_for(self._client.list(), PROBE_S)
        except Exception as error:  # see the module's docstring
            raise ModelAwayError(self._away(error)) from error
        found = {model.model: model for model in listed.models}
        model = found.get(self.name) or found.get(f"{self.name}:latest")
        if model is None:
            raise ModelAwayError(
                f"the model {self.name} is not on the Ollama server at {self.where}; run `ollama pull {self.name}`"
            )
        return Model(self.name, model.digest or "unknown", await self._thinks(), self._sandbox)

    async def _thinks(self) -> bool:
        """Whether the model thinks aloud unless asked not to. Only then may the request say so."""
        try:
            about = await asyncio.wait_for(self._client.show(self.name), PROBE_S)
        except Exception:  # a server without this route has no thinking models
            return False
        return "thinking" in (about.capabilities or [])

    async def ask(self, model: Model, text: Text, timeout_s: float, request: prompt.Request = prompt.ARTICLES) -> Reply:
        """Ask the model about a text.

        Args:
            model: the model that :meth:`probe` returned.
            text: the article, or the articles of an event.
            timeout_s: the limit for the whole answer, in seconds.
            request: what is asked.

        Returns:
            The reply.

        Raises:
            ModelAwayError: the server or the model is gone.
            CallError: the call failed.
        """
        self.calls += 1
        began = time.monotonic()
        try:
            answer = await asyncio.wait_for(
                self._client.chat(
                    self.name,
                    request.messages(text),
                    format=prompt.SCHEMA,
                    options=prompt.OPTIONS,
                    stream=False,
                    think=False if model.thinks else None,
                ),
                timeout_s,
            )
        except Exception as error:
            raise self._failure(error, timeout_s) from error
        content = answer.message.content
        if not content or not content.strip():
            raise CallError(f"the model {self.name} answered nothing", "invalid", transient=False)
        took = answer.total_duration
        return Reply(
            without_long_thoughts(content).replace("\x00", "").encode("utf-8", "replace").decode(),
            round(time.monotonic() - began if took is None else took / 1e9, 3),
            answer.prompt_eval_count,
            answer.eval_count,
            _moment(answer.created_at),
        )

    def _failure(self, error: Exception, timeout_s: float) -> ModelAwayError | CallError:
        if isinstance(error, (asyncio.TimeoutError, TimeoutError, httpx.TimeoutException)):
            if isinstance(error, httpx.ConnectTimeout):
                return ModelAwayError(self._away(error))
            return CallError(
                f"the model {self.name} did not answer within {timeout_s:g} s; a smaller model or a larger "
                "OLLAMA_TIMEOUT helps", "timeout", transient=False,
            )  # fmt: skip
        if isinstance(error, ollama.ResponseError):
            return self._refusal(error)
        if isinstance(error, (*GARBAGE, httpx.DecodingError)):
            return CallError(
                f"the server at {self.where} answered no chat message ({type(error).__name__})",
                "invalid", transient=False,
            )  # fmt: skip
        if isinstance(error, ConnectionError | httpx.ProxyError):
            return ModelAwayError(self._away(error))
        return CallError(
            f"the server at {self.where} broke the connection ({type(error).__name__})",
            "unavailable", transient=True,
        )  # fmt: skip

    def _refusal(self, error: ollama.ResponseError) -> ModelAwayError | CallError:
        said = f"HTTP {error.status_code}: {plain(str(error.error))[:120]}"
        if error.status_code == 404:
            return ModelAwayError(
                f"the server at {self.where} does not have the model {self.name} ({said}); "
                f"run `ollama pull {self.name}`",
                reached=True,
            )
        if error.status_code in (401, 403, 407):
            return ModelAwayError(
                f"the server at {self.where} wants other credentials ({said}); set OLLAMA_API_KEY", reached=True
            )
        if error.status_code in (408, 504):
            return CallError(f"the server at {self.where} ran out of time ({said})", "timeout", transient=True)
        if error.status_code == 429 or error.status_code >= 500 or error.status_code < 400:
            advice = "; choose a smaller model in OLLAMA_MODEL" if "memory" in said.lower() else ""
            return CallError(f"the server at {self.where} failed ({said}){advice}", "unavailable", transient=True)
        return CallError(f"the server at {self.where} refused the text ({said})", "refused", transient=False)

    def _away(self, error: Exception) -> str:
        if isinstance(error, ollama.ResponseError):
            return (
                f"{self.where} answered HTTP {error.status_code} where Ollama was expected; correct OLLAMA_HOST or "
                "restart it with `ollama serve`"
            )
        if isinstance(error, GARBAGE):
            return f"{self.where} is not an Ollama server ({type(error).__name__}); correct OLLAMA_HOST"
        if isinstance(error, httpx.ProxyError):
            return f"Ollama at {self.where} cannot be reached {error}"
        return f"Ollama does not answer at {self.where} ({type(error).__name__}); start it with `ollama serve`"


def _moment(text: str | None) -> datetime | None:
    """Read the server's ``created_at`` (RFC 3339, nanoseconds) in UTC; None where it is not exact."""
    stated = read_date(text) if text else None
    return stated.at if stated is not None and stated.at == stated.latest else None


def shown(host: str) -> str:
    """Return an address without its user and password."""
    parts = urlsplit(host if "://" in host else f"http://{host}")
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def as_options(settings: Settings, request: prompt.Request = prompt.ARTICLES) -> dict[str, Any]:
    """Describe how the model was asked, for the metadata of a run; without secrets.

    Args:
        settings: the server, the model and its limits.
        request: what was asked.

    Returns:
        Option -> value.
    """
    return {
        "model": settings.ollama_model,
        "server": shown(settings.ollama_host),
        "concurrency": settings.ollama_concurrency,
        "timeout_s": settings.ollama_timeout_s,
        "prompt_hash": request.hash,
    }
