"""A database that stalls is no model that is slow: no article is blamed for it."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import psycopg2

from crypto_assets.narratives.llm import analyst
from crypto_assets.narratives.llm.journal import PostgresJournal
from crypto_assets.narratives.llm.text import Article
from crypto_assets.sandbox.llm import Rule
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings

TEXTS = [Article.of(f"Bitcoin on day {n}", None) for n in range(16)]
STALL_S = 4.0
CHAT = "/api/chat"


def test_a_journal_that_stalls_makes_no_call_run_out_of_time(new_instance, instance) -> None:
    """Somebody holds a lock on its table for twice as long as a call may take, while calls are under way."""
    url = os.environ["DAGSTER_POSTGRES_URL"]
    journal = PostgresJournal(url)
    journal.of("sandbox", [])  # makes the table
    stalled: list[int] = []

    def stall() -> None:
        while sandbox.requests[CHAT] < 6:
            time.sleep(0.01)
        with (
            psycopg2.connect(url.replace("postgresql+psycopg2://", "postgresql://")) as other,
            other.cursor() as cursor,
        ):
            cursor.execute("LOCK TABLE crypto_assets.analyses IN ACCESS EXCLUSIVE MODE")
            stalled.append(sandbox.requests[CHAT])
            time.sleep(STALL_S)
        other.close()

    with Sandbox(model=Rule(delay=0.1)) as sandbox:
        settings = Settings.from_env({**sandbox.env(), "OLLAMA_TIMEOUT": "2", "OLLAMA_CONCURRENCY": "4"})
        thread = threading.Thread(target=stall)
        thread.start()
        report = asyncio.run(analyst.analyse(TEXTS, settings, journal))
        thread.join()
        assert stalled and 6 <= stalled[0] < len(TEXTS), "the stall came in the middle"
        assert report.seconds > STALL_S
        assert report.statuses == {"ok": len(TEXTS)}, {e.detail for e in report.entries.values()}
        assert (report.retries, sandbox.requests[CHAT]) == (0, len(TEXTS))


def test_a_progress_line_that_stalls_makes_no_call_run_out_of_time(new_instance, instance) -> None:
    """Progress is written to Dagster's event log: a database too."""
    with Sandbox(model=Rule(delay=0.1)) as sandbox:
        settings = Settings.from_env({**sandbox.env(), "OLLAMA_TIMEOUT": "2", "OLLAMA_CONCURRENCY": "4"})
        journal = PostgresJournal(os.environ["DAGSTER_POSTGRES_URL"])
        once = iter([STALL_S])
        report = asyncio.run(analyst.analyse(TEXTS, settings, journal, progress=lambda *_: time.sleep(next(once, 0.0))))
        assert report.statuses == {"ok": len(TEXTS)}


def test_an_answer_that_a_stricter_reader_refused_is_read_again(new_instance, instance) -> None:
    """The journal keeps what the model wrote: a better reader needs no new call."""
    journal = PostgresJournal(os.environ["DAGSTER_POSTGRES_URL"])
    with Sandbox() as sandbox:
        settings = Settings.from_env(sandbox.env())
        first = asyncio.run(analyst.analyse(TEXTS[:1], settings, journal))
        (entry,) = first.entries.values()
        with psycopg2.connect(os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")) as other:
            other.cursor().execute("UPDATE crypto_assets.analyses SET status = 'invalid', detail = 'x', blamed = 8")
        other.close()
        again = asyncio.run(analyst.analyse(TEXTS[:1], settings, journal))
        assert (again.calls, again.reused, again.given_up) == (0, 1, 0)
        (found,) = again.entries.values()
        assert (found.status, found.attempts, found.answer) == ("ok", entry.attempts, entry.answer)
