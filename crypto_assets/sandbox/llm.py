"""The routes of Ollama: a model that answers by rule, or a small real one. Format: ``docs.ollama.com/api``.

The rule reads the user's message and fills the schema with words of it, so that the demo shows something without a
model. It judges nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

VERSION = "0.12.0"
STAMP = "2024-01-01T00:00:00Z"
_HINTS = (
    ("security", r"hack|exploit|stolen|scam|drain|breach"),
    ("regulation", r"regulat|inquiry|agency|court|lawmaker|\bsec\b|\bban"),
    ("geopolitical", r"sanction|\bwar\b|countries"),
    ("institutional", r"\bfund|etf|institution|custodian"),
    ("macro_economic", r"central bank|inflation|stocks"),
    ("defi", r"defi|lending|deposits"),
    ("adoption", r"accept|retailer|payments|miners"),
    ("technology", r"upgrade|developer|network|testers"),
    ("market_structure", r"price|rall|plunge|liquidat|trader|list"),
)
_GOOD, _BAD = r"rall|record|grow|accept|high|lower|files", r"plunge|hack|stolen|inquiry|sanction|liquidat|above|drain"


@dataclass(frozen=True)
class Said:
    """A model's answer with its counts; ``seconds`` is the time that the model reports."""

    content: str
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    reason: str = "stop"


class LanguageModel(Protocol):
    """The model behind the routes. ``name`` is its tag; ``digest`` identifies its weights."""

    @property
    def name(self) -> str:
        """The tag of the model."""

    @property
    def digest(self) -> str:
        """The hash of its weights, in hex."""

    def chat(self, messages: list[dict[str, Any]], schema: Any, options: dict[str, Any]) -> Said:
        """Answer a conversation.

        Args:
            messages: the messages, as Ollama's API has them.
            schema: the JSON schema of the answer; None for free text.
            options: the options of the request, e.g. ``num_predict``.

        Returns:
            The answer.
        """

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return one embedding per text."""


class Rule:
    """Gives the same answer to the same question after ``delay`` seconds, one question at a time (Ollama's default)."""

    name: str
    digest: str

    def __init__(self, name: str = "sandbox", delay: float = 0.0) -> None:
        self.name, self.delay = name, delay
        self.digest = hashlib.sha256(name.encode()).hexdigest()

    def chat(self, messages: list[dict[str, Any]], schema: Any, options: dict[str, Any]) -> Said:
        """Fill the schema with words of the user's message; without a schema, return its first line."""
        asked = next((str(m.get("content", "")) for m in reversed(messages) if m.get("role") == "user"), "")
        lines = [line.partition(": ")[2] for line in asked.splitlines() if line.startswith(("title: ", "text: "))]
        text = lines or [asked]
        content = json.dumps(fill(schema, text)) if isinstance(schema, dict) else text[0]
        read = sum(len(str(message.get("content", "")).split()) for message in messages)
        return Said(content, read, len(content.split()), self.delay or 0.001)

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return numbers from a hash of each text."""
        return [[byte / 127.5 - 1 for byte in hashlib.sha256(text.encode()).digest()] for text in texts]


def fill(schema: dict[str, Any], text: list[str], name: str = "") -> Any:
    """Build a value that matches a schema from the words of a text.

    Args:
        schema: the JSON schema.
        text: lines of text.
        name: the property that the value is for.

    Returns:
        The value.
    """
    if "enum" in schema:
        hits = [theme for theme, pattern in _HINTS if re.search(pattern, " ".join(text), re.I)]
        return next((hit for hit in hits if hit in schema["enum"]), schema["enum"][-1])
    kind = schema.get("type")
    if kind == "object":
        return {key: fill(value, text, key) for key, value in schema.get("properties", {}).items()}
    if kind == "array":
        return _items(schema, text, name)
    if kind in ("number", "integer"):
        value = _number(schema, " ".join(text), name)
        return round(value) if kind == "integer" else value
    if kind == "boolean":
        return len(text[0]) % 2 == 0
    if name == "summary":
        return " ".join(f"{line.rstrip('.')}." for line in text[:2])
    return text[0]


def _items(schema: dict[str, Any], text: list[str], name: str) -> list[Any]:
    items = schema.get("items", {})
    if "enum" in items:
        return []
    if items.get("type") == "string":
        return list(dict.fromkeys(re.findall(r"\b[A-Z]{3,5}\b", " ".join(text))))[: schema.get("maxItems", 5)]
    return [fill(items, [line], name) for line in text[:2]]


def _number(schema: dict[str, Any], text: str, name: str) -> float:
    low, high = float(schema.get("minimum", 0)), float(schema.get("maximum", 1))
    share = 0.7
    if name == "sentiment":
        tone = len(re.findall(_GOOD, text, re.I)) - len(re.findall(_BAD, text, re.I))
        share = 0.5 + 0.5 * tone / (1 + abs(tone))
    return round(low + share * (high - low), 4)


def routes(model: LanguageModel) -> list[Route]:
    """Return the routes ``/api/version``, ``/api/tags``, ``/api/show``, ``/api/chat`` and ``/api/embed``."""
    turn = asyncio.Lock()
    about = {"format": "gguf", "family": "llama", "parameter_size": "135M", "quantization_level": "Q4_1"}

    def version(_: Request) -> Response:
        return JSONResponse({"version": VERSION})

    def tags(_: Request) -> Response:
        full = model.name if ":" in model.name else f"{model.name}:latest"
        names = {"name": full, "model": full}
        return JSONResponse(
            {"models": [{**names, "modified_at": STAMP, "size": 1, "digest": model.digest, "details": about}]}
        )

    def missing(name: object) -> Response | None:
        if str(name).removesuffix(":latest") == model.name:
            return None
        return JSONResponse({"error": f"model '{name}' not found"}, 404)

    async def show(request: Request) -> Response:
        asked = await request.json()
        details = {"details": about, "model_info": {}, "capabilities": ["completion"], "modified_at": STAMP}
        return missing(asked.get("model")) or JSONResponse(details)

    async def chat(request: Request) -> Response:
        asked = await request.json()
        absent = missing(asked.get("model"))
        if absent is not None:
            return absent
        async with turn:
            if isinstance(model, Rule) and model.delay:
                await asyncio.sleep(model.delay)
            said = await asyncio.to_thread(
                model.chat, asked.get("messages", []), asked.get("format"), asked.get("options") or {}
            )
        return _chat_answer(model.name, said, stream=asked.get("stream", True))

    async def embed(request: Request) -> Response:
        asked = await request.json()
        texts = asked.get("input", [])
        texts = [texts] if isinstance(texts, str) else texts
        vectors = await asyncio.to_thread(model.embed, texts)
        return missing(asked.get("model")) or JSONResponse({"model": model.name, "embeddings": vectors})

    return [
        Route("/api/version", version),
        Route("/api/tags", tags),
        Route("/api/show", show, methods=["POST"]),
        Route("/api/chat", chat, methods=["POST"]),
        Route("/api/embed", embed, methods=["POST"]),
    ]


def _chat_answer(name: str, said: Said, *, stream: bool) -> Response:
    took = int(said.seconds * 1e9)
    head = {"model": name, "created_at": STAMP}
    tail = {
        "done": True, "done_reason": said.reason, "total_duration": took, "load_duration": 0,
        "prompt_eval_count": said.prompt_tokens, "prompt_eval_duration": 0,
        "eval_count": said.answer_tokens, "eval_duration": took,
    }  # fmt: skip
    message = {"role": "assistant", "content": said.content}
    if not stream:
        return JSONResponse({**head, "message": message, **tail})
    parts = [{**head, "message": message, "done": False}, {**head, "message": {**message, "content": ""}, **tail}]
    return Response("".join(json.dumps(part) + "\n" for part in parts), media_type="application/x-ndjson")
