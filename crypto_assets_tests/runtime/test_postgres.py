"""The embedded server: started once, shared, stopped with its last user, recovered after any kill."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from pydantic import SecretStr

from crypto_assets.errors import InstanceError
from crypto_assets.runtime import embedded_postgres
from crypto_assets.runtime.postgres import ensure_postgres, normalised
from crypto_assets.settings import Settings
from crypto_assets_tests.runtime.conftest import CLIENT, Client, postmaster, wait_for

Clients = Callable[[], Client]


def connect(url: str):
    return psycopg2.connect(url.replace("+psycopg2", ""), connect_timeout=5)


def ask(url: str, query: str):
    connection = connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(query)
        answer = cursor.fetchone()[0] if cursor.description else None
    connection.close()
    return answer


def up(url: str) -> bool:
    try:
        connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def pid(home: Path) -> int:
    found = postmaster(home)
    assert found is not None
    return found


def test_two_at_once_share_one_server_that_stops_with_the_last(clients: Clients, home: Path) -> None:
    first, second = clients(), clients()
    url = first.url()
    assert second.url() == url
    assert ask(url, "SELECT 1") == 1
    first.leave()
    assert not wait_for(lambda: not up(url), 3), "one user is left"
    second.leave()
    assert wait_for(lambda: not up(url))
    log = home / "postgres" / "log"
    assert wait_for(lambda: "database system is shut down" in log.read_text()), "its last word"
    assert not (home / "postgres" / "data" / "postmaster.pid").exists()
    assert log.read_text().count("ready to accept connections") == 1


def test_the_first_command_says_that_it_made_a_database_and_the_next_one_nothing(clients: Clients, home: Path) -> None:
    said = []
    for _ in range(2):
        client = clients()
        client.url()
        said.append(client.process.communicate(timeout=120)[1])
    assert len(said[0].splitlines()) == 1
    assert str(home / "postgres") in said[0] and "CRYPTO_ASSETS_HOME" in said[0]
    assert said[1] == ""


def test_a_killed_client_leaves_no_server(clients: Clients, home: Path) -> None:
    client = clients()
    url = client.url()
    ask(url, "CREATE TABLE kept AS SELECT 42 AS n")
    server = pid(home)
    client.process.kill()
    assert wait_for(lambda: not Path(f"/proc/{server}").exists() and not up(url))
    again = clients().url()
    assert again == url, "the same port and password, so that who stayed finds it"
    assert ask(again, "SELECT n FROM kept") == 42


def test_an_initdb_that_outlives_its_client_is_waited_for(clients: Clients, home: Path) -> None:
    """Its initdb goes on for a while: the one who waits begins anew when that has ended, not in the middle of it."""
    both = {client.process.pid: client for client in (clients(), clients())}
    makers: list[int] = []
    assert wait_for(lambda: makers.extend(_parents_of(f"initdb -D {home / 'postgres' / 'data.new'} ")) or makers)
    both.pop(makers[0]).process.kill()
    (other,) = both.values()
    assert ask(other.url(), "SELECT 1") == 1


def test_who_waits_for_another_command_says_so(
    home: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Or an initdb that hangs, of a command that is no more, would stop every later one without a word."""
    monkeypatch.setattr(embedded_postgres, "WAIT_SILENTLY_S", 0.2)
    (home / "postgres").mkdir(parents=True)
    with (home / "postgres" / "start.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threading.Thread(target=ensure_postgres, args=(settings,))
        waiting.start()
        said = ""
        while "start.lock, which another command holds" not in said:
            assert waiting.is_alive()
            said += capfd.readouterr().err
            time.sleep(0.05)
    waiting.join(120)
    assert up(ensure_postgres(settings))


def _parents_of(arguments: str) -> list[int]:
    listed = subprocess.run(["ps", "-wweo", "ppid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if arguments in line]


def test_everything_killed_is_recovered(clients: Clients, home: Path) -> None:
    client = clients()
    url = client.url()
    ask(url, "CREATE TABLE kept AS SELECT 42 AS n")
    _kill_reaper(home)
    written = ask(url, "SELECT pg_current_wal_insert_lsn()")  # a commit does not wait for the disk
    assert wait_for(lambda: ask(url, f"SELECT pg_current_wal_flush_lsn() >= '{written}'"))
    os.kill(pid(home), signal.SIGKILL)
    client.process.kill()
    assert (home / "postgres" / "data" / "postmaster.pid").exists()
    assert ask(clients().url(), "SELECT n FROM kept") == 42


def test_a_pid_that_now_belongs_to_another_is_no_obstacle(clients: Clients, home: Path) -> None:
    client = clients()
    client.url()
    file = home / "postgres" / "data" / "postmaster.pid"
    stale = file.read_text().split("\n", 1)[1]
    client.leave()
    assert wait_for(lambda: not file.exists())
    file.write_text(f"{os.getpid()}\n{stale}")
    assert ask(clients().url(), "SELECT 1") == 1


def test_a_killed_postmaster_is_replaced_where_its_users_look(clients: Clients, home: Path) -> None:
    stays = clients()
    url = stays.url()
    dead = pid(home)
    os.kill(dead, signal.SIGKILL)
    assert clients().url() == url
    assert up(url)
    assert pid(home) != dead


def test_a_killed_reaper_is_replaced_by_the_next_client(clients: Clients, home: Path) -> None:
    first = clients()
    url = first.url()
    _kill_reaper(home)
    second = clients()
    second.url()
    for client in (first, second):
        client.process.kill()
    assert wait_for(lambda: not up(url))


def _kill_reaper(home: Path) -> None:
    found = subprocess.run(["pgrep", "-f", f"reaper.py {home / 'postgres'}$"], capture_output=True, text=True).stdout
    assert len(found.split()) == 1, found
    os.kill(int(found), signal.SIGKILL)


def test_a_taken_port_is_left_to_its_owner(clients: Clients, home: Path) -> None:
    client = clients()
    url = client.url()
    client.leave()
    assert wait_for(lambda: not (home / "postgres" / "data" / "postmaster.pid").exists())
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", int((home / "postgres" / "port").read_text())))
        squatter.listen()
        squatter.settimeout(0.1)
        stop = threading.Event()
        refuse = threading.Thread(target=_refuse, args=(squatter, stop))
        refuse.start()
        try:
            other = clients().url()
        finally:
            stop.set()
            refuse.join()
    assert other != url
    assert up(other)


def _refuse(server: socket.socket, stop: threading.Event) -> None:
    """Ask for the password in clear, as a thief would; whoever sends it has failed."""
    while not stop.is_set():
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(60)
            connection.recv(1024)
            connection.sendall(b"R\x00\x00\x00\x08\x00\x00\x00\x03")
            assert connection.recv(1024) in (b"", b"X\x00\x00\x00\x04")


def test_a_copied_home_has_a_server_of_its_own(clients: Clients, home: Path, tmp_path: Path) -> None:
    """The copy holds the original's port and password, and must not take its server for its own."""
    first = clients()
    url = first.url()
    ask(url, "CREATE TABLE mine (n int)")
    ask(url, "CHECKPOINT")
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    if os.geteuid() == 0:
        owner = (home / "postgres" / "data").stat()
        for path in (copy / "postgres" / "data").rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)
        os.chown(copy / "postgres" / "data", owner.st_uid, owner.st_gid)
    other = ensure_postgres(replace(Settings.from_env({}), home=copy))
    assert other != url
    ask(other, "DROP TABLE mine")
    assert ask(url, "SELECT count(*) FROM mine") == 0


def test_what_a_parent_handed_down_is_joined(clients: Clients, settings: Settings) -> None:
    url = clients().url()
    handed = Settings.from_env({"CRYPTO_ASSETS_HOME": str(settings.home), "DAGSTER_POSTGRES_URL": url})
    assert ensure_postgres(handed) == url
    assert settings.home / "postgres" in embedded_postgres._leases


def test_settings_that_matter(clients: Clients) -> None:
    url = clients().url()
    for name, value in {"fsync": "on", "timezone": "UTC", "listen_addresses": "127.0.0.1"}.items():
        assert ask(url, f"SHOW {name}") == value
    with pytest.raises(psycopg2.OperationalError):
        connect(url.replace(url.split(":")[2].split("@")[0], "wrong"))


def test_a_half_deleted_server_says_what_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "postgres"
    (root / "data").mkdir(parents=True)
    env = {**os.environ, "CRYPTO_ASSETS_HOME": str(tmp_path)}
    env.pop("DAGSTER_POSTGRES_URL", None)

    def words() -> str:  # from a process of its own: its reaper goes with it
        client = [sys.executable, "-c", CLIENT]
        return subprocess.run(client, env=env, input="", capture_output=True, text=True, check=False).stderr

    assert "password is gone" in words()
    (root / "password").write_text("secret")
    (root / "data" / "PG_VERSION").touch()  # and nothing else
    said = words()
    assert "does not start (" in said
    assert "no reason" not in said
    assert "secret" not in said


def test_the_password_is_private(clients: Clients, home: Path) -> None:
    url = clients().url()
    password = url.split(":")[2].split("@")[0]
    root = home / "postgres"
    assert (root / "password").stat().st_mode & 0o777 == 0o600
    assert password not in (root / "log").read_text()
    listing = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    assert password not in listing


def test_an_unwritable_home_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InstanceError, match="CRYPTO_ASSETS_HOME"):
        ensure_postgres(Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path / "file" / "home")}))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_without_root_it_runs_as_oneself(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in (*tmp_path.parents, *Path(os.__file__).resolve().parents, *Path(sys.executable).parents):
        if not parent.stat().st_mode & 0o001:
            pytest.skip(f"{parent} is closed to other users")
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    code = (
        "import os; os.setgid(65534); os.setuid(65534);"
        "from crypto_assets.runtime.postgres import ensure_postgres; from crypto_assets.settings import Settings;"
        f"ensure_postgres(Settings.from_env({{'CRYPTO_ASSETS_HOME': {str(home)!r}}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert (home / "postgres" / "data").stat().st_uid == 65534
    assert wait_for(lambda: not (home / "postgres" / "data" / "postmaster.pid").exists())


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_external_urls_are_normalised(postgres_url: str, settings: Settings, scheme: str) -> None:
    assert normalised(f"{scheme}://u@h/d") == "postgresql+psycopg2://u@h/d"
    given = scheme + postgres_url.removeprefix("postgresql+psycopg2")
    assert ensure_postgres(_with(settings, given)) == postgres_url
    assert not (settings.home / "postgres").exists(), "nothing embedded beside it"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter%402@127.0.0.1:1/x",
        "postgresql://u@127.0.0.1:1/x?password=hunter%402",
        "postgresql://u:hunter%402@127.0.0.1:nonsense/x",
        "mysql://u:hunter%402@127.0.0.1/x",
        "{real}",
    ],
)
def test_an_external_server_that_fails_is_one_sentence_without_the_password(
    postgres_url: str, settings: Settings, url: str
) -> None:
    real = postgres_url.replace(postgres_url.split(":")[2].split("@")[0], "hunter%402")
    with pytest.raises(InstanceError) as caught:
        ensure_postgres(_with(settings, url.replace("{real}", real)))
    text = str(caught.value)
    assert "DAGSTER_POSTGRES_URL" in text
    assert "\n" not in text
    assert "hunter" not in text
    assert "hunter" not in repr(caught.value.__cause__)


def test_an_external_server_that_accepts_and_says_nothing(settings: Settings) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(InstanceError, match="does not answer"):
            ensure_postgres(_with(settings, f"postgresql://u:p@127.0.0.1:{mute.getsockname()[1]}/x"))


def _with(settings: Settings, url: str) -> Settings:
    return replace(settings, postgres_url=SecretStr(url))
