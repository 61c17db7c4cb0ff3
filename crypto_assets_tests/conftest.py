"""Shared fixtures: one embedded Postgres for the test session, a fresh database an instance, platforms on recordings."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg2
import pytest
from dagster import DagsterInstance

from crypto_assets.instance.home import TEMPLATE
from crypto_assets.instance.postgres import ensure_postgres
from crypto_assets.settings import Settings
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform, open_platform

SHARED = Path(os.environ.get("CRYPTO_ASSETS_SHARED") or Path(__file__).parent.parent.parent / "shared")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recorded real data beside the repository; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no recorded data beside the repository (set CRYPTO_ASSETS_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real Postgres that every worker of this session shares."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    return ensure_postgres(Settings.from_env({"CRYPTO_ASSETS_HOME": str(root / "shared_home")}))


@pytest.fixture
def new_instance(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], DagsterInstance]]:
    """Makes Dagster instances, each on a database of its own."""
    with ExitStack() as stack:

        def make() -> DagsterInstance:
            name = f"test_{uuid.uuid4().hex}"
            connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {name}")
            connection.close()
            home = tmp_path / name
            home.mkdir()
            (home / "dagster.yaml").write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
            monkeypatch.setenv("DAGSTER_HOME", str(home))
            monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres_url.rsplit("/", 1)[0] + f"/{name}")
            monkeypatch.setenv("CRYPTO_ASSETS_LOGS", str(home / "logs"))
            return stack.enter_context(DagsterInstance.get())

        yield make


@pytest.fixture
def instance(new_instance: Callable[[], DagsterInstance]) -> DagsterInstance:
    return new_instance()


@pytest.fixture
def platforms(
    new_instance: Callable[[], DagsterInstance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Platform]]:
    """Makes platforms on the scenario, each isolated: ``platforms(until=…, fault=…)``."""
    with ExitStack() as stack:

        def make(until: object = None, fault: str | None = None) -> Platform:
            home = tmp_path / uuid.uuid4().hex
            recording = scenario.write(home / "recording", until=until)  # type: ignore[arg-type]
            return stack.enter_context(open_platform(new_instance(), home, recording, monkeypatch, fault))

        yield make


@pytest.fixture
def platform(platforms: Callable[..., Platform]) -> Platform:
    return platforms()
