"""Analysing what is analysed already: a second run over weeks of news makes no call and no commit.

The baseline is the first run over the same days, with a model that takes no time: everything but the model's thinking.
``articles_per_s`` is the whole second run's rate, Dagster and all; ``rows_per_s`` that of the step's own work, and
``rows_per_cpu_s`` the same by processor time, which other work on the machine does not change.
"""

from __future__ import annotations

import time

from crypto_assets.assets import analysis
from crypto_assets.assets.providers import Providers
from crypto_assets.storage.io_manager import to_pandas
from crypto_assets_bench import _narratives
from crypto_assets_bench.result import Result, peak_mb

DAYS = 50
CHAT = "/api/chat"


def run() -> Result:
    with _narratives.platform(DAYS, 0.0) as bench:
        count = bench.articles()
        began = time.perf_counter()
        bench.backfill("article_narratives")
        baseline_s = time.perf_counter() - began
        calls, version = bench.sandbox.requests[CHAT], bench.warehouse.version("article_narratives")
        began = time.perf_counter()
        bench.backfill("article_narratives")
        ours_s = time.perf_counter() - began
        if (bench.sandbox.requests[CHAT], bench.warehouse.version("article_narratives")) != (calls, version):
            raise RuntimeError("the second run called the model or changed the table")
        articles = to_pandas(bench.warehouse.read("news_articles", start=bench.start, end=bench.end))
        began, busy = time.perf_counter(), time.process_time()
        analysis.analyse(Providers(), articles, bench.start, bench.end, lambda _: None)
        step_s, step_cpu_s = time.perf_counter() - began, time.process_time() - busy
    return Result(
        ours_s,
        baseline_s,
        baseline_s / ours_s,
        peak_mb(),
        {
            "articles": count, "first_run_calls": calls, "articles_per_s": round(count / ours_s),
            "rows_per_s": round(count / step_s),
            "rows_per_cpu_s": round(count / step_cpu_s),
        },
    )  # fmt: skip
