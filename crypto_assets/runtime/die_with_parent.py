"""Runs a Python module that ends when its parent does: ``python -m crypto_assets.runtime.die_with_parent FD MODULE ARGS…``.

FD is the reading end of a pipe whose other end the parent holds open and never writes to; however the parent ends,
``kill -9`` included, the kernel closes it, and the module gets SIGTERM. So no UI is left behind.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    lifeline, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_follow, args=(lifeline,), daemon=True).start()
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _follow(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
