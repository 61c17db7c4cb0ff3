"""Shared fixtures: one embedded Postgres for the test session, a fresh database an instance, platforms on recordings."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from hypothesis import settings

from crypto_assets.cli.entry import OBJECTS_UNTIL_COLLECTED
from crypto_assets.runtime.home import TEMPLATE
from crypto_assets.runtime.postgres import ensure_postgres
from crypto_assets.settings import Settings
from crypto_assets_tests import scenario
from crypto_assets_tests.turns import LongestFirst, turn

# The fixtures that need these import them: with the definitions they take seconds, and most files use none.
if TYPE_CHECKING:
    from dagster import DagsterInstance

    from crypto_assets_tests.object_store import ObjectStore
    from crypto_assets_tests.platform import Platform, Prepared

# Seconds are for the benchmarks: on a busy machine an example may take any time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell that starts the tests in the background lets them ignore Ctrl-C. Dagster maps SIGTERM to the same, and what tests start
# would inherit both: a process that a test asks to end would stay.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests start hundreds of Pythons. Where none keeps its bytecode, each compiles all that it imports: five seconds of work.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Libraries and definitions stay as long as the session: with Python's 700 objects, a tenth of the time goes into looking
# for garbage among them.
gc.set_threshold(OBJECTS_UNTIL_COLLECTED)

_DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
SHARED = Path(os.environ.get("CRYPTO_ASSETS_SHARED") or Path(__file__).parent.parent.parent / "shared")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Where we are root, Postgres runs as another user, and pytest closes the folder of all its sessions to others each
    time one begins: open again at once, else the server of a session beside this one fails at its next checkpoint."""
    if os.geteuid() == 0:
        folder: Path = config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]
        if folder.name.startswith("pytest-of-"):
            folder.chmod(folder.stat().st_mode | 0o001)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turn(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    return LongestFirst(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """One worker more than cores, for a quarter of the time a test waits: for a process, a limit or a clock."""
    return (yield) + 1


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recorded real data beside the repository; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no recorded data beside the repository (set CRYPTO_ASSETS_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that every worker of this session shares."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def postgres_url(session_folder: Path) -> str:
    """A real Postgres that every worker of this session shares. No test cuts its power, so nothing waits for the disk."""
    url = ensure_postgres(Settings.from_env({"CRYPTO_ASSETS_HOME": str(session_folder / "shared_home")}))
    _execute(url, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
    return url


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """A real S3 server, and the environment that leads to it: set once, for a thread of the Delta library that reads
    the environment while another changes it brings the process down (getenv and setenv of glibc)."""
    from crypto_assets_tests.object_store import ObjectStore

    with ObjectStore() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.env.items():
            patch.setenv(name, value)
        yield store


@pytest.fixture
def bucket(object_store: ObjectStore) -> str:
    """The address of an empty bucket."""
    return object_store.bucket()


def _execute(postgres_url: str, *statements: str) -> None:
    """Run statements that no transaction may hold."""
    connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def _create_database(postgres_url: str, name: str, template: str = "template1") -> str:
    """Its URL. Copying the template's files takes half the time of writing its pages through the log."""
    _execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return postgres_url.rsplit("/", 1)[0] + f"/{name}"


def _drop_database(postgres_url: str, name: str) -> None:
    """Drop it with the connections that stay open to it: a session has some thousand tests, and the server 100 places."""
    _execute(postgres_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _open_instance(home: Path, url: str, patch: pytest.MonkeyPatch) -> DagsterInstance:
    from dagster import DagsterInstance

    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    patch.setenv("DAGSTER_HOME", str(home))
    patch.setenv("DAGSTER_POSTGRES_URL", url)
    patch.setenv("CRYPTO_ASSETS_LOGS", str(home / "logs"))
    return DagsterInstance.get()


@pytest.fixture(scope="session")
def with_tables(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database in which Dagster has made its tables: each instance's own is a copy of it, a second sooner than made."""
    name = f"tables_{uuid.uuid4().hex}"
    with pytest.MonkeyPatch.context() as patch:
        url = _create_database(postgres_url, name)
        with _open_instance(tmp_path_factory.mktemp("tables") / "home", url, patch) as instance:
            assert instance.get_runs_count() == 0
    return name


@pytest.fixture
def new_instance(
    postgres_url: str, with_tables: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., DagsterInstance]]:
    """Makes Dagster instances, each on a database of its own: ``new_instance(template=…)``."""
    with ExitStack() as stack:

        def make(template: str = with_tables) -> DagsterInstance:
            name = f"test_{uuid.uuid4().hex}"
            url = _create_database(postgres_url, name, template)
            stack.callback(_drop_database, postgres_url, name)
            return stack.enter_context(_open_instance(tmp_path / name, url, monkeypatch))

        yield make


@pytest.fixture
def instance(new_instance: Callable[[], DagsterInstance]) -> DagsterInstance:
    return new_instance()


@pytest.fixture
def url(instance: DagsterInstance) -> str:
    """The address of a database of its own."""
    found = Settings.from_env().postgres_url
    assert found is not None
    return found.get_secret_value()


@pytest.fixture(scope="session")
def prepared(postgres_url: str, with_tables: str, session_folder: Path) -> Callable[..., Prepared]:
    """Prepares platforms on the scenario: ``prepared(name, fill, write=…)``, where ``write`` makes another recording of it.

    Filling one takes as long as many tests, so the first worker that asks for a name does it for all of them.
    """
    from crypto_assets_tests.platform import Prepared, open_platform

    def prepare(
        name: str, fill: Callable[[Platform], None], write: Callable[[Path], Path] = scenario.write
    ) -> Prepared:
        folder = session_folder / f"prepared_{name}"
        with (session_folder / f"{name}.lock").open("a") as lock, pytest.MonkeyPatch.context() as patch:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                database, making = f"prepared_{uuid.uuid4().hex}", session_folder / uuid.uuid4().hex
                url = _create_database(postgres_url, database, with_tables)
                recording = write(making / "home" / "recording")
                with (
                    _open_instance(making / "instance", url, patch) as instance,
                    open_platform(instance, making / "home", recording, patch) as platform,
                ):
                    fill(platform)
                # A database is copied while nobody is connected to it.
                closed = f"ALTER DATABASE {database} ALLOW_CONNECTIONS false"
                _execute(postgres_url, closed, _DISCONNECT.format(name=database))
                (making / "database").write_text(database, encoding="utf-8")
                making.rename(folder)
        return Prepared((folder / "database").read_text(encoding="utf-8"), folder / "home")

    return prepare


@pytest.fixture(scope="session")
def whole_scenario(prepared: Callable[..., Prepared]) -> Prepared:
    """A platform on which the scenario was backfilled in one run."""

    def fill(platform: Platform) -> None:
        assert platform.backfill(scenario.START, scenario.END).ok

    return prepared("whole_scenario", fill)


@pytest.fixture(scope="session")
def walked_models(prepared: Callable[..., Prepared]) -> Prepared:
    """A platform on the market of the models, with every model that a backfill of all its days trains."""
    from crypto_assets_tests import model_market

    return prepared("walked_models", model_market.walk_forward)


@pytest.fixture
def platforms(
    new_instance: Callable[..., DagsterInstance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Platform]]:
    """Makes platforms on the scenario, each isolated: ``platforms(until=…, fault=…)``."""
    from crypto_assets_tests.platform import open_platform

    with ExitStack() as stack:

        def make(until: object = None, fault: str | None = None) -> Platform:
            home = tmp_path / uuid.uuid4().hex
            recording = scenario.write(home / "recording", until=until)  # type: ignore[arg-type]
            return stack.enter_context(open_platform(new_instance(), home, recording, monkeypatch, fault))

        yield make


@pytest.fixture
def platform(platforms: Callable[..., Platform]) -> Platform:
    return platforms()


@pytest.fixture
def copy_of(
    new_instance: Callable[..., DagsterInstance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Prepared], Platform]]:
    """Makes platforms of the test's own, each a copy of a prepared one."""
    from crypto_assets_tests.platform import open_platform

    with ExitStack() as stack:

        def make(original: Prepared) -> Platform:
            mine = tmp_path / uuid.uuid4().hex
            shutil.copytree(original.home, mine)
            instance = new_instance(original.database)
            return stack.enter_context(open_platform(instance, mine, mine / "recording", monkeypatch))

        yield make


@pytest.fixture
def filled(whole_scenario: Prepared, copy_of: Callable[[Prepared], Platform]) -> Platform:
    """A platform of its own on which the scenario was backfilled in one run."""
    return copy_of(whole_scenario)
