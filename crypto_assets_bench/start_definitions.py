"""Loading the whole graph, as every code server, run process and pod does, against importing what it is written in."""

from __future__ import annotations

from crypto_assets_bench import _starts
from crypto_assets_bench.result import Result


def run() -> Result:
    ours, baseline = "import crypto_assets.definitions", "import dagster, pandas, polars"
    return _starts.compared(["-c", ours], ["-c", baseline], "1.3 x the baseline")
