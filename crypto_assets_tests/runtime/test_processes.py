"""``crypto-assets dev``: both children answer, and none is left behind however the parent ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from crypto_assets.dagster_internals.core import DAEMON
from crypto_assets_tests import warm
from crypto_assets_tests.ports import free_port
from crypto_assets_tests.runtime.conftest import postmaster, wait_for

LINUX = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the children by Linux' /proc")


def env_of(home: Path) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name != "DAGSTER_POSTGRES_URL"}
    return {**env, "CRYPTO_ASSETS_HOME": str(home)}


def children_of(home: Path) -> list[str]:
    """Processes that carry this home in their environment, but for Postgres' own and the reaper; ``dev`` itself is a fork, and
    its environment is that of the process which it is a fork of."""
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
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=30) as response:
            return b"dagster_webserver_version" in response.read()
    except (OSError, HTTPException):
        return False


def knows_runs(port: int) -> bool:
    """The UI's question for the newest runs, which are in Postgres."""
    query = json.dumps({"query": "{ runsOrError(limit: 1) { ... on Runs { results { id } } } }"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", query, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return "results" in ((json.load(response).get("data") or {}).get("runsOrError") or {})
    except (OSError, HTTPException):
        return False


@pytest.fixture
def dev(home: Path) -> Iterator[tuple[warm.Process, int]]:
    port = free_port()
    # Into a file: nobody empties a pipe meanwhile, and what the daemon says while its Postgres is away could fill it.
    with home.with_suffix(".log").open("w+") as log:
        args = (*warm.CLI, "dev", "--port", str(port))
        process = warm.start(env_of(home), *args, stdout=log, stderr=log, start_new_session=True)
        yield process, port
        process.kill()
        process.wait()


def comes_up(dev: tuple[warm.Process, int], home: Path) -> None:
    process, port = dev
    assert wait_for(lambda: answers(port) or process.poll() is not None, 300)
    assert process.poll() is None, home.with_suffix(".log").read_text()


def refused(home: Path, port: int) -> subprocess.CompletedProcess[str]:
    return warm.run(env_of(home), "dev", "--port", str(port), timeout=300)


@LINUX
def test_no_process_outlives_a_killed_dev(dev: tuple[warm.Process, int], home: Path) -> None:
    process, port = dev
    comes_up(dev, home)
    assert any(DAEMON in line for line in children_of(home))
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert wait_for(lambda: not children_of(home)), children_of(home)
    assert not answers(port)


@LINUX
def test_ctrl_c_ends_a_dev_within_seconds_and_with_one_line(dev: tuple[warm.Process, int], home: Path) -> None:
    process, port = dev
    said = home.with_suffix(".log")
    assert wait_for(lambda: "UI on" in said.read_text() or process.poll() is not None, 300)
    assert answers(port), "the address was printed before the UI answered"
    assert not re.search(r"INFO|DEBUG|\x1b", said.read_text()), "a terminal gets warnings only, a file no colours"
    before = len(said.read_text().splitlines())
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(60) == 0
    assert time.monotonic() - began < 12
    assert said.read_text().splitlines()[before:] == ["stopping"]
    assert wait_for(lambda: not children_of(home)), children_of(home)
    assert not answers(port)


@LINUX
def test_a_dev_is_alone_brings_its_postgres_back_and_leaves_nothing(dev: tuple[warm.Process, int], home: Path) -> None:
    process, port = dev
    comes_up(dev, home)
    second = refused(home, free_port())
    assert second.returncode == 1
    assert f"already (UI on http://127.0.0.1:{port}, process {process.pid}); use it" in second.stderr.splitlines()[-1]

    killed = postmaster(home)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    assert wait_for(lambda: postmaster(home) not in (killed, None) and knows_runs(port))

    process.terminate()
    assert process.wait(120) == 0
    assert wait_for(lambda: not children_of(home)), children_of(home)
    assert not answers(port)


def test_a_port_in_use_is_one_sentence(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = refused(home, port)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr.splitlines()[-1]
    assert not home.exists(), "nothing was started"
