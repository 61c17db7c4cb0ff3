"""After any overwrites, what was stored then can still be read: by version, by instant, with any selection."""

from __future__ import annotations

import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import crypto_assets as ca
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES
from crypto_assets_tests.store.conftest import DAYS, FIRST, price_rows

WRITE = st.tuples(st.sets(st.integers(0, DAYS - 1), min_size=1), st.integers(1, 9))
ASKED = st.tuples(st.integers(0, 99), st.sampled_from([None, "BTC", "ETH"]), st.integers(0, DAYS - 1), st.booleans())


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(writes=st.lists(WRITE, min_size=1, max_size=5), asked=st.lists(ASKED, min_size=3, max_size=6))
def test_any_version_is_what_was_stored_then(
    writes: list[tuple[set[int], int]], asked: list[tuple[int, str | None, int, bool]]
) -> None:
    """The truth is a frame in memory that the writes are applied to, without the warehouse."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse, now = Warehouse(str(Path(folder) / "warehouse")), price_rows()
        every = [FIRST + timedelta(days=n) for n in range(DAYS)]
        known: list[tuple[int, datetime, pl.DataFrame]] = []
        for numbers, factor in [(set(range(DAYS)), 1), *writes]:
            days = [every[n] for n in sorted(numbers)]
            written = now.filter(pl.col("date").is_in(days)).with_columns(pl.col("price_usd") * factor)
            kept = now.filter(~pl.col("date").is_in(days))
            version = warehouse.write(PRICES, written, days).version
            now = pl.concat([kept, written])
            time.sleep(0.002)  # commits have milliseconds
            known.append((version, datetime.now(timezone.utc), now))
            time.sleep(0.002)
        table = ca.open(folder).table("prices")
        for number, symbol, first, by_instant in asked:
            version, instant, rows = known[number % len(known)]
            got = table.read(every[first], symbols=symbol, as_of=instant if by_instant else version)
            expected = rows.filter(pl.col("date") >= every[first])
            if symbol is not None:
                expected = expected.filter(pl.col("symbol") == symbol)
            assert_frame_equal(got, expected.sort(PRICES.key))
