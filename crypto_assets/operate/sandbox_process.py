"""A demo's sandbox in a process of its own: its answers are made on another core than the work that waits for them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from crypto_assets.errors import InstanceError

STOP_S = 5.0


class SandboxProcess:
    """A sandbox that runs as a child of this process, as a context manager, and ends with it however it ends.

    Entering does not wait. What asks for the address does, until the sandbox can be reached.
    """

    def __init__(self, seed: int, log: Path, data: Path | None = None) -> None:
        """Prepare the command.

        Args:
            seed: the seed of the generated market.
            log: the file in which each request is noted.
            data: a folder of recordings; None for a generated market.
        """
        self._arguments = [str(seed), str(log), *([] if data is None else [str(data)])]

    def __enter__(self) -> SandboxProcess:
        ended, self._lifeline = os.pipe()
        module = ["-m", "crypto_assets.runtime.die_with_parent", str(ended), "crypto_assets.sandbox.child"]
        try:
            self._child = subprocess.Popen(
                [sys.executable, *module, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=(ended,),
                start_new_session=True,  # a Ctrl-C ends the run first, which still needs answers
            )
        finally:
            os.close(ended)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._child:  # waits for its end
            self._child.terminate()
            os.close(self._lifeline)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(STOP_S)
            self._child.kill()

    @cached_property
    def _said(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        said: dict[str, Any] = json.loads(line) if line else {"error": "it ended by itself; run the command again"}
        if "error" in said:
            raise InstanceError(f"the sandbox cannot serve: {said['error']}")
        return said

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._child.pid

    @property
    def url(self) -> str:
        """The address.

        Raises:
            InstanceError: the sandbox cannot serve.
        """
        return str(self._said["url"])

    def env(self) -> dict[str, str]:
        """Return the variables that send the platform's requests there.

        Raises:
            InstanceError: the sandbox cannot serve.
        """
        return dict(self._said["env"])
