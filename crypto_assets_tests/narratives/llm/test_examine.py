"""The doctor's finding on the model: which trouble it is, and the one command that mends it; no password in it."""

from __future__ import annotations

import asyncio

import pytest

from crypto_assets.narratives.llm.client import shown
from crypto_assets.narratives.llm.examine import examine_model
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings

CHAT = "route=api/chat"


def finding(fault: str | None = None, **env: str) -> tuple[bool, str]:
    with Sandbox(fault=fault) as sandbox:
        return asyncio.run(examine_model(Settings.from_env({**sandbox.env(), "OLLAMA_TIMEOUT": "1", **env})))


def test_all_is_well() -> None:
    well, text = finding()
    assert well
    assert "model sandbox is ready" in text


@pytest.mark.parametrize(
    ("fault", "env", "words"),
    [
        (None, {"OLLAMA_HOST": "http://user:hunter2@127.0.0.1:9"}, ["does not answer", "`ollama serve`"]),
        (None, {"OLLAMA_MODEL": "absent"}, ["absent is not on", "`ollama pull absent`"]),
        (f"{CHAT},status=404", {}, ["does not have the model", "`ollama pull sandbox`"]),
        (f"{CHAT},delay=1.5", {}, ["too slow", "`ollama pull llama3.2:1b`"]),
        (f"{CHAT},status=500", {}, ["fails", "`ollama serve`"]),
        (f"{CHAT},nonsense=1", {}, ["nonsense", "`ollama pull"]),
        (f"{CHAT},cut=1", {}, ["broke the connection", "`ollama serve`"]),
        ("route=api/tags,html=1", {}, ["not an Ollama server", "OLLAMA_HOST"]),
        ("route=api/tags,status=503", {}, ["HTTP 503", "`ollama serve`"]),
    ],
)
def test_each_trouble_has_its_remedy(fault: str | None, env: dict[str, str], words: list[str]) -> None:
    well, text = finding(fault, **env)
    assert not well
    assert "\n" not in text
    assert "hunter2" not in text
    for word in words:
        assert word in text, text


def test_memory_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ollama words it: ``model requires more system memory (5.6 GiB) than is available (3.1 GiB)``."""
    from starlette.responses import JSONResponse

    said = "model requires more system memory (5.6 GiB) than is available (3.1 GiB)"
    monkeypatch.setattr(
        "crypto_assets.sandbox.llm._chat_answer", lambda *_, **__: JSONResponse({"error": said}, status_code=500)
    )
    well, text = finding()
    assert not well
    assert "does not fit into memory" in text
    assert "`ollama pull llama3.2:1b`" in text


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("http://user:secret@h:1/x", "http://h:1"), ("h:11434", "http://h:11434"), ("https://h", "https://h"),
        ("http://h:port", "http://h"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_password(host: str, address: str) -> None:
    assert shown(host) == address
