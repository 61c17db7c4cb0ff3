"""Decide which requests go through a proxy: those to other machines, by the usual variables; never those to localhost.

``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are read in lower case first, then in upper case. A
blank variable is unset. The sandbox, Ollama, servers of tests and everything else on a loopback address is asked
directly, because a proxy on another machine would look for them there.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from crypto_assets.settings import variable

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Proxy:
    """The address of a proxy, and the variable that names it."""

    variable: str
    address: str

    def __str__(self) -> str:
        """Return the address without user and password."""
        parts = urlsplit(self.address)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "?"
        return f"{self.variable} {parts.scheme}://{host}{_port(parts.netloc)}"


def _port(netloc: str) -> str:
    last = netloc.rpartition("@")[2].rpartition("]")[2].rpartition(":")
    return f":{last[2]}" if last[1] else ""


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine itself. Names are not looked up."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    inner = getattr(found, "ipv4_mapped", None) or found
    return bool(inner.is_loopback or inner.is_unspecified)


def proxy_for(url: str, env: Mapping[str, str] | None = None) -> Proxy | None:
    """Find the proxy for a request.

    Args:
        url: an http(s) address.
        env: the variables; by default those of the process.

    Returns:
        The proxy; None where the request goes directly.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if is_loopback(host) or any(_spares(entry, host, port) for entry in _either("no_proxy", env)[1].split(",")):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        found, address = _either(name, env)
        if address:
            return Proxy(found, address if "://" in address else f"http://{address}")
    return None


def _either(name: str, env: Mapping[str, str] | None) -> tuple[str, str]:
    """Return (the variable's name as it is written, its value)."""
    lower = variable(name, env)
    return (name, lower) if lower else (name.upper(), variable(name.upper(), env))


def _spares(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY covers the host.

    An entry is a name, its end, an address or a network, with or without a port.
    """
    entry = entry.strip().lower()
    if entry in ("", "*"):
        return entry == "*"
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except (ValueError, TypeError):
        end = entry.removeprefix("*").removeprefix(".")
        return host == end or host.endswith(f".{end}")


def spare_loopback() -> None:
    """Add localhost to NO_PROXY, for libraries and child processes that read the variable themselves."""
    for name in ("no_proxy", "NO_PROXY"):
        known = variable(name)
        entries = [entry.strip() for entry in known.split(",")]
        missing = [host for host in LOOPBACK if host not in entries]
        if (known or _is_proxied()) and "*" not in entries and missing:
            os.environ[name] = ",".join([*filter(None, entries), *missing])


@contextmanager
def hidden() -> Iterator[None]:
    """Hide the proxies from what runs inside, such as a package that makes a client of its own while it is imported.

    The variables are back afterwards. Such a client raises where the proxy's scheme is one that it cannot use.
    """
    names = [spelt for name in PROXIES for spelt in (name, name.upper()) if spelt in os.environ]
    kept = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(kept)


def _is_proxied() -> bool:
    return any(_either(name, None)[1] for name in PROXIES)
