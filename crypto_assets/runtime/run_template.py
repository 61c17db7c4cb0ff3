"""What every run imports before its first step: the process that imports this is forked for each run.

See ``dagster_internals/run_processes.py``. What has an error is left to the run, which imports it again and reports it.
"""

from __future__ import annotations

import gc
import importlib

NEEDED = (
    "crypto_assets.definitions",
    "crypto_assets.runtime.compute_logs",
    "crypto_assets.runtime.event_log",
    "crypto_assets.runtime.launcher",
    "dagster_postgres",
)


def load() -> None:
    """Import what a run needs, and keep the garbage collector of forks away from it."""
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except Exception:
            return
    gc.freeze()  # a collection would look through all of it in each fork, and copy the pages it lies on


load()
