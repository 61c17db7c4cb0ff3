"""A proxy is used for other machines and named when it fails; nothing on this machine is ever asked through one."""

from __future__ import annotations

import asyncio
import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from crypto_assets import proxies
from crypto_assets.errors import CryptoAssetsError, SourceError
from crypto_assets.monitoring.alerts import delivery
from crypto_assets.monitoring.alerts.ledger import Message
from crypto_assets.narratives.llm.client import ModelAwayError, Ollama
from crypto_assets.proxies import proxy_for
from crypto_assets.runtime.kubernetes import api
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.storage.warehouse import Warehouse

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Recorder(http.server.BaseHTTPRequestHandler):
    """A proxy that answers every plain request itself, and notes what it was asked for."""

    seen: ClassVar[list[str]] = []
    status = 200

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b'{"by": "proxy"}')

    def do_CONNECT(self) -> None:
        self.seen.append(self.path)
        self.send_error(self.status if self.status >= 400 else 502)

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # back afterwards, also what spare_loopback writes
        monkeypatch.delenv(name)


@pytest.fixture
def recorder() -> Iterator[tuple[str, type[Recorder]]]:
    handler = type("Fresh", (Recorder,), {"seen": [], "status": 200})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:planted@127.0.0.1:{server.server_port}", handler
        server.shutdown()


@pytest.fixture
def dead() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://user:planted@127.0.0.1:{probe.getsockname()[1]}"


async def _get(url: str) -> object:
    async with Client(max_attempts=1) as client:
        return (await client.get_json("binance", url)).body


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_provider_is_asked_through_the_proxy_that_the_variable_names(
    variable: str, recorder: tuple[str, type[Recorder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, recorder[0])
    assert asyncio.run(_get("http://provider.example/ping")) == {"by": "proxy"}
    assert recorder[1].seen == ["http://provider.example/ping"]
    monkeypatch.setenv("NO_PROXY", ".example")
    with pytest.raises(SourceError):  # asked directly, and there is no such host
        asyncio.run(_get("http://provider.example/ping"))
    assert len(recorder[1].seen) == 1


@pytest.mark.parametrize("variable", VARIABLES)
def test_nothing_on_this_machine_is_asked_through_a_proxy(
    variable: str, dead: str, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The sandbox, Ollama, a webhook and a store on loopback, while the proxy is dead."""
    monkeypatch.setenv(variable, dead)
    with Sandbox() as sandbox:
        env = sandbox.env()
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        settings = Settings.from_env()
        assert asyncio.run(_get(f"{settings.binance_base_url}/klines?symbol=BTCUSDT&interval=1h&limit=1"))
        local = settings.binance_base_url.replace("127.0.0.1", "localhost")
        assert asyncio.run(_get(f"{local}/klines?symbol=BTCUSDT&interval=1h&limit=1"))

        async def model() -> str:
            async with Ollama(settings) as client:
                return (await client.probe()).name

        assert asyncio.run(model()) == settings.ollama_model
    assert Warehouse(bucket).version("prices") is None


@pytest.mark.parametrize(
    ("variable", "url"),
    [("HTTP_PROXY", "http://provider.example/x"), ("https_proxy", "https://provider.example/x"),
     ("ALL_PROXY", "https://provider.example/x")],
)  # fmt: skip
def test_a_dead_proxy_is_named_with_its_variable_and_without_its_password(
    variable: str, url: str, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, dead)
    with pytest.raises(SourceError, match=rf"through the proxy of {variable} http://127\.0\.0\.1:\d+ ") as caught:
        asyncio.run(_get(url))
    assert "planted" not in str(caught.value)
    assert f"correct or unset {variable}" in str(caught.value)
    monkeypatch.setenv("OLLAMA_HOST", url)

    async def model() -> None:
        async with Ollama(Settings.from_env()) as client:
            await client.probe()

    with pytest.raises(ModelAwayError, match=f"through the proxy of {variable} "):
        asyncio.run(model())
    monkeypatch.setenv("ALERT_WEBHOOK_URL", f"{url}?secret")
    outcome = delivery._send(Settings.from_env(), Message(1, {"id": "1"}, 0, True), lambda line: None)
    assert f"through the proxy of {variable} " in str(outcome)
    assert "secret" not in str(outcome)


@pytest.mark.parametrize(("status", "words"), [(407, "407"), (403, "403")])
def test_a_proxy_that_refuses_is_named(
    status: int, words: str, recorder: tuple[str, type[Recorder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder[1].status = status
    for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, recorder[0])
    with pytest.raises(SourceError, match=f"through the proxy of HTTPS_PROXY .*{words}"):
        asyncio.run(_get("https://provider.example/x"))
    if status == 407:
        with pytest.raises(SourceError, match=f"through the proxy of HTTP_PROXY .*{words}"):
            asyncio.run(_get("http://provider.example/x"))


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", address)
    with pytest.raises(CryptoAssetsError, match="through the proxy of ALL_PROXY "):
        asyncio.run(_get("http://provider.example/x"))


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_does_not_keep_a_local_model_away(address: str) -> None:
    """In a process of its own: the client's package reads the variables only while it is imported."""
    script = (
        "import os\n"
        "from crypto_assets.narratives.llm.client import Ollama\n"
        "from crypto_assets.settings import Settings\n"
        "Ollama(Settings.from_env())\n"
        "print(os.environ['ALL_PROXY'])"
    )
    env = {**os.environ, "ALL_PROXY": address}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, address), done.stderr


@pytest.mark.parametrize(
    ("url", "env", "wanted"),
    [
        ("https://a.example", {"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ("https://a.example", {"https_proxy": "http://low", "HTTPS_PROXY": "http://up"}, "http://low"),
        ("https://a.example", {"https_proxy": "  ", "HTTPS_PROXY": "http://up"}, "http://up"),
        ("https://a.example", {"HTTPS_PROXY": " ", "ALL_PROXY": ""}, None),
        ("https://a.example", {"HTTP_PROXY": "http://p"}, None),
        ("http://a.example", {"HTTP_PROXY": "http://p", "NO_PROXY": "b.example, example"}, None),
        ("http://a.example", {"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ("http://a.example", {"HTTP_PROXY": "http://p", "no_proxy": "a.example:81"}, "http://p"),
        ("http://a.example:81", {"HTTP_PROXY": "http://p", "no_proxy": "a.example:81"}, None),
        ("http://aexample", {"HTTP_PROXY": "http://p", "NO_PROXY": "example"}, "http://p"),
        ("http://10.1.2.3", {"HTTP_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        ("http://11.1.2.3", {"HTTP_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, "http://p"),
        *(
            (f"http://{host}:8080/x", {"HTTP_PROXY": "http://p"}, None)
            for host in ("localhost", "LOCALHOST", "localhost.", "x.localhost", "127.0.0.1", "127.9.8.7", "[::1]",
                         "[::ffff:127.0.0.1]", "0.0.0.0")
        ),
    ],
)  # fmt: skip
def test_which_proxy_an_address_has(url: str, env: dict[str, str], wanted: str | None) -> None:
    found = proxy_for(url, env)
    assert (found.address if found else None) == wanted


def test_libraries_that_read_the_variables_themselves_spare_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    proxies.spare_loopback()
    assert proxies.variable("NO_PROXY") == "", "nothing to say without a proxy"
    monkeypatch.setenv("HTTPS_PROXY", "http://p")
    monkeypatch.setenv("NO_PROXY", "a.example")
    proxies.spare_loopback()
    proxies.spare_loopback()
    assert proxies.variable("NO_PROXY") == "a.example,localhost,127.0.0.1,::1"
    assert proxies.variable("no_proxy").split(",")[-3:] == ["localhost", "127.0.0.1", "::1"]


def test_a_kubernetes_api_on_this_machine_is_asked_directly(
    dead: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, dead)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for host, direct in (("https://127.0.0.1:6443", True), ("https://api.example:6443", False)):
        path = tmp_path / "config"
        path.write_text(
            '{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": '
            '{"cluster": "k", "user": "u"}}], "users": [{"name": "u", "user": {"token": "t"}}], "clusters": [{"name": '
            f'"k", "cluster": {{"server": "{host}"}}}}]}}'
        )
        monkeypatch.setenv("KUBECONFIG", str(path))
        assert (api._configuration("x").proxy is None) is direct
