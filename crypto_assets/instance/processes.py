"""``crypto-assets dev``: webserver and daemon as children of one foreground process."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from crypto_assets.errors import InstanceError
from crypto_assets.instance.home import open_instance
from crypto_assets.settings import Settings

HOST = "127.0.0.1"
CODE = ["-m", "crypto_assets.definitions"]
STOP_S = 15


def dev(settings: Settings, port: int = 3000) -> None:
    """Run until interrupted; when one child dies, stop the other and raise :class:`InstanceError`."""
    _check_port(port)
    with open_instance(settings):
        commands = {
            "webserver": ["-m", "dagster_webserver", "-h", HOST, "-p", str(port), *CODE],
            "daemon": ["-m", "dagster._daemon", "run", *CODE],
        }
        children = {name: subprocess.Popen([sys.executable, *args]) for name, args in commands.items()}
        print(f"UI on http://{HOST}:{port} (stop with Ctrl-C)", file=sys.stderr, flush=True)
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            dead = _wait_for_one(children)
        except KeyboardInterrupt:
            return
        finally:
            _stop(children)
    raise InstanceError(f"the {dead} ended by itself; read its messages above, then start again")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InstanceError(
                f"port {port} on {HOST} is in use ({error.strerror}); stop what uses it or give another --port"
            ) from error


def _wait_for_one(children: dict[str, subprocess.Popen[bytes]]) -> str:
    while True:
        for name, child in children.items():
            if child.poll() is not None:
                return name
        time.sleep(0.5)


def _stop(children: dict[str, subprocess.Popen[bytes]]) -> None:
    for child in children.values():
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
    for child in children.values():
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
