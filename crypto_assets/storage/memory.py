"""Give memory back to the system after large writes.

The Delta writer frees its memory, but glibc keeps freed memory in the arenas of the writer's threads for reuse. A
process that makes chunk after chunk then peaks at a third more than one chunk needs, and at more the longer it lives.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

LARGE_ROWS = 50_000  # smaller writes leave too little memory to be worth the milliseconds


def give_back(rows: int) -> None:
    """Return freed memory to the system; does nothing where the C library cannot.

    Args:
        rows: the number of rows that were written; small writes are skipped.
    """
    trim = _malloc_trim()
    if rows >= LARGE_ROWS and trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim  # only glibc has it, not macOS or musl
    except (AttributeError, OSError, TypeError):
        return None
    return found
