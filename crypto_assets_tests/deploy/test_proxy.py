"""The authenticating proxy of ``deploy/``: the real nginx, with the file that Compose and Kubernetes mount, before a real
webserver; and what the manifests expose with it and without it."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import kubernetes_validate
import pytest
import yaml

from crypto_assets_tests.deploy.pods import refused
from crypto_assets_tests.deploy.test_manifests import DEPLOY, KUSTOMIZE, VERSIONS, pod_specs, rendered
from crypto_assets_tests.ports import free_port
from crypto_assets_tests.runtime.kubernetes.objects import wait_for

CONFIG = KUSTOMIZE / "components" / "proxy" / "nginx.conf"
ALICE = ("alice", "correct horse")
QUERY = {"query": "{version}"}


def password_file(folder: Path) -> Path:
    """One user, made as the documentation says."""
    tool = shutil.which("htpasswd")
    if tool is None:
        pytest.skip("no htpasswd to make a password file with (Debian: apache2-utils)")
    path = folder / "htpasswd"
    subprocess.run([tool, "-B", "-b", "-c", str(path), *ALICE], check=True, capture_output=True)
    path.chmod(0o644)
    return path


@pytest.fixture
def webserver(instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[int]:
    """The port of Dagster's webserver, without a workspace."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "webserver.log").open("wb") as log:
        process = subprocess.Popen([*command, "--empty-workspace"], stdout=log, stderr=log)
    try:
        wait_for(lambda: listens(port), 300, 0.2)
        yield port
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def proxy(webserver: int, tmp_path: Path) -> Iterator[str]:
    """The address of nginx; of the mounted file only addresses and paths are this test's."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        pytest.skip("no nginx (Debian: nginx-light)")
    port, text = free_port(), CONFIG.read_text(encoding="utf-8")
    for there, here in (
        ("/tmp/", f"{tmp_path}/"),  # before paths of this test come in
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("http://crypto-assets-webserver:3000", f"http://127.0.0.1:{webserver}"),
        ("/etc/nginx/auth/htpasswd", str(password_file(tmp_path))),
    ):
        assert there in text
        text = text.replace(there, here)
    for folder in (*tmp_path.parents[:2], tmp_path):
        folder.chmod(folder.stat().st_mode | 0o055)  # where we are root, the worker is another user
    (tmp_path / "nginx.conf").write_text(text, encoding="utf-8")
    with (tmp_path / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"], stdout=log, stderr=log
        )
    try:
        wait_for(lambda: listens(port) or process.poll() is not None, 60, 0.1)
        assert process.poll() is None, (tmp_path / "nginx.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def upgraded(address: str, credentials: str) -> str:
    """The first line of the answer to a browser that opens the UI's WebSocket."""
    host = address.removeprefix("http://")
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /graphql HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: graphql-ws", *([f"Authorization: {credentials}"] if credentials else []),
    ]  # fmt: skip
    with socket.create_connection(tuple(host.split(":")), timeout=60) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return connection.recv(4096).decode(errors="replace").splitlines()[0]


def test_nobody_without_the_password_reaches_the_ui(proxy: str) -> None:
    good = "Basic " + base64.b64encode(":".join(ALICE).encode()).decode()
    for path in ("/", "/server_info", "/graphql", "/logs/x", "/dagit/../graphql", "//graphql"):
        assert httpx.get(f"{proxy}{path}").status_code == 401, path
    assert httpx.post(f"{proxy}/graphql", json=QUERY).status_code == 401
    assert httpx.post(f"{proxy}/graphql", json=QUERY, auth=("alice", "wrong")).status_code == 401
    assert httpx.post(f"{proxy}/graphql", json=QUERY, auth=("mallory", ALICE[1])).status_code == 401
    assert "401" in upgraded(proxy, "")
    health = httpx.get(f"{proxy}/healthz")
    assert (health.status_code, health.text) == (200, "ok\n")

    assert httpx.get(proxy, auth=ALICE).status_code == 200
    assert httpx.post(f"{proxy}/graphql", json=QUERY, auth=ALICE).json()["data"]["version"]
    assert "101" in upgraded(proxy, good), "the UI follows runs over it"


def test_compose_and_kubernetes_mount_this_file() -> None:
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    proxy = compose["services"]["proxy"]
    mounted = proxy["volumes"][0].split(":")
    assert ((DEPLOY / "compose" / mounted[0]).resolve(), mounted[1]) == (CONFIG.resolve(), "/etc/nginx/nginx.conf")
    assert proxy["volumes"][1]["target"] == "/etc/nginx/auth/htpasswd"
    assert "crypto-assets-webserver" in compose["services"]["webserver"]["networks"]["default"]["aliases"]
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports), "nothing of it is for other machines by itself"


@pytest.fixture
def with_proxy(tmp_path: Path) -> tuple[dict[str, Any], ...]:
    """An overlay with the component, as docs/production.md has it."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl to render the overlay with")
    copy = Path(shutil.copytree(KUSTOMIZE, tmp_path / "kustomize"))
    file = copy / "overlays" / "external" / "kustomization.yaml"
    text = yaml.safe_load(file.read_text(encoding="utf-8")) | {"components": ["../../components/proxy"]}
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    done = subprocess.run(["kubectl", "kustomize", str(file.parent)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def policy(name: str, documents: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    found = [d for d in documents if d["kind"] == "NetworkPolicy" and d["metadata"]["name"] == name]
    return dict(found[0]["spec"])


def test_with_the_component_the_webserver_hears_the_proxy_only(with_proxy: tuple[dict[str, Any], ...]) -> None:
    for document in with_proxy:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    assert all(refused(spec) == [] for _, spec in pod_specs(with_proxy))
    (rule,) = policy("crypto-assets-webserver", with_proxy)["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/component": "proxy"}}}]
    pods = [d for d in with_proxy if d["kind"] == "Deployment" and d["metadata"]["name"] == "crypto-assets-proxy"]
    assert pods[0]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "proxy"
    names = {d["metadata"]["name"] for d in with_proxy if d["kind"] == "Service"}
    assert {"crypto-assets-proxy", "crypto-assets-webserver"} <= names
    (volume,) = (v for v in pods[0]["spec"]["template"]["spec"]["volumes"] if v["name"] == "config")
    (config,) = (d for d in with_proxy if d["metadata"]["name"] == volume["configMap"]["name"])
    assert config["data"]["nginx.conf"] == CONFIG.read_text(encoding="utf-8")


@pytest.mark.parametrize("overlay", ["overlays/external", "overlays/one-cluster", "overlays/gpu", "helm-companion"])
def test_without_it_nothing_leaves_the_cluster(overlay: str) -> None:
    documents = rendered(overlay)
    assert "Ingress" not in {d["kind"] for d in documents}
    assert {d["spec"].get("type", "ClusterIP") for d in documents if d["kind"] == "Service"} == {"ClusterIP"}
    (rule,) = policy("crypto-assets-webserver", documents)["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"crypto-assets/ui": "allowed"}}}]
    assert not [d for d in documents if d["kind"] == "Namespace"], "nothing labels one"
