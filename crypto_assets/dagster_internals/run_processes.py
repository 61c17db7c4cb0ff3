"""The runs of a code server begin as forks of one process that has imported the graph.

Dagster's code server starts a new Python for each run, and that spends its first three seconds of processor time on imports: at a
tick every 15 minutes more than the tick itself. Python has the other way built in (``forkserver`` of ``multiprocessing``,
its default from 3.14 on), but the server asks for ``spawn`` by name.
"""

from __future__ import annotations

import multiprocessing
import sys
from functools import wraps
from typing import Any

__all__ = ["fork_runs"]


def fork_runs(template: str) -> None:
    """Let the code server of this process, if it is one, fork its runs. Call it while the server loads the graph.

    The process that is forked starts with the first run and ends after the server and its last run. If it is killed, the
    next run starts another.

    Args:
        template: The module that it imports. It must neither start threads nor open connections, which a fork lacks or
            shares.
    """
    server = sys.modules.get("dagster._grpc.server")
    if server is None or "forkserver" not in multiprocessing.get_all_start_methods():
        return
    stock = server.DagsterApiServer.StartRun
    if hasattr(stock, "__wrapped__"):  # the graph was loaded again
        return
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([template])

    @wraps(stock)
    def start_run(self: Any, *request: Any) -> Any:
        self._mp_ctx = forking
        return stock(self, *request)

    server.DagsterApiServer.StartRun = start_run
