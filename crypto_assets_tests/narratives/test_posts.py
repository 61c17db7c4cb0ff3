"""Posts by coin and hour, worked out once more with pandas; and a bot that posts one text 400 times."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pytest

from crypto_assets.narratives.lexicon import word_tone
from crypto_assets.narratives.posts import social_sentiment
from crypto_assets.tables.social import SOCIAL_POSTS, SOCIAL_SENTIMENT

UTC = timezone.utc
DAY = date(2024, 3, 1)
HOUR = timedelta(hours=1)
TEXTS = ("Bitcoin rallies to a record", "Bitcoin crashes, panic", "Ethereum upgrade works", "Exchange hacked, funds stolen",
         "Bitcoin and Ethereum slide", "nothing to see", "比特币大涨")  # fmt: skip
NAMED = (["BTC"], ["BTC"], ["ETH"], [], ["BTC", "ETH"], [], [])


def post(n: int, at: datetime, text: int) -> dict:
    return {"post_id": f"{n:032}", "published_at": at, "date": at.date(), "available_at": at, "source": "file", "feed": "f",
            "text": TEXTS[text], "text_hash": f"{text:064}", "language": "und" if text == 6 else None, "symbols": NAMED[text]}  # fmt: skip


def posts(*rows: dict) -> pl.DataFrame:
    return SOCIAL_POSTS.validate(pl.DataFrame([{n: r.get(n) for n in SOCIAL_POSTS.given_names} for r in rows]))


def derived(rows: pl.DataFrame, start: date = DAY, end: date = DAY) -> pd.DataFrame:
    found = SOCIAL_SENTIMENT.validate(social_sentiment(rows, ["BTC", "ETH"], start, end))
    return found.to_pandas().set_index(["symbol", "ts"]).sort_index()


def test_400_copies_of_a_text_are_400_posts_and_one_text_for_tone() -> None:
    opened = datetime(2024, 3, 1, 5, tzinfo=UTC)
    bot = [post(n, opened + timedelta(seconds=n), 0) for n in range(400)]
    row = derived(posts(*bot, post(999, opened, 1))).loc[("BTC", opened + HOUR)]
    assert (row["post_count_24h"], row["distinct_text_count_24h"]) == (401, 2)
    assert row["tone_24h"] == pytest.approx((word_tone(TEXTS[0]) + word_tone(TEXTS[1])) / 2)
    assert row["market_share_24h"] == 1.0


def test_every_cell_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(5)
    first = datetime(2024, 1, 28, tzinfo=UTC)
    rows = [post(n, first + timedelta(minutes=int(rng.integers(34 * 1440))), int(rng.integers(7))) for n in range(700)]
    given = posts(*rows)
    got = derived(given)
    for symbol in ("MARKET", "BTC", "ETH"):
        mine = [r for r in rows if symbol == "MARKET" or symbol in r["symbols"]]
        for hour in (0, 7, 23):
            ts = datetime(2024, 3, 1, hour, tzinfo=UTC)
            row = got.loc[(symbol, ts)]
            inside = [r for r in mine if ts - 24 * HOUR < r["available_at"] <= ts]
            everyone = [r for r in rows if ts - 24 * HOUR < r["available_at"] <= ts]
            assert row["post_count_24h"] == len(inside)
            assert row["distinct_text_count_24h"] == len({r["text"] for r in inside})
            assert row["market_share_24h"] == pytest.approx(len(inside) / len(everyone))
            tones = [_tone(mine, ts - back * HOUR) for back in range(720)]
            assert row["tone_24h"] == pytest.approx(tones[0], nan_ok=True)
            known = [tone for tone in tones if tone == tone]
            wanted = (tones[0] - np.mean(known)) / np.std(known, ddof=1) if len(known) >= 576 else float("nan")
            assert row["tone_zscore_30d"] == pytest.approx(wanted, nan_ok=True)


def _tone(mine: list[dict], ts: datetime) -> float:
    texts = {r["text"] for r in mine if ts - 24 * HOUR < r["available_at"] <= ts and r["language"] is None}
    return float(np.mean([word_tone(text) for text in texts])) if texts else float("nan")


def test_an_hour_without_posts_has_no_row_and_a_text_of_last_week_is_not_new() -> None:
    opened = datetime(2024, 3, 1, 0, 30, tzinfo=UTC)
    week, month = post(1, opened - timedelta(days=6), 0), post(2, opened - timedelta(days=20), 2)
    got = derived(posts(week, month, post(3, opened, 0), post(4, opened, 2)))
    assert ("BTC", datetime(2024, 3, 1, tzinfo=UTC)) not in got.index
    row = got.loc[("MARKET", datetime(2024, 3, 1, 1, tzinfo=UTC))]
    assert row["novelty_7d"] == 0.5
    assert derived(SOCIAL_POSTS.empty()).empty


def test_days_derived_alone_are_those_of_the_range() -> None:
    rng = np.random.default_rng(6)
    first = datetime(2024, 1, 26, tzinfo=UTC)
    given = posts(
        *(post(n, first + timedelta(minutes=int(rng.integers(37 * 1440))), int(rng.integers(7))) for n in range(300))
    )
    days = [DAY - timedelta(days=1), DAY]
    both = derived(given, days[0], days[1])
    alone = pd.concat([derived(given, day, day) for day in days]).sort_index()
    pd.testing.assert_frame_equal(both, alone, rtol=1e-12)
