"""Events over the price line: each once, at the price of its instant, and no title that writes Markdown."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import polars as pl
import pytest

from crypto_assets.assets.event_plot import EVENTS, events_over_price

START = datetime(2025, 7, 1, tzinfo=timezone.utc)
END, HOUR = date(2025, 7, 14), timedelta(hours=1)
PRICES = pl.DataFrame(
    [
        {"symbol": symbol, "ts": START + n * HOUR, "date": (START + n * HOUR).date(), "price_usd": 100.0 + n}
        for symbol in ("ETH", "BTC")
        for n in range(14 * 24)
    ]
)


def events(*rows: tuple[str, int, int, str, list[str]]) -> pl.DataFrame:
    """(id, hours after START, outlets, headline, coins)."""
    names = ["event_id", "hours", "outlet_count", "headline", "symbols"]
    schema = dict(zip(names, (pl.String, pl.Int64, pl.Int64, pl.String, pl.List(pl.String)), strict=True))
    seen = pl.lit(START) + pl.duration(hours="hours")
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        seen.alias("first_seen"), seen.dt.date().alias("date")
    )


def lines(*rows: tuple[str, int, int, str, list[str]], prices: pl.DataFrame = PRICES) -> list[str]:
    return events_over_price(events(*rows), prices, END).splitlines()


def test_a_point_for_each_event_of_the_coin_that_most_name() -> None:
    found = lines(
        ("b", 30, 2, "ETH [x](http://evil)", ["ETH"]), ("a", 5, 3, "First", ["ETH", "BTC"]), ("a", 50, 5, "First", ["ETH"]),
        ("c", 9, 9, "Of BTC alone", ["BTC"]),
    )  # fmt: skip
    assert found[0].startswith("![Events and the price of ETH](data:image/png;base64,")
    assert found[2:] == [
        r"1. 2025-07-02 06:00 ETH \[x\](http://evil) (2 outlet(s))",
        "2. 2025-07-03 02:00 First (5 outlet(s))",
    ]


def test_the_picture_changes_with_its_events() -> None:
    assert lines(("a", 5, 3, "First", ["BTC"]))[0] != lines(("a", 90, 3, "First", ["BTC"]))[0]


@pytest.mark.parametrize("shown", [PRICES, PRICES.clear()], ids=["no event", "no price"])
def test_without_events_or_prices_nothing_fails(shown: pl.DataFrame) -> None:
    found = lines(prices=shown)
    assert found[0] == "No price of a coin that events name." if shown.is_empty() else "price of BTC" in found[0]


def test_those_of_most_outlets_are_shown() -> None:
    found = lines(*((f"e{n}", n, n, f"Event {n}", ["BTC"]) for n in range(1, 30)))
    assert [line.split(" Event ")[1].split()[0] for line in found[2:]] == [str(n) for n in range(30 - EVENTS, 30)]
