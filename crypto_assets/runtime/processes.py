"""``crypto-assets dev``: code server, webserver and daemon as children of one foreground process, over the same state.

One code server for both: with ``-m`` each would start its own, and the daemon a new one every minute, four seconds of
processor time each and now and then one that outlives it. It is a code server that reloads: the UI's button still works.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
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

from crypto_assets.errors import InstanceError
from crypto_assets.runtime.home import open_instance
from crypto_assets.runtime.postgres import ensure_postgres, is_embedded
from crypto_assets.settings import Settings

MODULE = LOCATION = "crypto_assets.definitions"  # the module, not workspace.yaml: works from any folder
STOP_S = 5.0  # to stop by themselves; what a kill breaks off, the next start finds and goes on with
LAST_WORDS_S = 0.5  # until what a child said before it ended has arrived
POSTGRES_EVERY_S = 5.0
CODE_SERVER = ["dagster", "code-server", "start", "-m", MODULE, "--location-name", LOCATION, "--log-level", "warning"]


def dev(settings: Settings, port: int = 3000, host: str = "127.0.0.1") -> None:
    """Run the UI and the daemon until SIGINT or SIGTERM; when one process ends by itself, stop the others.

    Brings the embedded Postgres back if it is killed. Raises :class:`InstanceError` before anything starts if the port is
    taken or another ``dev`` runs over this home, and when a child ended by itself.
    """
    _check_port(host, port)
    with (
        open_instance(settings),
        _only_one(settings.home, f"UI on http://{host}:{port}, process {os.getpid()}"),
        _stoppable() as stopped,
        tempfile.TemporaryDirectory(prefix="crypto-assets-") as folder,
    ):
        # A socket in a folder that only we may enter: who reaches a code server may start what he likes.
        socket_file, workspace = Path(folder) / "code", Path(folder) / "workspace.yaml"
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": _server(socket_file)}]}), encoding="utf-8")
        commands = {
            "webserver": ["dagster_webserver", "-h", host, "-p", str(port), "-w", str(workspace)],
            "daemon": ["dagster._daemon", "run", "-w", str(workspace)],
        }
        ended, lifeline = os.pipe()
        voice = _Voice()
        children: dict[str, subprocess.Popen[bytes]] = {}
        try:
            children["code server"] = _spawn(ended, voice, [*CODE_SERVER, "-s", str(socket_file)])
            dead = _watch(children, stopped, lambda: _listens(socket_file))
            if dead is None and not stopped.is_set():
                for name, arguments in commands.items():
                    children[name] = _spawn(ended, voice, arguments)
                print(f"UI on http://{host}:{port} (stop with Ctrl-C)", file=sys.stderr, flush=True)
                embedded = is_embedded(settings)  # which none of the children would start again
                revive = _now_and_then(POSTGRES_EVERY_S, lambda: ensure_postgres(settings)) if embedded else None
                dead = _watch(children, stopped, meanwhile=revive)
        finally:
            if stopped.is_set():
                print("stopping", file=sys.stderr, flush=True)
            else:
                time.sleep(LAST_WORDS_S)
            voice.hush()  # each would say at length that it was stopped, behind the prompt
            _stop(children)
            voice.close()
            os.close(lifeline)
            os.close(ended)
    if dead is not None:
        raise InstanceError(f"the {dead} ended by itself; read its messages above, then start again")


class _Voice:
    """What the children say, passed on to stderr until they are told to stop."""

    def __init__(self) -> None:
        self._heard, self.end = os.pipe()
        self._hushed = threading.Event()
        threading.Thread(target=self._pass_on, daemon=True).start()

    def _pass_on(self) -> None:
        with open(self._heard, "rb", buffering=0) as heard:
            while said := heard.read(65536):
                if not self._hushed.is_set():
                    with contextlib.suppress(OSError, ValueError):  # nobody listens: the children must not wait
                        os.write(sys.stderr.fileno(), said)

    def hush(self) -> None:
        self._hushed.set()

    def close(self) -> None:
        os.close(self.end)


def _spawn(lifeline: int, voice: _Voice, arguments: list[str]) -> subprocess.Popen[bytes]:
    # A session of its own: a terminal's Ctrl-C reaches us, and each child hears it once, from us.
    return subprocess.Popen(
        [sys.executable, "-m", "crypto_assets.runtime.die_with_parent", str(lifeline), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=voice.end,
        stderr=voice.end,
        pass_fds=(lifeline,),
        start_new_session=True,
    )


@contextmanager
def _only_one(home: Path, who: str) -> Iterator[None]:
    """Two daemons over one home would each launch what is due."""
    with (home / "dev.lock").open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise InstanceError(
                f"crypto-assets dev runs over {home} already ({handle.read().strip()}); use it, stop it, or set "
                "CRYPTO_ASSETS_HOME to another folder"
            ) from None
        handle.truncate(0)
        handle.write(who)
        handle.flush()
        yield


def _now_and_then(seconds: float, work: Callable[[], object]) -> Callable[[], None]:
    """To be called often: does the work each time so many seconds have passed since it was done."""
    due = time.monotonic() + seconds

    def call() -> None:
        nonlocal due
        if time.monotonic() >= due:
            work()
            due = time.monotonic() + seconds

    return call


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    stopped = threading.Event()

    def note(signum: int, frame: FrameType | None) -> None:
        stopped.set()

    former = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _check_port(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the webserver does
            probe.bind((host, port))
    except OSError as error:
        raise InstanceError(
            f"port {port} on {host} cannot be used ({error.strerror}); stop what uses it or give another --port"
        ) from error


def _server(socket_file: Path) -> dict[str, str]:
    return {"socket": str(socket_file), "location_name": LOCATION}


def _listens(socket_file: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_file)) == 0


def _watch(
    children: dict[str, subprocess.Popen[bytes]],
    stopped: threading.Event,
    ready: Callable[[], bool] = lambda: False,
    meanwhile: Callable[[], None] | None = None,
) -> str | None:
    """The name of the first child to end, or None once asked to stop or ready."""
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
        with contextlib.suppress(ProcessLookupError):  # its own children too: the code server has some
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
