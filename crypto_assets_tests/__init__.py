"""The tests, and what they share. Workers of the test run share the cores, and a pool of threads costs more than tables of a few
rows do: each library gets one thread, unless the environment says otherwise. They look when they are imported, so this is
the first file that the tests read; processes that they start inherit it."""

from __future__ import annotations

import os
import sys

if "pytest" in sys.modules:  # benchmarks use the scenario, and measure the libraries as they are
    for _pool in ("POLARS_MAX_THREADS", "TOKIO_WORKER_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(_pool, "1")
