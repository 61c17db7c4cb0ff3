"""Run a Python module that ends with its parent: ``python -m crypto_assets.runtime.die_with_parent FD MODULE ARGS…``.

FD is the reading end of a pipe. The parent holds the other end open and never writes to it. However the parent ends,
also by ``kill -9``, the kernel closes the pipe, and the module gets SIGTERM. So no UI is left behind.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Run the module that the command line names, and watch the pipe."""
    lifeline, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_follow, args=(lifeline,), daemon=True).start()
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _follow(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
