"""A clock for whole processes, Postgres included: libfaketime under everything that is started with ``Clock.env``."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import libfaketime

LIBRARY = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"
# A process looks into the file so often. At each look at the clock instead, that look costs a hundred times as much, and
# two threads that look at once now and then end the process: the library parses into a buffer that they share.
CACHED_S = 1
NAMES = (
    "LD_PRELOAD",
    "FAKETIME_TIMESTAMP_FILE",
    "FAKETIME_CACHE_DURATION",
    "FAKETIME_DONT_FAKE_MONOTONIC",
    "NO_FAKE_STAT",
    "TZ",
)


@dataclass
class Clock:
    """Runs at the speed of the real one, some seconds away from it; ``move_to`` changes how many, for all at once.

    Time-outs are measured by the monotonic clock and stay real. Files keep their real times, or Python would compile
    every module anew after each step.
    """

    file: Path
    offset_s: int = 0

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self.offset_s)

    def move_to(self, moment: datetime) -> None:
        """Forward only: what is already later stays."""
        if self.file.exists() and moment <= self.now():
            return
        self.offset_s = math.ceil((moment - datetime.now(timezone.utc)).total_seconds())
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{self.offset_s:+d}\n")
        fresh.replace(self.file)
        time.sleep(CACHED_S * 1.2)

    def works(self) -> bool:
        """Whether a process under it has its time: the library is built for Linux on x86-64."""
        asked = [sys.executable, "-c", "import time; print(time.time())"]
        done = subprocess.run(asked, env={**os.environ, **self.env()}, capture_output=True, text=True)
        return done.returncode == 0 and abs(float(done.stdout) - self.now().timestamp()) < 5

    def env(self) -> dict[str, str]:
        return dict(zip(NAMES, (str(LIBRARY), str(self.file), str(CACHED_S), "1", "1", "UTC"), strict=True))
