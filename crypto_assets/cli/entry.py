"""Where the ``crypto-assets`` command begins: quiet when it is stopped while its modules are read, which takes seconds."""

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
    """Until :func:`crypto_assets.cli.main.main` takes over: Ctrl-C ends the process with one sentence. Nothing is begun yet."""
    signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"crypto-assets: stopped by the user before anything was begun; run the same command again\n")
    os._exit(130)
