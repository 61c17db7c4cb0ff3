"""How much processor time a new process takes: user and system, not the clock, which other processes share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from crypto_assets_bench.result import Result

TIMES = 5
OURS = "from crypto_assets.cli.entry import main; main()"


def compared(
    ours: Sequence[str], baseline: Sequence[str], at_most: str, env: Mapping[str, str] | None = None
) -> Result:
    """Start both in turn, and compare the least that each took: what is above it is the machine's other work.

    Args:
        ours: arguments of the Python that runs this.
        baseline: the same for the baseline.
        at_most: what the figures may be, for the notes.
        env: variables beside those of this process.

    Returns:
        CPU seconds; the ratio is ours to the baseline.
    """
    for command in (ours, baseline):
        cpu_s(command, env)  # writes the caches of compiled modules, and warms the file cache
    pairs = [(cpu_s(ours, env), cpu_s(baseline, env)) for _ in range(TIMES)]
    least_ours, least_baseline = (min(side) for side in zip(*pairs, strict=True))
    return Result(
        ours_s=least_ours,
        baseline_s=least_baseline,
        ratio=least_ours / least_baseline,
        notes={"ratio_is": "ours / baseline", "seconds_are": "CPU", "at_most": at_most},
    )


def cpu_s(arguments: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """User and system seconds of one process and the children that it waited for."""
    process = subprocess.Popen(
        [sys.executable, *arguments], env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}; its words are above")
    return used.ru_utime + used.ru_stime
