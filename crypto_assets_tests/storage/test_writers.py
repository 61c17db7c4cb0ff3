"""Writers that die and writers that meet, as processes of their own on the same Delta tables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.dates import DAY, days
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import NEWS_ARTICLES, PRICES
from crypto_assets_tests.storage.conftest import Place
from crypto_assets_tests.storage.test_warehouse import REPLACING, START, articles, rows

WANTED = days(START, START + DAY * 3)
# Each writer waits for a line before it starts, so that all of them really write at once.
HEAD = """
import sys
from datetime import date
import polars as pl
from crypto_assets.dates import DAY, days
from crypto_assets.tables.schemas import NEWS_ARTICLES, PRICES
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.storage.test_warehouse import REPLACING, START, articles, rows
warehouse, wanted, argument = Warehouse(sys.argv[1]), days(START, START + DAY * 3), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
"""
LOOP = """
n = int(argument)
while True:
    n += 1
    warehouse.write(REPLACING, pl.concat(rows(day, price=n * 1000.0) for day in wanted), wanted)
    warehouse.write(NEWS_ARTICLES, pl.concat(articles(day, f"{n}-{day.day}") for day in wanted), wanted)
    print(n, flush=True)
"""
OWN_DAYS = """
for day in days(START + DAY * 3 * int(argument), START + DAY * (3 * int(argument) + 2)):
    warehouse.write(PRICES, rows(day, price=5.0), [day])
"""
SAME_DAYS = """
for n in range(6):
    day = START + DAY * (n % 3)
    warehouse.write(NEWS_ARTICLES, articles(day, f"{argument}-{n}", f"shared-{day.day}"), [day])
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "warehouse"))


@pytest.fixture
def anywhere(place: Place) -> Warehouse:
    """In a folder, and in an object store: who wins a commit is decided in another way there."""
    return Warehouse(place("warehouse"))


class Writer:
    """A process that runs a program on the warehouse once it gets the signal."""

    def __init__(self, warehouse: Warehouse, program: str, argument: object) -> None:
        command = [sys.executable, "-c", HEAD + program, warehouse.uri, str(argument)]
        # Unbuffered: of a writer that is ahead, rest() must find the lines that line() did not take.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    def rest(self) -> list[str]:
        out, _ = self.process.communicate(timeout=120)
        return out.decode().split()


@contextmanager
def writers(warehouse: Warehouse, program: str, arguments: list[object]) -> Iterator[list[Writer]]:
    found = [Writer(warehouse, program, argument) for argument in arguments]
    try:
        assert [one.line() for one in found] == ["ready"] * len(found)
        for one in found:
            one.go()
        yield found
    finally:
        for one in found:
            if one.process.poll() is None:
                one.process.kill()
                one.process.communicate()


def test_killed_in_the_middle_a_range_is_wholly_old_or_wholly_new(warehouse: Warehouse) -> None:
    """What the writer announced is there; beyond it there is at most one whole write to each table."""
    last = 0
    for pause in (0.0, 0.02, 0.04):
        with writers(warehouse, LOOP, [last]) as (one,):
            assert int(one.line()) == last + 1
            time.sleep(pause)  # the kill falls somewhere in the next round; no matter where, the rest must hold
            os.kill(one.process.pid, signal.SIGKILL)
            last = max([last + 1, *map(int, one.rest())])
        assert one.process.returncode == -signal.SIGKILL
        prices, news = warehouse.read("prices"), warehouse.read("news_articles")
        levels = set((prices["price_usd"] - prices["ts"].dt.hour()).round(6))
        assert prices.height == 4 * 24
        assert len(levels) == 1, "all four days are of one write"
        assert levels <= {last * 1000.0, (last + 1) * 1000.0}
        rounds = [int(name.split("-")[0]) for name in news["article_id"]]
        assert sorted(rounds) in ([n for n in range(1, last + more + 1) for _ in WANTED] for more in (0, 1))
        last = max(rounds)
    warehouse.write(REPLACING, pl.concat(rows(day, price=3.0) for day in WANTED), WANTED)
    assert_frame_equal(
        warehouse.read("prices", columns=rows(START).columns), pl.concat(rows(d, price=3.0) for d in WANTED)
    )
    report = warehouse.write(NEWS_ARTICLES, articles(START, "after"), [START])
    assert report.rows == last + 1


def test_a_table_whose_first_write_was_killed_is_empty_or_whole(warehouse: Warehouse) -> None:
    with writers(warehouse, LOOP, [0]) as (one,):
        os.kill(one.process.pid, signal.SIGKILL)
        one.rest()
    assert warehouse.read("prices").height in (0, 4 * 24)
    assert warehouse.write(PRICES, rows(START, price=3.0), [START]).rows == 24
    assert warehouse.read("prices", start=START, end=START)["price_usd"][0] == 3.0


def test_writers_of_adjacent_days_all_arrive(anywhere: Warehouse) -> None:
    """The table does not exist yet: they race for its creation too."""
    with writers(anywhere, OWN_DAYS, [0, 1, 2]) as found:
        assert [one.rest() for one in found] == [[], [], []]
        assert [one.process.returncode for one in found] == [0, 0, 0]
    everything = days(START, START + DAY * 8)
    stored = anywhere.read("prices", columns=rows(START).columns)
    assert_frame_equal(stored, pl.concat(rows(day, price=5.0) for day in everything))
    assert anywhere.days_with_rows("prices", START, everything[-1]) == dict.fromkeys(everything, 24)


def test_writers_that_merge_into_the_same_day_give_the_union(anywhere: Warehouse) -> None:
    with writers(anywhere, SAME_DAYS, ["x", "y"]) as found:
        assert [one.rest() for one in found] == [[], []]
        assert [one.process.returncode for one in found] == [0, 0]
    stored = anywhere.read("news_articles").select("article_id", "date").rows()
    own = [(f"{name}-{n}", START + DAY * (n % 3)) for name in "xy" for n in range(6)]
    shared = [(f"shared-{day.day}", day) for day in days(START, START + DAY * 2)]
    assert sorted(stored) == sorted(own + shared)


def test_a_reader_beside_a_writer_never_sees_half_a_range(warehouse: Warehouse) -> None:
    with writers(warehouse, LOOP, [0]) as (one,):
        one.line()
        seen: set[date | float] = set()
        while len(seen) < 3:  # as often as it takes: on a busy machine the writer may stand still for several reads
            prices = warehouse.read("prices")
            levels = set((prices["price_usd"] - prices["ts"].dt.hour()).round(6))
            assert prices.height == 4 * 24
            assert len(levels) == 1
            seen |= levels
            assert one.line(), "the writer goes on meanwhile"
