"""The sandbox of a demo's home, run by every command there that asks providers. An ordinary home has none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crypto_assets.demo_home import GO_LIVE, DemoHome
from crypto_assets.errors import CryptoAssetsError, InstanceError, WarehouseError
from crypto_assets.proxies import is_loopback
from crypto_assets.settings import Settings, variable
from crypto_assets.storage.origin import SANDBOX
from crypto_assets.storage.warehouse import Warehouse

if TYPE_CHECKING:
    from crypto_assets.operate.sandbox_process import SandboxProcess


@contextmanager
def running(settings: Settings, meanwhile: Callable[[], object] = lambda: None) -> Iterator[SandboxProcess | None]:
    """Run the sandbox of a demo's home, and send the requests of this process and its children there.

    Variables that lead to another server of this machine stay: it may be a sandbox with faults. An answer without a
    sandbox's mark is refused in any case (``sources/client/http.py``).

    Args:
        settings: the home.
        meanwhile: work that asks nobody, such as imports; it is done while the sandbox starts.

    Yields:
        The sandbox; None in an ordinary home.

    Raises:
        CryptoAssetsError: the environment leads to real providers, the recordings are away, or an ordinary home would
            ask real providers for rows beside those of a sandbox.
    """
    if settings.demo is None:
        refuse_live_beside_sandbox(settings)
        meanwhile()
        yield None
        return
    refuse_live(settings)
    with start(settings, settings.demo) as sandbox:
        meanwhile()
        point_at(sandbox, keep=True)
        yield sandbox


def start(settings: Settings, demo: DemoHome) -> SandboxProcess:
    """Make the sandbox of a demo's home, with its log in the home; use it as a context manager.

    Args:
        settings: the home folder.
        demo: seed or recordings.

    Raises:
        InstanceError: the recordings are away, or the log cannot be written.
    """
    if demo.data is not None and not demo.data.is_dir():
        raise InstanceError(
            f"{settings.home} is the home of a demo of the recordings in {demo.data}, which are not there; bring them back, "
            "or choose another home with --home"
        )
    from crypto_assets.operate.sandbox_process import SandboxProcess  # an ordinary home does without

    log = log_of(settings)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("a").close()
    except OSError as error:
        raise InstanceError(
            f"{log} cannot be written ({error.strerror}); set CRYPTO_ASSETS_HOME to a folder you may write"
        ) from error
    return SandboxProcess(demo.seed or 0, log, demo.data)


def log_of(settings: Settings) -> Path:
    """Return the file in which the sandbox of this home notes each request."""
    return settings.home / "logs" / "sandbox.log"


def notice(settings: Settings, sandbox: SandboxProcess) -> str:
    """Say which sandbox runs, where its requests are noted, and how to go live, for a terminal.

    Args:
        settings: the demo's home.
        sandbox: its running sandbox.
    """
    demo = settings.demo.sandbox if settings.demo else ""
    return (
        f"{settings.home} is a demo's home: its sandbox ({demo}) answers on {sandbox.url}, requests are noted in "
        f"{log_of(settings)}, and no real provider is called; to go live: {GO_LIVE}"
    )


def point_at(sandbox: SandboxProcess, *, keep: bool = False) -> None:
    """Send the requests of this process and its children to the sandbox, without any key.

    A model for which both server and name were configured is still used; it may judge generated headlines too.

    Args:
        sandbox: the running sandbox.
        keep: whether variables that are set already stay as they are.
    """
    env = sandbox.env()
    if variable("OLLAMA_HOST") and variable("OLLAMA_MODEL"):
        env = {name: value for name, value in env.items() if not name.startswith("OLLAMA_")}
    for name in (*named("_api_key"), *named("_plan")):
        os.environ.pop(name, None)
    os.environ.update({name: value for name, value in env.items() if not (keep and variable(name))})


def refuse_live(settings: Settings) -> None:
    """Refuse an environment that leads from a demo's home to real providers.

    Args:
        settings: the demo's home.

    Raises:
        CryptoAssetsError: a variable names a key or a server on another machine.
    """
    names = live_variables()
    if names and settings.demo is not None:
        raise CryptoAssetsError(
            f"{settings.home} is a demo's home (sandbox: {settings.demo.sandbox}), in which nothing calls a real provider, but "
            f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} set; go live in a home of its own with {GO_LIVE} (and "
            "crypto-assets backfill --home NEW), or unset it here"
        )


def live_variables(env: Mapping[str, str] | None = None) -> list[str]:
    """Name the variables that lead to real providers: keys, and addresses of other machines.

    Args:
        env: the variables; by default those of the process.
    """
    feeds = {name: [item.partition("=")[2] for item in variable(name, env).split(",")] for name in named("_feeds")}
    servers = {name: [variable(name, env)] for name in named("_base_url")} | feeds
    away = [name for name, addresses in servers.items() if any(one and not _is_here(one) for one in addresses)]
    return [*(name for name in named("_api_key") if variable(name, env)), *away]


def named(end: str) -> list[str]:
    """Return the variables behind the settings whose names end like this."""
    return [field.name.upper() for field in fields(Settings) if field.name.endswith(end)]


def _is_here(address: str) -> bool:
    return is_loopback(urlsplit(address.strip()).hostname or "")


def refuse_live_beside_sandbox(settings: Settings) -> None:
    """Refuse to ask real providers where a sandbox's rows are stored: an older version's demo left no ``demo.json``.

    Args:
        settings: an ordinary home.

    Raises:
        CryptoAssetsError: the warehouse holds a sandbox's rows, and no variable leads to a server of this machine.
    """
    if any(_is_here(getattr(settings, name.lower())) for name in named("_base_url")):
        return
    try:
        if SANDBOX not in Warehouse(settings.warehouse).origins():
            return
    except WarehouseError:  # what needs the tables says so itself
        return
    raise CryptoAssetsError(
        f"{settings.warehouse} holds a sandbox's rows, so no real provider is asked for more; if an older version's demo made "
        f"them, run crypto-assets demo in this home once more (it keeps them), or go live with {GO_LIVE}"
    )
