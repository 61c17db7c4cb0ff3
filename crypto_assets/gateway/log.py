"""The log of requests: lines are kept, and written together by a thread, so that no request waits for whoever reads them."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from select import PIPE_BUF
from typing import TextIO

WRITTEN_S = 0.5
MOST = 100_000  # lines that wait for a reader; further ones are counted and left out


class Buffered(logging.Handler):
    """Writes records to a stream, some time after they were made."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._records: list[logging.LogRecord] = []
        self._left_out = 0
        self.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03dZ %(message)s", "%Y-%m-%dT%H:%M:%S"))
        self.formatter.converter = time.gmtime  # type: ignore[union-attr]

    def createLock(self) -> None:
        """Make no lock: to append to a list and to exchange it are one step each, and a slow reader would hold the lock."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        if len(self._records) < MOST:
            self._records.append(record)
        else:
            self._left_out += 1

    def flush(self) -> None:
        """Write what is kept."""
        records, self._records = self._records, []
        lines = [self.format(record) for record in records]
        if self._left_out:
            lines.append(f"{self._left_out} requests are not in this log: nobody read it")
            self._left_out = 0
        for block in _blocks(lines):
            self._stream.write(block)
            self._stream.flush()


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    """Join lines into texts that go into a pipe at once, so that those of several processes do not mix within a line."""
    block = ""
    for line in lines:
        if block and len(block) + len(line) >= PIPE_BUF:
            yield block
            block = ""
        block += f"{line}\n"
    if block:
        yield block


def write_requests(log: logging.Logger) -> None:
    """Write the requests of this process to stdout from now on, one a line, until it ends.

    Args:
        log: the logger of requests.
    """
    handler = Buffered(sys.stdout)
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.propagate = False

    def write_steadily() -> None:
        while True:
            time.sleep(WRITTEN_S)
            try:
                handler.flush()
            except OSError:  # nobody reads it any more
                return

    threading.Thread(target=write_steadily, name="log", daemon=True).start()
