"""``crypto-assets dev``: both children answer, and none is left behind however the parent ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_assets_tests.instance.conftest import wait_for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(home: Path) -> list[str]:
    """Processes that carry this home in their environment, but for Postgres' own and the guardian."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"CRYPTO_ASSETS_HOME={home}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5) as response:
            return b"dagster_webserver_version" in response.read()
    except OSError:
        return False


@pytest.fixture
def dev(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name != "DAGSTER_POSTGRES_URL"}
    process = subprocess.Popen(
        [sys.executable, "-m", "crypto_assets.cli", "dev", "--port", str(port)],
        env={**env, "CRYPTO_ASSETS_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process, port
    process.kill()
    process.communicate()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the children by Linux' /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_dev(dev: tuple[subprocess.Popen[str], int], home: Path, number: signal.Signals) -> None:
    process, port = dev
    assert wait_for(lambda: answers(port) or process.poll() is not None, 90)
    assert process.poll() is None, process.communicate()[0]
    assert any("dagster._daemon" in line for line in children_of(home))
    process.send_signal(number)
    process.wait(30)
    assert process.returncode == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert wait_for(lambda: not children_of(home), 40), children_of(home)
    assert not answers(port)


def test_a_port_in_use_is_one_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = {name: value for name, value in os.environ.items() if name != "DAGSTER_POSTGRES_URL"}
        done = subprocess.run(
            [sys.executable, "-m", "crypto_assets.cli", "dev", "--port", str(port)],
            env={**env, "CRYPTO_ASSETS_HOME": str(home)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr.splitlines()[-1]
    assert not home.exists(), "nothing was started"
