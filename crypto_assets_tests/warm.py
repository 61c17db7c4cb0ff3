"""``crypto-assets`` in processes of its own that begin with the libraries imported: forks of one process that imported them.

For commands that open the instance: each is done two of its four seconds sooner. One that only refuses its arguments imports
none of the libraries, and is sooner done without.

Apart from that each is what ``python -m crypto_assets.cli.main`` is: it imports the package, has the environment and the
arguments that it was given and nothing else, writes to files, and ends as the interpreter ends it.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from crypto_assets_tests.libraries import OF_THE_PACKAGE, load

POLL_S = 0.01
Files = list[int]


def run(env: Mapping[str, str], *args: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run`` answers for this command with its output captured as text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = {"args": args, "env": dict(env), "folder": os.getcwd(), "timeout": timeout}
        socket.send_fds(_server(), [json.dumps(command).encode() + b"\n"], [out.fileno(), err.fileno()])
        code = json.loads(_server().recv(100))
        if code is None:
            raise subprocess.TimeoutExpired([*args], timeout)
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess([*args], code, out.read().decode(), err.read().decode())


@cache
def _server() -> socket.socket:
    """One a session and worker; it ends when this process does, for then nobody holds the other end."""
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    return ours


def _serve(client: socket.socket) -> None:
    load(*OF_THE_PACKAGE)
    while (asked := _next(client)) is not None:
        command, files = asked
        child = os.fork()
        if child == 0:
            client.close()
            _become(command, *files)
            return
        for file in files:
            os.close(file)
        client.sendall(json.dumps(_ended(child, command["timeout"])).encode())


def _next(client: socket.socket) -> tuple[dict[str, Any], Files] | None:
    """The next command and its two files; None when the client is gone."""
    text, files = b"", Files()
    while not text.endswith(b"\n"):
        part, more, _, _ = socket.recv_fds(client, 65536, 2)
        if not part:
            return None
        text, files = text + part, files + more
    return json.loads(text), files


def _ended(child: int, seconds: float) -> int | None:
    """Its exit code; None where it was killed because its time was over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (found := os.waitpid(child, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(found[1])
        time.sleep(POLL_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _become(command: dict[str, Any], out: int, err: int) -> None:
    """Be the command, in this fork."""
    for number, file in ((1, out), (2, err)):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(command["env"])
    os.chdir(command["folder"])
    sys.argv = ["crypto-assets", *command["args"]]
    runpy.run_module("crypto_assets.cli.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
