"""The entry of the ``crypto-assets`` command: it handles Ctrl-C while the other modules load, which takes seconds."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from types import FrameType

# Loading Dagster and the graph makes 300,000 objects that stay. By default, Python looks for garbage among them every 700
# new ones, which is a fifth of the loading time.
OBJECTS_UNTIL_COLLECTED = 50_000


def main() -> None:
    """Entry point of the console script."""
    begin()
    from crypto_assets.cli.main import main as run

    run()


def begin() -> None:
    """Prepare the process, before the modules of the command line load."""
    quiet()
    open_streams()
    gc.set_threshold(OBJECTS_UNTIL_COLLECTED)
    atexit.register(gc.freeze)  # else Python looks for garbage among all of them once more, just before they go anyway


def quiet() -> None:
    """End the process with one sentence on Ctrl-C, until :func:`crypto_assets.cli.main.main` takes over."""
    signal.signal(signal.SIGINT, _end)


def open_streams() -> None:
    """Open the standard streams that the caller closed, as ``>&-`` does, on nothing.

    Python has None for them, on which each print would fail. And the next file that opens would take the number, so that a
    child process would write into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"crypto-assets: stopped by the user before anything was begun; run the same command again\n")
    os._exit(130)
