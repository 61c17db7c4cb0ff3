"""Stops the embedded Postgres when its last user is gone: ``python -m crypto_assets.instance.guardian ROOT PG_CTL``.

Imports nothing but the standard library: it lives as long as the server does, in a few megabytes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 2.0  # commands that follow each other share one server


def main(root: Path, pg_ctl: str) -> None:
    with (root / "guardian.lock").open("a") as mine, (root / "leases").open("a") as leases:
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another guardian is on duty
        while True:
            fcntl.flock(leases, fcntl.LOCK_EX)  # returns when nobody holds a lease
            fcntl.flock(leases, fcntl.LOCK_UN)
            time.sleep(GRACE_S)
            try:
                fcntl.flock(leases, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _stop(root, pg_ctl)
            fcntl.flock(mine, fcntl.LOCK_UN)  # first, so that whoever waits for the lease finds no guardian
            return


def _stop(root: Path, pg_ctl: str) -> None:
    data = root / "data"
    if not data.exists():  # the home was deleted under us
        return
    as_user = {"user": data.owner(), "group": data.group(), "extra_groups": []} if os.geteuid() == 0 else {}
    if shutil.which(pg_ctl):
        subprocess.run(
            [pg_ctl, "-D", str(data), "-m", "fast", "-w", "-t", "60", "stop"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            check=False,
            **as_user,  # type: ignore[call-overload]
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
