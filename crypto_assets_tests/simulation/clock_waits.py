"""Runs a module whose waits end when the clock says so, which may have been moved: ``clock_waits.py MODULE ARGS…``.

Dagster's scheduler sleeps until the next minute by the monotonic clock; after a step of the simulated one it would
sleep on for most of a real minute.
"""

from __future__ import annotations

import runpy
import sys
import threading
import time

SLICE_S = 0.2
_Event = threading.Event


class ClockEvent(_Event):
    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().wait()
        until = time.time() + timeout
        while (left := until - time.time()) > SLICE_S:
            if super().wait(SLICE_S):
                return True
        return super().wait(max(0.0, left))


if __name__ == "__main__":
    threading.Event = ClockEvent  # type: ignore[misc]
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
