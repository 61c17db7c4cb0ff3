"""Whole ranges over HTTP as Arrow, Parquet and JSON, against reading the Delta files directly; and the server's memory.

``prices`` of one million cells, of ten million, and six years of hours of a hundred coins. Each side ends with the rows as an Arrow
table in the memory of the reader. The direct read is that of the Delta library, ``DeltaTable.to_pyarrow_table``; the notes also have the
Python face's, which sorts by key, and a bare scan of Polars, ``scan.collect().to_arrow()``. JSON has a million cells only, page by page.

``ours_s`` and ``baseline_s`` are seconds of the six years as Arrow and read directly; ``ratio`` is the share of the direct speed.
The processor seconds of both sides are in the notes, since other programs' load is not in them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from urllib.request import Request, urlopen

import httpx
import polars as pl
import pyarrow as arrow
import pyarrow.ipc as arrow_ipc
from deltalake import DeltaTable

from crypto_assets.catalog.coins import by_symbol
from crypto_assets.runtime.postgres import ensure_postgres
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES
from crypto_assets_bench import _market
from crypto_assets_bench._processes import cpu_s, forget_peak, memory_mb
from crypto_assets_bench.result import Result
from crypto_assets_bench.serve_latest import gateway

COINS, FIRST, LAST = 100, date(2019, 1, 1), date(2024, 12, 31)
REPEATS = 3
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
Took = dict[str, float]  # wall seconds, processor seconds of the client and of the server


def run() -> Result:
    with tempfile.TemporaryDirectory(prefix="serve-bulk-") as folder:
        home = Path(folder) / "home"
        settings = Settings.from_env({"CRYPTO_ASSETS_HOME": str(home)})
        warehouse = Warehouse(settings.warehouse)
        write(warehouse)
        notes: dict[str, float] = {}
        with gateway(home, ensure_postgres(settings)) as (port, pid, token):
            ask(port, token, ARROW, FIRST, FIRST)  # what is imported at first use
            idle = memory_mb(pid)
            forget_peak(pid)
            for name, last in (("1m", last_of(1)), ("10m", last_of(10)), ("six_years", LAST)):
                direct = best(partial(by_deltalake, warehouse, last), None)
                notes |= said(f"{name}_direct", direct)
                notes |= said(f"{name}_face", best(partial(by_face, warehouse, last), None))
                bare = best(partial(unsorted, warehouse, last), None)
                notes |= said(f"{name}_polars", bare)
                for form, media in (("arrow", ARROW), ("parquet", PARQUET)):
                    got = best(partial(ask, port, token, media, FIRST, last), pid)
                    notes |= said(f"{name}_{form}", got)
                    notes[f"{name}_{form}_share"] = round(direct["wall"] / got["wall"], 2)
                    for whose, took in (("direct", direct), ("polars", bare)):
                        notes[f"{name}_{form}_cpu_share_of_{whose}"] = round(cpu(took) / cpu(got), 2)
            notes |= said("1m_json", best(lambda: pages(port, token, FIRST, last_of(1)), pid))
            peak = memory_mb(pid, "VmHWM") - idle
            same(warehouse, ask(port, token, ARROW, FIRST, last_of(10)), last_of(10))
    ours, theirs = notes["six_years_arrow_s"], notes["six_years_direct_s"]
    return Result(ours, theirs, round(theirs / ours, 2), round(peak), {"idle_mb": round(idle), **notes})


def last_of(millions: int) -> date:
    """The last day of so many million cells."""
    return FIRST + timedelta(days=round(millions * 1e6 / (COINS * 24 * len(PRICES.names))) - 1)


def write(warehouse: Warehouse) -> None:
    """Fill the table, a quarter a commit, as a backfill does."""
    symbols = sorted(by_symbol())[:COINS]
    begin = FIRST
    while begin <= LAST:
        end = min(begin + timedelta(days=90), LAST)
        rows = _market.table("prices", begin, end, symbols).filter(pl.col("date").is_between(begin, end))
        warehouse.write(PRICES, rows, [begin + timedelta(days=n) for n in range((end - begin).days + 1)])
        begin = end + timedelta(days=1)


def by_deltalake(warehouse: Warehouse, last: date) -> arrow.Table:
    """The rows by the Delta library's own reader, as Arrow, in no order."""
    days = [("date", ">=", FIRST), ("date", "<=", last)]
    return DeltaTable(warehouse.path("prices")).to_pyarrow_table(filters=days)


def by_face(warehouse: Warehouse, last: date) -> arrow.Table:
    """The rows by the Python face, in order of the key."""
    return warehouse.read(PRICES, start=FIRST, end=last).to_arrow()


def unsorted(warehouse: Warehouse, last: date) -> arrow.Table:
    """The rows by Polars, in the order of the files: nothing is done but to read them."""
    return warehouse.scan(PRICES, start=FIRST, end=last).collect().to_arrow()


def ask(port: int, token: str, media: str, first: date, last: date) -> arrow.Table:
    """Get the rows of the gateway; Arrow is decoded while it arrives."""
    headers = {"Authorization": f"Bearer {token}", "Accept": media}
    url = f"http://127.0.0.1:{port}/v1/tables/prices/rows?start={first}&end={last}"
    with urlopen(Request(url, headers=headers), timeout=600) as answer:
        if media == ARROW:
            with arrow_ipc.open_stream(answer) as stream:
                return stream.read_all()
        return pl.read_parquet(answer.read()).to_arrow()


def pages(port: int, token: str, first: date, last: date) -> int:
    """Read pages of JSON; return the number of rows."""
    rows, following = 0, None
    asked = {"start": str(first), "end": str(last), "limit": "10000"}
    url = f"http://127.0.0.1:{port}/v1/tables/prices/rows"
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=600, trust_env=False) as client:
        while True:
            page = client.get(url, params=asked | ({} if following is None else {"page_token": following})).json()
            rows, following = rows + len(page["rows"]), page["next_page_token"]
            if following is None:
                return rows


def best(work: Callable[[], object], server: int | None) -> Took:
    """The fastest of some runs."""
    found = []
    for _ in range(REPEATS):
        before = 0.0 if server is None else cpu_s(server)
        begun, client = time.perf_counter(), time.process_time()
        work()
        found.append({
            "wall": time.perf_counter() - begun, "client": time.process_time() - client,
            "server": 0.0 if server is None else cpu_s(server) - before,
        })  # fmt: skip
    return min(found, key=lambda took: took["wall"])


def cpu(took: Took) -> float:
    return took["client"] + took["server"]


def said(name: str, took: Took) -> Took:
    return {f"{name}_s": round(took["wall"], 3), f"{name}_cpu_s": round(cpu(took), 3)}


def same(warehouse: Warehouse, got: arrow.Table, last: date) -> None:
    key = list(PRICES.key)
    if not pl.DataFrame(got).sort(key).equals(warehouse.read(PRICES, start=FIRST, end=last).sort(key)):
        raise SystemExit("the gateway's rows are not those of the files; a ratio would mean nothing")
