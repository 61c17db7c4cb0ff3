"""The sandbox in a process of its own, under the clock; its faults can be changed while it serves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

ALWAYS = "status=503,rate=0.1"
SILENT = {  # who can fall silent, and what that is on the wire
    "kraken": "route=/0/public,status=503",
    "defillama": "route=/v2/historicalChainTvl,status=503;route=/stablecoin,status=503;route=/protocols,status=503;route=/pools,status=503",
    "model": "route=/api/tags,status=503;route=/api/chat,status=503",
}
SERVE = """
import sys
from crypto_assets.sandbox.faults import parse
from crypto_assets.sandbox.server import Sandbox
with Sandbox(fault=sys.argv[1]) as sandbox:
    print("\\t".join(f"{name}={value}" for name, value in sandbox.env().items()), flush=True)
    for line in sys.stdin:
        sandbox.faults.rules = parse(line.strip())
        print("done", flush=True)
"""


@dataclass
class Sources:
    process: subprocess.Popen[str]
    env: dict[str, str]

    def fault(self, silent: set[str]) -> None:
        """A tenth of all calls fails, and every call to those who are silent."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(";".join([*(SILENT[name] for name in sorted(silent)), ALWAYS]) + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()


@contextmanager
def serving() -> Iterator[Sources]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, ALWAYS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Sources(process, dict(part.split("=", 1) for part in process.stdout.readline().strip().split("\t")))
    finally:
        process.stdin.close()
        process.wait(30)
