"""Servers that a benchmark starts: what they cost in processor seconds and memory, with their children."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
START_S = 120


@contextmanager
def server(command: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[int]:
    """A server that listens on the port; yields its process id and ends it."""
    with started(command, environment) as pid:
        ends = time.monotonic() + START_S
        while not _listens(port):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) or time.monotonic() > ends:
                raise SystemExit(f"{' '.join(command[:4])} … does not listen on port {port}")
            time.sleep(0.1)
        yield pid


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[int]:
    """A process; yields its id and ends it."""
    running = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    try:
        yield running.pid
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def family(pid: int) -> list[int]:
    """A process and all below it, whichever thread started them."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def cpu_s(pid: int) -> float:
    """Processor seconds that a process, its living children and its ended ones have used."""
    return sum(_stat(one) for one in family(pid))


def _stat(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


def memory_mb(pid: int, field: str = "VmRSS", *, below: bool = True) -> float:
    """Resident memory of a process in MB, with all ``below`` it; ``VmHWM``: the highest so far."""
    total = 0
    for one in family(pid) if below else [pid]:
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return total / 1024


def forget_peak(pid: int) -> None:
    """Begin to measure the highest resident memory anew."""
    for one in family(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5")
