"""Homes of their own, and programs that use them from other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from crypto_assets.settings import Settings

# Uses the server, says so, and stays until its stdin is closed.
CLIENT = """
import sys
from crypto_assets.runtime.postgres import ensure_postgres
from crypto_assets.settings import Settings
print(ensure_postgres(Settings.from_env()), flush=True)
sys.stdin.read()
"""


def wait_for(condition: Callable[[], object], seconds: float = 120) -> bool:
    """Does it become true? By default within much longer than it takes on a machine that has other things to do."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def postmaster(home: Path) -> int | None:
    """The server's process, None while the file that names it is away or being written."""
    try:
        return int((home / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


class Client:
    """A process that uses the embedded server of a home."""

    def __init__(self, home: Path) -> None:
        env = {name: value for name, value in os.environ.items() if name != "DAGSTER_POSTGRES_URL"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            env={**env, "CRYPTO_ASSETS_HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line.startswith("postgresql+psycopg2://"), self.process.communicate()[1][-2000:]
        return line

    def leave(self) -> None:
        if self.process.poll() is None:
            self.process.communicate(timeout=120)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings.from_env({"CRYPTO_ASSETS_HOME": str(home)})


@pytest.fixture
def clients(home: Path) -> Iterator[Callable[[], Client]]:
    """Starts clients of this test's home; those still there at the end are killed, and the server follows them."""
    with ExitStack() as stack:

        def start() -> Client:
            client = Client(home)
            stack.callback(client.process.communicate)
            stack.callback(client.process.kill)
            return client

        yield start
