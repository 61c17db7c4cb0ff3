"""The entry of the ``crypto-assets`` command: it handles Ctrl-C while the other modules load, which takes seconds."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Entry point of the console script."""
    quiet()
    from crypto_assets.cli.main import main as run

    run()


def quiet() -> None:
    """End the process with one sentence on Ctrl-C, until :func:`crypto_assets.cli.main.main` takes over."""
    signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"crypto-assets: stopped by the user before anything was begun; run the same command again\n")
    os._exit(130)
