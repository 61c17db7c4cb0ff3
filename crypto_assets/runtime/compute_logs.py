"""Dagster's compute logs: what a step prints goes to a file, and from there to where it would have gone without it.

The stock manager starts two processes for each stream: ``tail``, and one that stops ``tail`` when this process is killed.
A terminal sends Ctrl-C to all of them, and each prints a traceback of its own. Here a thread reads the file. It ends with
the process, it loses no line at the end, and no process is started.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from crypto_assets.dagster_internals.core import (
    IO_TYPE_EXTENSION,
    CapturedLogContext,
    ComputeIOType,
    ConfigurableClassData,
    LocalComputeLogManager,
)

POLL_S = 0.2  # how late a line is shown at most
BLOCK = 1 << 16


class FollowedLogManager(LocalComputeLogManager):
    """The stock manager of a local folder, but a thread shows what a step prints."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> FollowedLogManager:
        """Build the manager from its configuration (Dagster's interface): the stock method builds the stock class.

        Args:
            inst_data: where the configuration comes from.
            config_value: the configuration of the stock manager.

        Returns:
            The manager.
        """
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Capture what this process and its children print.

        Args:
            log_key: under which the UI finds it.

        Yields:
            The context of the capture.
        """
        with ExitStack() as stack:
            for stream, kind in ((sys.stdout, ComputeIOType.STDOUT), (sys.stderr, ComputeIOType.STDERR)):
                path = Path(self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind]))
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_captured(stream, path))
            yield CapturedLogContext(log_key)
        Path(self.complete_artifact_path(log_key)).touch()  # the UI asks for no more


@contextmanager
def _captured(stream: TextIO | None, path: Path) -> Iterator[None]:
    """Let what is written to a stream go to a file too, also by C code and child processes."""
    path.touch()
    number = _descriptor(stream)
    if stream is None or number is None:
        yield
        return
    with path.open("ab") as file, os.fdopen(os.dup(number), "wb", buffering=0) as before:
        stream.flush()
        os.dup2(file.fileno(), number)
        try:
            with _followed(path, file.tell(), os.dup(before.fileno())):
                try:
                    yield
                finally:
                    stream.flush()
        finally:
            os.dup2(before.fileno(), number)


def _descriptor(stream: TextIO | None) -> int | None:
    """Return the stream's descriptor; None for a stream in memory, as tests and notebooks have, or none at all."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


@contextmanager
def _followed(path: Path, offset: int, outlet: int) -> Iterator[None]:
    """Copy what is appended to a file to a descriptor, until the block ends and everything is copied.

    A pipe instead of the file would stop a program in C code that fills the pipe while it holds Python's lock, because
    the thread that empties the pipe needs the lock.

    Args:
        path: the file.
        offset: bytes of the file that are not copied.
        outlet: the descriptor, which is closed at the end.
    """
    ended = threading.Event()

    def follow() -> None:
        with path.open("rb") as file, os.fdopen(outlet, "wb", buffering=0):
            file.seek(offset)
            while True:
                last = ended.is_set()  # before the read: what was written until then is read now
                while block := file.read(BLOCK):
                    _write(outlet, block)
                if last:
                    return
                ended.wait(POLL_S)

    thread = threading.Thread(target=follow, name=f"shows {path.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _write(outlet: int, block: bytes) -> None:
    try:
        while block:
            block = block[os.write(outlet, block) :]
    except OSError:  # nobody reads any more; the file has it all, and the run goes on
        return
