"""The graph beside a job that does nothing; with ``BENCH_STOCK_RUNS`` its runs start as Dagster's own do."""

from __future__ import annotations

import os
import sys

import dagster as dg

import crypto_assets.definitions

if "BENCH_STOCK_RUNS" in os.environ and "dagster._grpc.server" in sys.modules:  # in the code server, not in its runs
    _server = sys.modules["dagster._grpc.server"].DagsterApiServer
    _server.StartRun = _server.StartRun.__wrapped__


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job
def empty() -> None:
    """Do nothing in a run of its own."""
    nothing()


defs = dg.Definitions.merge(crypto_assets.definitions.defs, dg.Definitions(jobs=[empty]))
