"""One command of its kind on a home: a kernel lock on a file, free again however its holder ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto_assets.errors import InstanceError


@contextmanager
def only_one(path: Path, who: str, command: str) -> Iterator[None]:
    """Hold the lock, or refuse.

    Args:
        path: the lock file; its folder is made.
        who: the holder in words, written into the file for the one who is refused.
        command: the command, for the message.

    Raises:
        InstanceError: another process holds it, or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise InstanceError(
            f"{path.parent} cannot be written ({error.strerror}); set CRYPTO_ASSETS_HOME to a folder you may write"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise InstanceError(
                f"{command} runs over {path.parent} already ({handle.read().strip()}); use it, stop it, or set "
                "CRYPTO_ASSETS_HOME to another folder"
            ) from None
        handle.truncate(0)
        handle.write(who)
        handle.flush()
        yield
