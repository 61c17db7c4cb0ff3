"""Stops the embedded Postgres when its last user is gone: ``python reaper.py ROOT``; the locks are in ``cluster.py``.

Imports nothing but the standard library: it lives as long as the server does, in a few megabytes.
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

GRACE_S = 2.0  # commands that follow each other share one server
# (seconds, signal): roll back and stop; then stop without a checkpoint; then the kernel's way. Each is crash-safe.
STOP = ((60.0, signal.SIGINT), (30.0, signal.SIGQUIT), (5.0, signal.SIGKILL))


def main(root: Path) -> None:
    with (
        (root / "reaper.lock").open("a") as duty,
        (root / "leases").open("a") as leases,
        (root / "server.lock").open("a") as server,
    ):
        try:
            fcntl.flock(duty, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another reaper is on duty
        if os.fork():  # whoever called us goes on; the lock is on duty with the child
            return
        while True:
            fcntl.flock(leases, fcntl.LOCK_EX)  # returns when nobody holds a lease
            fcntl.flock(leases, fcntl.LOCK_UN)
            time.sleep(GRACE_S)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(leases, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        _stop(root, server)
        fcntl.flock(duty, fcntl.LOCK_UN)  # before the leases, so that whoever waits for one finds no reaper on duty


def _stop(root: Path, server: IO[str]) -> None:
    for seconds, number in STOP:
        signalled, deadline = None, time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return  # neither a server nor one on its way up
            pid = _postmaster(root / "data")
            if pid is not None and pid != signalled:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                signalled = pid
            time.sleep(0.05)


def _postmaster(data: Path) -> int | None:
    """The server's pid, once it has written one; on Linux only if that process does work in the data folder."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        if Path("/proc/self/cwd").exists() and not Path(f"/proc/{pid}/cwd").samefile(data):
            return None
    except (OSError, ValueError):
        return None
    return pid if pid > 1 else None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
