"""Names over time: rows that cannot contradict each other, and what a person's word means on a day."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from crypto_assets.catalog import all_coins, by_symbol, select, symbols
from crypto_assets.catalog.listings import (
    DELISTED,
    REDENOMINATED,
    RENAMED,
    VENUES,
    coin_of,
    dated,
    listed_in,
    listings,
    never_traded,
    resolve,
    untraded,
    why_not,
)
from crypto_assets.errors import UsageError

UTC, HOUR = timezone.utc, timedelta(hours=1)
ROWS = [one for coin in all_coins() for venue in VENUES for one in dated(coin, venue)]


def test_rows_are_of_known_coins_and_say_what_happened() -> None:
    assert len(ROWS) >= 40
    for one in ROWS:
        assert one.since < one.until and one.factor > 0 and one.ratio > 0 and one.known_from, one
        assert bool(one.ended) == (one.ends is not None), one
        assert one.ended in ("", RENAMED, REDENOMINATED, DELISTED), one
        assert not one.successor or (one.successor in by_symbol() and one.ended == RENAMED), one
        assert all(at is None or at.minute == 0 for at in (one.begins, one.ends)), one


def test_spans_of_a_coin_do_not_overlap_and_the_last_one_is_in_todays_unit() -> None:
    for coin in all_coins():
        for venue in VENUES:
            rows = dated(coin, venue)
            assert all(earlier.until <= later.since for earlier, later in pairwise(rows)), coin.symbol
            if not rows:
                continue
            assert rows[-1].factor == 1, "factors are in units of today"
            named = getattr(coin, venue)
            assert named == rows[-1].ticker or (named is None and rows[-1].ends), "coins.csv has the name of now"
            for earlier, later in pairwise(rows):
                assert (earlier.ended == REDENOMINATED) == (earlier.factor != later.factor), earlier


def test_no_name_means_two_coins_at_one_hour() -> None:
    spans: dict[tuple[str, str], list] = {}
    for coin in all_coins():
        for venue in VENUES:
            for one in listings(coin, venue):
                spans.setdefault((venue, one.ticker), []).append(one)
    for found in spans.values():
        found.sort(key=lambda one: one.since)
        assert all(earlier.until <= later.since for earlier, later in pairwise(found)), found


@pytest.mark.parametrize(
    ("name", "symbol"),
    [("BTC", "BTC"), ("XBT", "BTC"), ("BTTC", "BTT"), ("NPXS", "PUNDIX"), ("PAX", "USDP"), ("S", "FTM"), ("SUSDT", "FTM"),
     ("LUNA", "LUNA"), ("RNDRUSDT", "RENDER"), ("1000SHIBUSDT", "SHIB"), ("KLAY", "KAIA"), ("NOSUCH", None)],
)  # fmt: skip
def test_a_name_means_a_coin(name: str, symbol: str | None) -> None:
    coin = coin_of(name)
    assert (coin.symbol if coin else None) == symbol


def test_a_name_that_was_used_twice_has_the_meaning_of_the_days() -> None:
    assert resolve(["lunausdt"], "--symbols", date(2022, 1, 1), date(2022, 4, 1)) == ("LUNC",)
    assert resolve(["LUNAUSDT"], "--symbols", date(2023, 1, 1), date(2023, 4, 1)) == ("LUNA",)
    with pytest.raises(
        UsageError, match=r"--symbols: LUNAUSDT meant several coins .*2022-05-31.*name one of LUNA, LUNC"
    ) as caught:
        resolve(["BTC", "LUNAUSDT"], "--symbols", date(2022, 1, 1), date(2023, 1, 1))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="CRYPTO_ASSETS_COINS: LUNAUSDT meant several"):
        select("BTC,LUNAUSDT")
    with pytest.raises(UsageError, match="--symbols: NOSUCH, BTTUSDT not in the catalogue"):
        resolve(["NOSUCH", "BTTUSDT", "BTC"], "--symbols", date(2023, 1, 1), date(2023, 2, 1))
    assert symbols(select("PAX,usdp,NPXS")) == ["USDP", "PUNDIX"]


def test_a_gap_between_two_names_is_not_traded() -> None:
    sun = by_symbol()["SUN"]
    first, last = datetime(2021, 6, 13, tzinfo=UTC), datetime(2021, 6, 20, tzinfo=UTC)
    ended, resumed = datetime(2021, 6, 14, 4, tzinfo=UTC), datetime(2021, 6, 18, 4, tzinfo=UTC)
    assert untraded(sun, "binance", first, last) == [(ended, resumed)]
    assert [one.factor for one in listed_in(sun, "binance", first, last)] == [1000, 1]
    assert listed_in(sun, "binance", ended, resumed) == ()
    assert untraded(by_symbol()["BTC"], "binance", first, last) == []
    assert never_traded([sun], ["binance"], ended, resumed) and not never_traded([sun], ["binance"], ended, last)
    assert not never_traded([sun, by_symbol()["BTC"]], ["binance"], ended, resumed)
    assert why_not(sun, "binance", ended) == "binance redenominated SUN (SUNUSDT) on 2021-06-14"
    assert why_not(by_symbol()["KEEP"], "binance", last + HOUR * 24 * 400).endswith("on 2022-02-16; its holders got T")
