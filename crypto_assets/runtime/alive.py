"""Decide whether a process that was recorded by its number is still the same one.

The system reuses process numbers, so the start time is compared. This reads ``/proc``; without it, nothing is known of
any process.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def started(pid: int) -> str:
    """Find when a living process started.

    Args:
        pid: the number of the process.

    Returns:
        Clock ticks since boot; ``"0"`` where there is no such process, or where it has ended and waits for its parent.
    """
    fields = _stat(pid)
    return "0" if fields is None or fields[0] in "ZX" else fields[19]


def started_at(pid: int) -> float | None:
    """Find when a living process started, to about a second.

    Args:
        pid: the number of the process.

    Returns:
        Epoch seconds by this machine's current clock; None where there is no such process.
    """
    ticks = int(started(pid))
    if not ticks:
        return None
    since_boot = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - (since_boot - ticks / _TICKS)


def is_python(pid: int) -> bool:
    """Whether the process with this number is a Python interpreter."""
    try:
        return b"python" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _stat(pid: int) -> list[str] | None:
    """Return the fields of ``/proc/PID/stat`` after the name, beginning with the state (see proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
