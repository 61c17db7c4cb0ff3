"""Is a process that was noted under its number the same one? Numbers are given out again; the start time tells.

Reads ``/proc``; where there is none, nothing is known of any process.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def started(pid: int) -> str:
    """When the living process under this number started, in clock ticks since boot; ``"0"`` where there is none.

    One that ended and only waits for its parent to notice is none.
    """
    fields = _stat(pid)
    return "0" if fields is None or fields[0] in "ZX" else fields[19]


def started_at(pid: int) -> float | None:
    """The same in epoch seconds by this machine's clock of now, to about a second; None where there is no process."""
    ticks = int(started(pid))
    if not ticks:
        return None
    since_boot = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - (since_boot - ticks / _TICKS)


def is_python(pid: int) -> bool:
    """Does a Python interpreter run under this number?"""
    try:
        return b"python" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _stat(pid: int) -> list[str] | None:
    """The fields of ``/proc/PID/stat`` behind the name, the state first (see proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
