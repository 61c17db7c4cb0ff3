"""``crypto-assets dev``: code server, webserver and daemon as children of one foreground process, over the same state.

Both use one code server. With ``-m`` each would start its own, and the daemon a new one every minute. That costs four
seconds of processor time each, and sometimes one survives its parent. The code server can reload, so the button in the
UI still works.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from crypto_assets.dagster_internals.core import DAEMON
from crypto_assets.errors import InstanceError
from crypto_assets.runtime.home import open_instance
from crypto_assets.runtime.lock import only_one
from crypto_assets.runtime.postgres import ensure_postgres, is_embedded
from crypto_assets.settings import Settings, variable

MODULE = LOCATION = "crypto_assets.definitions"  # the module, not workspace.yaml, so that it works from any folder
STOP_S = 5.0  # seconds to stop by themselves; the next start continues work that a kill interrupts
LAST_WORDS_S = 0.5  # seconds until the last output of a child has arrived
POSTGRES_EVERY_S = 5.0
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
CODE_SERVER = ["dagster", "code-server", "start", "-m", MODULE, "--location-name", LOCATION, "--log-level", "warning"]


def dev(settings: Settings, port: int = 3000, host: str = "127.0.0.1") -> None:
    """Run the UI and the daemon until SIGINT or SIGTERM. When one process ends by itself, stop the others.

    The address of the UI is printed when it answers. The embedded Postgres is started again if it is killed.

    Args:
        settings: the home folder.
        port: the port of the UI.
        host: the address of the UI.

    Raises:
        InstanceError: before anything starts, if the port is taken or another ``dev`` uses this home; later, if a child
            ended by itself.
    """
    check_port(port, host)
    with (
        open_instance(settings),
        only_one(settings.home / "dev.lock", f"UI on http://{host}:{port}, process {os.getpid()}", "crypto-assets dev"),
        _stoppable() as stopped,
        tempfile.TemporaryDirectory(prefix="crypto-assets-") as folder,
    ):
        # The socket is in a folder that only we may enter, because anyone who reaches a code server can start any code.
        socket_file, workspace = Path(folder) / "code", Path(folder) / "workspace.yaml"
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": _server(socket_file)}]}), encoding="utf-8")
        print("starting the UI and the daemon; the address follows when it answers", file=sys.stderr, flush=True)
        ended, lifeline = os.pipe()
        voice = _Voice()
        children: dict[str, subprocess.Popen[bytes]] = {}
        try:
            children["code server"] = _spawn(ended, voice, [*CODE_SERVER, "-s", str(socket_file)])
            dead = _watch(children, stopped, lambda: _listens(socket_file))
            if dead is None and not stopped.is_set():
                for name, arguments in _commands(workspace, host, port).items():
                    children[name] = _spawn(ended, voice, arguments)
                embedded = is_embedded(settings)  # no child would start it again
                revive = _now_and_then(POSTGRES_EVERY_S, lambda: ensure_postgres(settings)) if embedded else None
                dead = _watch(children, stopped, lambda: _answers(host, port), revive)
                if dead is None and not stopped.is_set():
                    print(f"UI on http://{host}:{port} (stop with Ctrl-C)", file=sys.stderr, flush=True)
                    dead = _watch(children, stopped, meanwhile=revive)
        finally:
            if stopped.is_set():
                print("stopping", file=sys.stderr, flush=True)
            else:
                time.sleep(LAST_WORDS_S)
            voice.hush()  # each would print that it was stopped, after the prompt
            _stop(children)
            voice.close()
            os.close(lifeline)
            os.close(ended)
    if dead is not None:
        raise InstanceError(f"the {dead} ended by itself; read its messages above, then start again")


def _commands(workspace: Path, host: str, port: int) -> dict[str, list[str]]:
    """Return what runs beside the code server: module and arguments, by name. Both print warnings only."""
    at = ["-w", str(workspace)]
    return {
        "webserver": ["dagster_webserver", "-h", host, "-p", str(port), *at, "--dagster-log-level", "warning"],
        "daemon": [DAEMON, "run", *at, "--log-level", "warning"],
    }


class _Voice:
    """Passes the output of the children on to stderr, until it is asked to stop.

    The daemon colours its lines whatever it writes to. Where no colour is wanted, it is removed here.
    """

    def __init__(self) -> None:
        self._coloured = sys.stderr.isatty() and not variable("NO_COLOR")
        self._heard, self.end = os.pipe()
        self._hushed = threading.Event()
        threading.Thread(target=self._pass_on, daemon=True).start()

    def _pass_on(self) -> None:
        with open(self._heard, "rb") as heard:
            for line in heard:
                if not self._hushed.is_set():
                    said = line if self._coloured else COLOUR.sub(b"", line)
                    with contextlib.suppress(OSError, ValueError):  # stderr is closed, and the children must not wait
                        os.write(sys.stderr.fileno(), said)

    def hush(self) -> None:
        self._hushed.set()

    def close(self) -> None:
        os.close(self.end)


def _spawn(lifeline: int, voice: _Voice, arguments: list[str]) -> subprocess.Popen[bytes]:
    # In its own session a child does not get the terminal's Ctrl-C. It reaches us, and we stop each child once.
    return subprocess.Popen(
        [sys.executable, "-m", "crypto_assets.runtime.die_with_parent", str(lifeline), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=voice.end,
        stderr=voice.end,
        pass_fds=(lifeline,),
        start_new_session=True,
    )


def _now_and_then(seconds: float, work: Callable[[], object]) -> Callable[[], None]:
    """Return a function that may be called often, and does the work at most once per so many seconds."""
    due = time.monotonic() + seconds

    def call() -> None:
        nonlocal due
        if time.monotonic() >= due:
            work()
            due = time.monotonic() + seconds

    return call


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Return an event that SIGINT and SIGTERM set."""
    stopped = threading.Event()

    def note(signum: int, frame: FrameType | None) -> None:
        stopped.set()

    former = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def check_port(port: int, host: str = "127.0.0.1") -> None:
    """See that the UI could listen there.

    Args:
        port: the port.
        host: the address.

    Raises:
        InstanceError: the port is taken, or may not be used.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the webserver
            probe.bind((host, port))
    except OSError as error:
        raise InstanceError(
            f"port {port} on {host} cannot be used ({error.strerror}); stop what uses it or give another --port"
        ) from error


def _server(socket_file: Path) -> dict[str, str]:
    return {"socket": str(socket_file), "location_name": LOCATION}


def _answers(host: str, port: int) -> bool:
    """Whether something accepts connections there; the webserver listens once it can answer."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def _listens(socket_file: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_file)) == 0


def _watch(
    children: dict[str, subprocess.Popen[bytes]],
    stopped: threading.Event,
    ready: Callable[[], bool] = lambda: False,
    meanwhile: Callable[[], None] | None = None,
) -> str | None:
    """Wait for the first child to end, and return its name; None once asked to stop or ready."""
    while not stopped.wait(0.2) and not ready():
        if meanwhile is not None:
            meanwhile()
        for name, child in children.items():
            if child.poll() is not None:
                return name
    return None


def _stop(children: dict[str, subprocess.Popen[bytes]]) -> None:
    for child in children.values():
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    for child in children.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.1, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):  # with its own children, which the code server has
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
