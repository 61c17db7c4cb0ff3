"""Memory given back after large writes.

The Delta writer frees what it used, but glibc keeps freed memory in the arenas of the writer's threads, for later. A
process that makes chunk after chunk then peaks at a third more than one chunk needs, and the more the longer it lives.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

LARGE_ROWS = 50_000  # smaller writes leave nothing worth the milliseconds


def give_back(rows: int) -> None:
    """Return freed memory to the system after a write of so many rows; nothing where the C library cannot."""
    trim = _malloc_trim()
    if rows >= LARGE_ROWS and trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim  # glibc only: neither macOS nor musl has it
    except (AttributeError, OSError, TypeError):
        return None
    return found
