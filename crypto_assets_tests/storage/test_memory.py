"""Memory that was freed goes back to the system after a large write, and is left alone after a small one."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from crypto_assets.storage import memory

STATUS = Path("/proc/self/status")
BLOCK, BLOCKS = 1_024, 200_000


def resident_mb() -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(memory._malloc_trim() is None or not STATUS.exists(), reason="the C library gives nothing back")
def test_freed_blocks_leave_the_process_after_a_large_write_only() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    blocks = [libc.malloc(BLOCK) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    for block in blocks[:-1]:  # the last one keeps the heap from shrinking by itself
        libc.free(block)
    freed = resident_mb()
    memory.give_back(memory.LARGE_ROWS - 1)
    assert resident_mb() > freed - 20
    memory.give_back(memory.LARGE_ROWS)
    assert resident_mb() < freed - 100
    libc.free(blocks[-1])
