"""Six years of days × every asset in one backfill: the book-keeping against stock dagster-postgres on the same server.

Book-keeping is what Dagster does beside the work: planned events, materialisation events, partition health. The assets
of the hollow graph give nothing, so nothing else is measured. Stock books ``STOCK_DAYS`` of the days, since all of them
would take a quarter of an hour; both cost the same for each partition at any length, so seconds are scaled by partitions
(``--all`` of the module's own command line books them all).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from crypto_assets.runtime.event_log import BATCH_SIZE, EVENTS_A_BATCH
from crypto_assets_bench import _books
from crypto_assets_bench.result import Result, peak_mb

DAYS = 2191
STOCK_DAYS = 240


def run(stock_days: int = STOCK_DAYS) -> Result:
    with _books.books() as instances:
        os.environ.pop(BATCH_SIZE, None)  # as Dagster comes
        stock_s, stock_shown = _timed(lambda: _books.book(instances["stock"], stock_days))
        os.environ[BATCH_SIZE] = EVENTS_A_BATCH
        ours_s, shown = _timed(lambda: _books.book(instances["ours"], DAYS))
    assets = shown // DAYS
    if stock_shown != stock_days * assets:
        raise RuntimeError(f"stock shows {stock_shown} of {stock_days * assets} partitions as materialised")
    baseline_s = stock_s * DAYS / stock_days
    return Result(
        ours_s,
        baseline_s,
        baseline_s / ours_s,
        peak_mb(),
        {"partitions": shown, "stock_days_measured": stock_days, "stock_measured_s": round(stock_s, 2)},
    )


def _timed(work: Callable[[], int]) -> tuple[float, int]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


if __name__ == "__main__":
    print(run(DAYS if "--all" in sys.argv else STOCK_DAYS).as_json())
