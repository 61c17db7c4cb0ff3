"""``crypto-assets --help``, against a Python that imports click, which reads the command line."""

from __future__ import annotations

from crypto_assets_bench import _starts
from crypto_assets_bench.result import Result


def run() -> Result:
    return _starts.compared(["-c", _starts.OURS, "--help"], ["-c", "import click"], "0.3 s")
