"""What an analysis run costs beside the model: a whole Dagster run over two days of news, the model taking 2 s an article.

The baseline asks the same server as many questions (equal texts are one) and does nothing else: no Dagster, no journal, no validation, no
write. ``ratio`` is ours ÷ baseline; ``overhead`` what is above 1. What a run over analysed days costs: narrative_rerun.
"""

from __future__ import annotations

import asyncio
import time

import httpx

from crypto_assets.narratives.llm import prompt
from crypto_assets.narratives.llm.text import Article
from crypto_assets_bench import _narratives
from crypto_assets_bench.result import Result, peak_mb

DELAY_S = 2.0
DAYS = 2


def run() -> Result:
    with _narratives.platform(DAYS, DELAY_S) as bench:
        count, texts = bench.articles(), bench.texts()
        baseline_s = asyncio.run(_bare(bench.sandbox.url, texts))
        began = time.perf_counter()
        bench.backfill("article_narratives")
        ours_s = time.perf_counter() - began
        if bench.good_answers() != count:
            raise RuntimeError(f"{bench.good_answers()} of {count} articles have an answer")
    return Result(
        ours_s,
        baseline_s,
        ours_s / baseline_s,
        peak_mb(),
        {"articles": count, "texts": texts, "seconds_a_text": DELAY_S, "overhead": round(ours_s / baseline_s - 1, 4)},
    )


async def _bare(url: str, count: int) -> float:
    """Seconds for ``count`` questions, two at a time, as the default concurrency has it."""
    asked = {
        "model": "sandbox", "messages": prompt.ARTICLES.messages(Article.of("Bitcoin rallies", None)), "stream": False,
        "format": prompt.SCHEMA, "options": prompt.OPTIONS,
    }  # fmt: skip
    began = time.perf_counter()
    async with httpx.AsyncClient(timeout=120) as client:
        gate = asyncio.Semaphore(2)

        async def one() -> None:
            async with gate:
                (await client.post(f"{url}/api/chat", json=asked)).raise_for_status()

        await asyncio.gather(*(one() for _ in range(count)))
    return time.perf_counter() - began
