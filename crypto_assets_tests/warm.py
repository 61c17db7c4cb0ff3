"""Pythons that begin with the libraries imported: forks of one process that imported them.

For what opens the instance: each does two of its four seconds of work less. A command that only refuses its arguments imports
none of the libraries, and is sooner done without.

Apart from that each is what ``python -m MODULE`` or ``python -c CODE`` is: it imports the package, has the environment and
the arguments that it was given and nothing else, and ends as the interpreter ends it.
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
from collections.abc import Mapping
from functools import cache
from typing import IO, Any

from crypto_assets_tests.libraries import OF_THE_PACKAGE, load

CLI = ("-m", "crypto_assets.cli.main")
Files = list[int]


class Process:
    """A started one, with what is used of ``subprocess.Popen``."""

    def __init__(self, args: tuple[str, ...], keeper: socket.socket) -> None:
        self.args = args
        self.returncode: int | None = None
        self._keeper = keeper
        self.pid = self._number()

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._keeper.settimeout(timeout)
            try:
                self.returncode = self._number()
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired([*self.args], timeout or 0) from None
            self._keeper.close()
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def _number(self) -> int:
        """The next line of the keeper, which comes as a whole."""
        text = b""
        while not text.endswith(b"\n"):
            part = self._keeper.recv(1)
            assert part, f"the keeper of {self.args} is gone"
            text += part
        return int(text)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    env: Mapping[str, str], *args: str, stdout: IO[Any], stderr: IO[Any], start_new_session: bool = False
) -> Process:
    """``subprocess.Popen([sys.executable, *args])``; its input is empty, and what it says goes into files."""
    command = {"args": args, "env": dict(env), "folder": os.getcwd(), "new_session": start_new_session}
    ours, theirs = socket.socketpair()
    with theirs:
        files = [stdout.fileno(), stderr.fileno(), theirs.fileno()]
        socket.send_fds(_server(), [json.dumps(command).encode() + b"\n"], files)
        return Process(args, ours)


def run(env: Mapping[str, str], *args: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run`` answers for this ``crypto-assets`` command with its output captured as text."""
    return python(env, *CLI, *args, timeout=timeout)


def python(env: Mapping[str, str], *args: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run([sys.executable, *args])`` answers with its output captured as text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(env, *args, stdout=out, stderr=err)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
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
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are not waited for
    while (asked := _next(client)) is not None:
        command, files = asked
        if os.fork() == 0:
            client.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if _keep(command, *files) == 0:
                _become(command, *files[:2])
            return
        for file in files:
            os.close(file)


def _next(client: socket.socket) -> tuple[dict[str, Any], Files] | None:
    """The next command and its files; None when the client is gone."""
    text, files = b"", Files()
    while not text.endswith(b"\n"):
        part, more, _, _ = socket.recv_fds(client, 65536, 3)
        if not part:
            return None
        text, files = text + part, files + more
    return json.loads(text), files


def _keep(command: dict[str, Any], out: int, err: int, status: int) -> int:
    """Fork, and answer 0 in the child, which has said its number. Its parent says with which code it ended."""
    child = os.fork()
    if child == 0:
        if command["new_session"]:  # before the number is known: who has it may signal the group at once
            os.setsid()
        os.write(status, f"{os.getpid()}\n".encode())
        os.close(status)
        return 0
    os.close(out)
    os.close(err)
    try:
        os.write(status, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
    finally:
        os._exit(0)


def _become(command: dict[str, Any], out: int, err: int) -> None:
    """Be the command, in this fork."""
    for number, file in ((1, out), (2, err)):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(command["env"])
    os.chdir(command["folder"])
    kind, what, *rest = command["args"]
    sys.argv = [kind, *rest]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
