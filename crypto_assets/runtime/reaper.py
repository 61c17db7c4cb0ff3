"""Stop the embedded Postgres when its last user has ended: ``python reaper.py ROOT``.

``embedded_postgres.py`` describes the locks. This imports only the standard library, because it lives as long as the
server, and so it needs only a few megabytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO

GRACE_S = 2.0  # seconds to wait, so that commands in a row share one server
# (seconds, signal): roll back and stop; then stop without a checkpoint; then kill. Each is crash-safe.
STOP = ((60.0, signal.SIGINT), (30.0, signal.SIGQUIT), (5.0, signal.SIGKILL))


def main(root: Path) -> None:
    """Become the reaper of a server, unless there is one; stop the server when nobody holds a lease.

    Args:
        root: the folder of the server.
    """
    with (
        (root / "reaper.lock").open("a") as duty,
        (root / "leases").open("a") as leases,
        (root / "server.lock").open("a") as server,
    ):
        try:
            fcntl.flock(duty, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another reaper runs
        if os.fork():  # the caller goes on; the child keeps the lock
            return
        while True:
            fcntl.flock(leases, fcntl.LOCK_EX)  # returns when nobody holds a lease
            fcntl.flock(leases, fcntl.LOCK_UN)
            time.sleep(GRACE_S)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(leases, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        _stop(root, server)
        fcntl.flock(duty, fcntl.LOCK_UN)  # before the leases: who gets a lease then finds no reaper


def _stop(root: Path, server: IO[str]) -> None:
    for seconds, number in STOP:
        signalled, deadline = None, time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return  # no server runs or starts
            pid = _postmaster(root / "data")
            if pid is not None and pid != signalled:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                signalled = pid
            time.sleep(0.05)


def _postmaster(data: Path) -> int | None:
    """Return the server's pid once it has written one; on Linux only if that process works in the data folder."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        if Path("/proc/self/cwd").exists() and not Path(f"/proc/{pid}/cwd").samefile(data):
            return None
    except (OSError, ValueError):
        return None
    return pid if pid > 1 else None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
