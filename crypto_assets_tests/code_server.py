"""A real code server over a module that a test writes, and runs that it executes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._grpc.client import DagsterGrpcClient

from crypto_assets.runtime.launcher import LocalRunLauncher
from crypto_assets_tests.live import wait_until
from crypto_assets_tests.ports import free_port

SOON_S = 120


@dataclass
class CodeServer:
    """``dagster api grpc``.

    Attributes:
        file: The module that it loads.
        host: Its address.
        before: What its command line begins with.
    """

    file: Path
    host: str = "127.0.0.1"
    before: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> DagsterGrpcClient:
        return DagsterGrpcClient(host=self.host, port=self.port)

    def start(self) -> None:
        server = ["-m", "dagster", "api", "grpc", "-h", self.host, "-p", str(self.port), "-f", str(self.file)]
        command = [*self.before, sys.executable, "-W", "ignore", *server, "--location-name", "code"]
        self.process = process = subprocess.Popen(command, cwd=self.file.parent)
        wait_for(lambda: self._listens() or process.poll() is not None)
        assert process.poll() is None, "the code server ended by itself"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            wait_for(lambda: not self._listens())
            self.process = None

    def launch(self, instance: dg.DagsterInstance, job: str) -> dg.DagsterRun:
        """Start a run; it may not have begun when this returns."""
        location = GrpcServerCodeLocationOrigin(host=self.host, port=self.port, location_name="code")
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)
        made = create_run_for_test(
            instance, job_name=job, status=dg.DagsterRunStatus.STARTING, remote_job_origin=origin
        )
        LocalRunLauncher.launch_run_from_grpc_client(instance, made, self.client)
        return made

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0


def wait_for(happened: Callable[[], Any]) -> Any:
    return wait_until(happened, SOON_S, "what a test waits for")


def now(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found
