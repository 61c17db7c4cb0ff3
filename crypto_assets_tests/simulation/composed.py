"""The processes of ``deploy/compose`` on this machine: code server, daemon, webserver; a supervisor starts what ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

import crypto_assets_tests
from crypto_assets.dagster_internals.core import DAEMON
from crypto_assets_tests.live import REPOSITORY, Live, free_port, wait_until

NAMES = ("code", "daemon", "webserver")
GRACE_S = 10  # between SIGTERM and SIGKILL, as a container that is stopped has it
ROOT = Path(crypto_assets_tests.__file__).parents[1]


@dataclass
class Composed(Live):
    """Under the environment of this process, in which ``instance.home.prepare`` has set what Dagster reads."""

    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    code_port: int = field(default_factory=free_port)
    restarts: int = 0
    source: Path | None = None  # where the package is imported from; None: the installed one

    def start(self) -> None:
        server = {"host": "127.0.0.1", "port": self.code_port, "location_name": REPOSITORY["repositoryLocationName"]}
        self._workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
        for name in NAMES:
            self._start(name)
        wait_until(self._answers, 120, f"the UI on {self.port} (see {self.home}/webserver.log)")

    def stop(self, number: int = 15) -> None:
        for process in self.processes.values():
            process.send_signal(number)
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)

    def supervise(self) -> None:
        """Start again what ended, as the compose file's ``restart`` does."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                self.restarts += 1
                self._start(name)

    def deploy(self, source: Path) -> None:
        """Replace every process by one that runs the package in ``source``, as containers of a new image do.

        What runs in the container of the code server ends with it: first it is asked to stop, then it is killed.
        """
        for process in self.processes.values():
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.source = source
        self.env["PYTHONPATH"] = os.pathsep.join([str(source), str(ROOT)])
        for name in NAMES:
            self._start(name)
        wait_until(self._answers, 120, f"the UI on {self.port} (see {self.home}/webserver.log)")

    @property
    def _workspace(self) -> Path:
        return self.home / "workspace.yaml"

    def _start(self, name: str) -> None:
        listen = ["-h", "127.0.0.1", "-p"]
        arguments = {
            "code": ["dagster", "api", "grpc", *listen, str(self.code_port), "-m", "crypto_assets.definitions"],
            "daemon": [
                "crypto_assets_tests.simulation.clock_waits",
                DAEMON,
                "run",
                "-w",
                str(self._workspace),
            ],
            "webserver": ["dagster_webserver", *listen, str(self.port), "-w", str(self._workspace)],
        }[name]
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *arguments],
                env={**os.environ, **self.env},
                cwd=self.source,  # what -m finds first
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if name == "code":
            wait_until(self._code_listens, 90, f"the code server (see {self.home}/code.log)")

    def _code_listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.code_port)) == 0

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/server_info", timeout=5).status_code == 200
        return False
