"""Real headlines, a server with every fault there is: nothing crashes, is lost or asked twice, and all is well in the end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from datetime import date, datetime, timezone
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from crypto_assets.catalog import all_coins
from crypto_assets.narratives.llm import analyst, rows
from crypto_assets.narratives.llm.breaker import Breaker
from crypto_assets.narratives.llm.journal import Entry, PostgresJournal
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.tables.news import ARTICLE_NARRATIVES
from crypto_assets_tests.ports import free_port

HEADLINES = 500
PAUSES = (0.01, 0.02, 0.05)
CHAT = "route=api/chat"
EVERYTHING = ";".join(
    f"{CHAT},{fault}"
    for fault in (
        "status=500,rate=0.08", "status=503,rate=0.08", "status=404,rate=0.04", "cut=1,rate=0.08", "malformed=1,rate=0.08",
        "nonsense=1,rate=0.08", "html=1,rate=0.05", "delay=1.3,rate=0.01", "status=400,rate=0.03",
    )
)  # fmt: skip
# What a server does, round by round; None: it is not there at all.
ROUNDS = (
    EVERYTHING, None, f"{CHAT},status=500", f"{CHAT},malformed=1", EVERYTHING, f"{CHAT},nonsense=1",
    "route=api/tags,status=503", EVERYTHING,
)  # fmt: skip


class Witness(PostgresJournal):
    """The journal, and the outcomes of each text, in order."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.outcomes_of: dict[str, list[str]] = defaultdict(list)

    def record(self, entry: Entry) -> Entry:
        self.outcomes_of[entry.content_hash].append(entry.status)
        return super().record(entry)


@pytest.fixture
def journal(new_instance, instance) -> Witness:
    return Witness(os.environ["DAGSTER_POSTGRES_URL"])


@pytest.fixture(scope="module")
def articles(shared: Path) -> pd.DataFrame:
    texts = pd.read_csv(shared / "data" / "news" / "cryptolin_labelled_dev.csv.gz")["news"].drop_duplicates()
    frame = pd.DataFrame({"title": texts.head(HEADLINES).to_list()})
    assert len(frame) == HEADLINES
    moment = datetime(2021, 3, 1, 12, tzinfo=timezone.utc)
    return frame.assign(
        article_id=[f"{n:032x}" for n in range(HEADLINES)],
        date=date(2021, 3, 1), available_at=moment, source="rss", summary=None,
    )  # fmt: skip


def settings(host: str, **env: str) -> Settings:
    return Settings.from_env({"OLLAMA_HOST": host, "OLLAMA_MODEL": "sandbox", **env})


def run(articles: pd.DataFrame, config: Settings, journal: PostgresJournal, stored: pl.DataFrame):
    """One materialisation of the model's rows: what the asset does, without Dagster around it."""
    subjects = rows.subjects(articles)
    report = asyncio.run(
        analyst.analyse(
            [s.article for s in subjects], config, journal,
            answered=rows.answered(stored, "sandbox"), breaker=Breaker(pauses_s=PAUSES),
        )
    )  # fmt: skip
    found = rows.model_rows(subjects, report, stored, all_coins(), "sandbox", asked_for=True)
    return report, ARTICLE_NARRATIVES.validate(found)


def test_every_fault_at_random(articles: pd.DataFrame, journal: Witness) -> None:
    stored = ARTICLE_NARRATIVES.empty()
    calls = 0
    for number, fault in enumerate(ROUNDS):
        good = set(stored.filter(pl.col("status") == "ok")["article_id"])
        if fault is None:
            _, stored = run(articles, settings("http://127.0.0.1:9"), journal, stored)
        else:
            with Sandbox(fault=fault, seed=number) as sandbox:
                _, stored = run(articles, settings(sandbox.url, OLLAMA_TIMEOUT="1"), journal, stored)
                calls += sandbox.requests["/api/chat"]
        assert set(stored["article_id"]) == set(articles["article_id"]), "no article is lost"
        assert stored["article_id"].n_unique() == stored.height, "none is there twice"
        bad = stored.filter(pl.col("status") != "ok")
        assert bad["detail"].str.len_chars().min() is None or bad["detail"].null_count() == 0, (
            "each status is explained"
        )
        assert not good & set(bad["article_id"]), "what was good stays good"
    with Sandbox() as sandbox:
        _, stored = run(articles, settings(sandbox.url), journal, stored)
        calls += sandbox.requests["/api/chat"]
        assert set(stored["status"]) == {"ok"}, "all is well after recovery"
        outcomes_of = list(journal.outcomes_of.values())
        assert len(outcomes_of) == HEADLINES
        assert {outcomes[-1] for outcomes in outcomes_of} == {"ok"}
        assert all(outcomes.count("ok") == 1 for outcomes in outcomes_of), "no text is answered twice"
        failures = sum(len(outcomes) - 1 for outcomes in outcomes_of)
        assert calls == HEADLINES + failures, "each further call follows a failure"
        before = sandbox.requests["/api/chat"]
        again, same = run(articles, settings(sandbox.url), journal, stored)
        assert (again.calls, sandbox.requests["/api/chat"]) == (0, before)
        assert same.equals(stored), "the same bytes"


def server(port: int, fault: str) -> subprocess.Popen[bytes]:
    code = f"from crypto_assets.sandbox.server import serve; serve({port}, None, 7, {fault!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the server does not start")


def test_the_server_is_killed_mid_run(articles: pd.DataFrame, journal: Witness) -> None:
    port, few = free_port(), articles.head(60)
    process = server(port, f"{CHAT},delay=0.05")
    answered = []

    def kill_in_the_middle(entry: Entry) -> Entry:
        answered.append(entry.status)
        if len(answered) == 20:
            process.send_signal(signal.SIGKILL)
            process.wait()
        return Witness.record(journal, entry)

    journal.record = kill_in_the_middle  # type: ignore[method-assign]
    try:
        report, stored = run(few, settings(f"http://127.0.0.1:{port}"), journal, ARTICLE_NARRATIVES.empty())
    finally:
        process.kill()
    counts = dict(stored.group_by("status").len().rows())
    assert counts["ok"] >= 19
    assert counts["ok"] + counts["unavailable"] == 60
    assert "ollama serve" in report.reason
    with Sandbox() as sandbox:
        _, healed = run(few, settings(sandbox.url), journal, stored)
        assert set(healed["status"]) == {"ok"}
        assert sandbox.requests["/api/chat"] == counts["unavailable"]


RUN_FOR_EVER = """
import asyncio, sys
from crypto_assets.narratives.llm import analyst
from crypto_assets.narratives.llm.journal import PostgresJournal
from crypto_assets.narratives.llm.text import Article
from crypto_assets.settings import Settings
texts = [Article.of(line, None) for line in sys.stdin.read().splitlines()]
asyncio.run(analyst.analyse(texts, Settings.from_env(), PostgresJournal(sys.argv[1])))
"""


def test_the_run_is_killed_and_loses_only_the_calls_in_flight(articles: pd.DataFrame, journal: Witness) -> None:
    few = articles.head(200)  # five seconds of answers: the kill falls among them, however late it is
    with Sandbox(fault=f"{CHAT},delay=0.05") as sandbox:
        env = {**os.environ, "OLLAMA_HOST": sandbox.url, "OLLAMA_MODEL": "sandbox"}
        process = subprocess.Popen(
            [sys.executable, "-c", RUN_FOR_EVER, os.environ["DAGSTER_POSTGRES_URL"]], env=env, stdin=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write("\n".join(few["title"]).encode())
        process.stdin.close()
        deadline = time.monotonic() + 60
        while sandbox.requests["/api/chat"] < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.wait()
    seen = sandbox.requests["/api/chat"]
    assert 10 <= seen < 200
    with Sandbox() as sandbox:
        report, stored = run(few, settings(sandbox.url), journal, ARTICLE_NARRATIVES.empty())
        assert set(stored["status"]) == {"ok"}
        assert report.reused >= seen - 2, "two were in flight"
        assert seen + sandbox.requests["/api/chat"] <= 200 + 2


def test_two_runs_at_once_share_the_work(articles: pd.DataFrame, journal: Witness) -> None:
    """Two processes (here: two connections) over the same texts: each is asked once."""
    few = [subject.article for subject in rows.subjects(articles.head(30))]
    other = Witness(os.environ["DAGSTER_POSTGRES_URL"])

    async def both(config: Settings) -> None:
        await asyncio.gather(analyst.analyse(few, config, journal), analyst.analyse(few, config, other))

    with Sandbox(fault=f"{CHAT},delay=0.02") as sandbox:
        asyncio.run(both(settings(sandbox.url)))
        assert sandbox.requests["/api/chat"] == 30
