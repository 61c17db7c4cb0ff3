"""Shared state on a real Postgres: one connection kept, a restart waited for, every refusal a sentence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor

from crypto_assets.errors import InstanceError
from crypto_assets.storage.shared_state import SharedState


class Marks(SharedState):
    what, schema, lock = (
        "the marks",
        "CREATE SCHEMA IF NOT EXISTS tried; CREATE TABLE IF NOT EXISTS tried.marks (n int)",
        7,
    )

    def add(self, n: int) -> None:
        self._transaction(lambda cursor: cursor.execute("INSERT INTO tried.marks VALUES (%s)", (n,)))

    def all(self) -> list[int]:
        return sorted(n for (n,) in self._ask("SELECT n FROM tried.marks", ()))


@contextmanager
def _server(url: str) -> Iterator[Callable[[str], None]]:
    """Statements to the server that concern the database of ``url``, from a connection to another one."""
    elsewhere = urlsplit(url.replace("+psycopg2", ""))._replace(path="/postgres").geturl()
    with closing(psycopg2.connect(elsewhere)) as connection:
        connection.autocommit = True
        name = urlsplit(url).path.lstrip("/")
        yield lambda statement: connection.cursor().execute(statement.format(name=name))


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"


def test_a_connection_that_was_cut_is_made_again(url: str) -> None:
    marks = Marks(url)
    marks.add(1)
    with _server(url) as server:
        server(CUT)
    marks.add(2)
    assert marks.all() == [1, 2]


def test_a_server_that_is_back_in_a_moment_is_waited_for(url: str) -> None:
    marks = Marks(url)
    marks.add(1)
    with _server(url) as server:
        server("ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server(CUT)
        back = threading.Timer(0.5, server, ("ALTER DATABASE {name} ALLOW_CONNECTIONS true",))
        back.start()
        marks.add(2)
        back.join()
    assert marks.all() == [1, 2], "once, although it was tried several times"


def test_one_that_stays_away_is_a_sentence(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypto_assets.storage.shared_state.ATTEMPTS", 2)
    marks = Marks(url.replace(urlsplit(url).netloc, "u:hunter2@127.0.0.1:1"))
    with pytest.raises(
        InstanceError, match=r"the marks in Dagster's Postgres does not answer; run .* doctor"
    ) as caught:
        marks.add(1)
    assert "hunter2" not in str(caught.value)


def test_a_refused_statement_is_a_sentence_and_leaves_nothing(url: str) -> None:
    marks = Marks(url)

    def half(cursor: Cursor) -> None:
        cursor.execute("INSERT INTO tried.marks VALUES (3)")
        cursor.execute("SELECT * FROM tried.nothing")

    with pytest.raises(InstanceError, match=r"the marks .* cannot be used \(relation .* does not exist"):
        marks._transaction(half)
    assert marks.all() == []


def test_first_users_at_once_make_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: Marks(url).add(n), range(12)))
    assert Marks(url).all() == list(range(12))
