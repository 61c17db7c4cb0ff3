"""A question for the newest rows that is asked again: answered faster, by the same rules, and never with rows of before."""

from __future__ import annotations

import asyncio
import re
import threading
import uuid
from collections.abc import Callable

import polars as pl
import psycopg2

from crypto_assets.gateway import kept
from crypto_assets.gateway.kept import Answer, Answers
from crypto_assets.serving import online
from crypto_assets_tests.gateway.conftest import HOUR, Running
from crypto_assets_tests.store.conftest import feature_rows

LATEST = "/v1/features/latest?symbols=BTC&columns=rsi_14,price_usd"


def newer(hours: int, rsi: float) -> pl.DataFrame:
    """The newest row of BTC, some hours later and with another value."""
    row = feature_rows().filter(pl.col("symbol") == "BTC").sort("ts").tail(1)
    later = [(pl.col(name) + HOUR * hours).alias(name) for name in ("ts", "available_at")]
    return row.with_columns(*later, pl.lit(rsi).alias("rsi_14"))


def test_an_answer_is_kept_until_a_row_changes(gateway: Running) -> None:
    with gateway.client() as client:
        first = client.get(LATEST)
        assert [client.get(LATEST).json() for _ in range(3)] == [first.json()] * 3
        online.upsert(gateway.url, newer(1, 99.5), 2)
        changed = client.get(LATEST).json()["rows"]
        assert changed[0]["rsi_14"] == 99.5 and changed[0]["ts"] > first.json()["rows"][0]["ts"]


def test_who_may_not_read_is_refused_what_others_have_asked(gateway: Running) -> None:
    with gateway.client() as client:
        assert {client.get(LATEST).status_code for _ in range(2)} == {200}
    other = gateway.tokens.create(f"t {uuid.uuid4().hex[:8]}", ["prices"])
    ended = gateway.tokens.create(f"t {uuid.uuid4().hex[:8]}", ["all"])
    gateway.tokens.revoke(ended.split("_")[1])
    for token, status, kind in [
        (other, 403, "not-allowed"), (ended, 401, "revoked-token"), (None, 401, "no-token"), (gateway.token[:-1] + "x", 401, "wrong-token"),
    ]:  # fmt: skip
        with gateway.client(token) as client:
            answer = client.get(LATEST)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["type"].endswith(kind)
    with gateway.client() as client:
        assert client.post(LATEST).status_code == 405, "another method is another question"


def test_both_forms_of_an_answer_have_the_same_rows(gateway: Running) -> None:
    path = "/v1/features/latest?symbols=BTC"
    with gateway.client() as client:
        for _ in range(2):
            plain = client.get(path, headers={"Accept-Encoding": "identity"})
            small = client.get(path, headers={"Accept-Encoding": "gzip"})
            assert "content-encoding" not in plain.headers and small.headers["content-encoding"] == "gzip"
            assert plain.json() == small.json() and int(small.headers["content-length"]) < len(plain.content)
            assert plain.headers["vary"] == small.headers["vary"] == "Accept-Encoding"


def test_each_is_counted_for_its_token_and_by_its_route(gateway: Running) -> None:
    def counted() -> float:
        page = client.get("/metrics").text
        found = re.search(r'requests_total\{route="/v1/features/latest",status="200"\} ([\d.]+)', page)
        return 0.0 if found is None else float(found[1])

    few = gateway.tokens.create(f"t {uuid.uuid4().hex[:8]}", ["all"], calls_a_minute=1_000_000, rows_a_day=4)
    with gateway.client() as client, gateway.client(few) as limited:
        before = counted()
        answers = [limited.get(LATEST) for _ in range(6)]
        assert [one.status_code for one in answers] == [200] * 4 + [429] * 2
        assert answers[-1].json()["type"].endswith("too-many-rows")
        assert counted() == before + 4


def test_the_first_rows_come_online_while_it_runs(start: Callable[..., Running], gateway: Running) -> None:
    """Nothing is online in a new installation, not even the table of marks."""
    rows = online.latest(gateway.url).drop(online.VERSION)
    with psycopg2.connect(gateway.url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA online CASCADE")
    connection.close()
    try:
        with start().client() as client:
            assert client.get(LATEST).json() == {"rows": []}
    finally:
        online.upsert(gateway.url, rows, 1)
    with start().client() as client:
        for _ in range(3):
            assert client.get(LATEST).json()["rows"][0]["symbol"] == "BTC"
        online.upsert(gateway.url, newer(50, 11.5), 3)
        assert client.get(LATEST).json()["rows"][0]["rsi_14"] == 11.5


def test_an_old_answer_is_given_while_it_is_read_again() -> None:
    async def ask() -> None:
        answers, go_on = Answers(), threading.Event()
        texts = iter([b"first", b"second"])

        def read(wait: bool) -> Answer:
            assert not wait or go_on.wait(60)
            return Answer(1, next(texts), ())

        assert (await answers.get("key", "mark", lambda: read(False))).document == b"first"
        answers._kept["key"].read_at -= kept.LONGEST_S + 1
        for _ in range(3):
            assert (await answers.get("key", "mark", lambda: read(True))).document == b"first", "and nobody waits"
        go_on.set()
        async with asyncio.timeout(60):
            while (await answers.get("key", "mark", lambda: read(True))).document != b"second":
                await asyncio.sleep(0.01)

    asyncio.run(ask())


def test_a_failed_read_is_not_kept() -> None:
    async def ask() -> None:
        answers = Answers()

        def fail() -> Answer:
            raise OSError("gone")

        for _ in range(2):
            try:
                await answers.get("key", "mark", fail)
            except OSError as error:
                assert str(error) == "gone"
            else:
                raise AssertionError("the failure is handed on")
        assert (await answers.get("key", "mark", lambda: Answer(0, b"now", ()))).document == b"now"

    asyncio.run(ask())


def test_the_largest_memory_of_answers_is_bounded() -> None:
    async def ask() -> None:
        answers = Answers(most_bytes=1_000)
        for n in range(50):
            await answers.get(n, "mark", lambda: Answer(1, b"x" * 300, ()))
            await asyncio.sleep(0)
        assert sum(one.size for one in answers._kept.values()) <= 1_000 and answers._kept.keys() == {47, 48, 49}

    asyncio.run(ask())
