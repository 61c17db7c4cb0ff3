"""A port for a program that needs its number before it listens."""

from __future__ import annotations

import secrets
import socket


def free_port() -> int:
    """Free, and still so when the program listens on it, seconds later.

    Not one of those that the kernel hands out (from 32768 up, or higher): meanwhile it would give the same one to the
    next of the many servers of these tests that ask it for any.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
