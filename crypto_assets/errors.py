"""Errors for people: one sentence each, with what, where, why and what to do.

Every *expected* failure raises a subclass of :class:`CryptoAssetsError`. The command line prints its message as the
last line of stderr and exits 1 (:class:`UsageError`: 2). Any other exception is a defect.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class CryptoAssetsError(Exception):
    """An expected failure, described in one sentence that a person can act on."""


class UsageError(CryptoAssetsError):
    """The request is invalid: unknown coin, impossible date, start after end. Exit code 2."""


class SourceError(CryptoAssetsError):
    """A provider did not give what was asked for.

    ``transient``: trying again can heal it (time-outs, connection errors, 408, 429, 5xx).
    ``status``: the HTTP status where there was one.
    """

    def __init__(self, message: str, *, transient: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.transient = transient
        self.status = status


class NotListedError(SourceError):
    """The provider answered properly that it does not know this coin, pair or chain."""


class ShortAnswerError(SourceError):
    """A proper answer lacks rows for days on which rows are expected; ``days`` names them (ISO)."""

    def __init__(self, message: str, days: list[str]) -> None:
        super().__init__(message)
        self.days = days


class ContractError(CryptoAssetsError):
    """Rows break their table's contract; nothing was written."""


class ModelError(CryptoAssetsError):
    """A model cannot be trained, judged or read: too few rows, a wrong setting, an artefact that was altered."""


class WarehouseError(CryptoAssetsError):
    """The warehouse cannot be read or written."""


class InstanceError(CryptoAssetsError):
    """The home folder, Postgres or the Dagster instance cannot be used, reached or started."""


def first_line(error: BaseException) -> str:
    """Return the message of a database error before its details and hints; the class name where there is no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def suggestion(words: Iterable[str], known: Iterable[str]) -> str:
    """Return `` (did you mean …?)`` for words that are nearly known ones; an empty text where none is.

    Args:
        words: What the user wrote.
        known: The right words.
    """
    right = {word.lower(): word for word in known}
    near = [right[hit] for word in words for hit in get_close_matches(word.lower(), right, n=1, cutoff=0.7)]
    return f" (did you mean {', '.join(dict.fromkeys(near))}?)" if near else ""


def free_space_note(error: BaseException, path: str | Path) -> str:
    """Return how much space is left where ``path`` lies, if ``error`` says that there is none; else an empty text."""
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error)
    place = next((p for p in [Path(path), *Path(path).absolute().parents] if p.exists()), None)
    if not full or place is None:
        return ""
    used = shutil.disk_usage(place)
    return f" ({used.free / 1e9:.2f} GB free of {used.total / 1e9:.1f} GB at {place})"
