"""Posts by coin and hour: the 24 hours up to each hour mark, from posts available by then.

A text that is posted many times is many posts and one text: counts of posts count it each time, tone and novelty once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

import polars as pl

from crypto_assets.narratives import lexicon
from crypto_assets.tables.derived_source import derived_source
from crypto_assets.tables.social import NOVELTY_DAYS, SOCIAL_SENTIMENT, TONE_DAYS

MARKET = "MARKET"
WINDOW = 24  # hours
LEAST = 0.8  # share of the hours of the z-score's window that must have a tone
HOURS = TONE_DAYS * 24


def social_sentiment(posts: pl.DataFrame, symbols: Sequence[str], start: date, end: date) -> pl.DataFrame:
    """Build the rows of ``social_sentiment`` for MARKET and each symbol, for every hour in which posts were seen.

    Args:
        posts: rows of ``social_posts``, from ``LOOKBACK_DAYS`` + 1 days before ``start`` on.
        symbols: the coins.
        start: the first UTC day.
        end: the last UTC day, included.

    Returns:
        The rows. Of an hour in whose window the whole market has a post, a coin that no post names has count 0.
    """
    opened = datetime(start.year, start.month, start.day, tzinfo=timezone.utc) - timedelta(hours=HOURS)
    closed = datetime(end.year, end.month, end.day, 23, tzinfo=timezone.utc)
    known = _judged(posts.filter(pl.col("available_at") <= closed))
    if known.is_empty():
        return SOCIAL_SENTIMENT.empty()
    named = pl.concat([
        known.with_columns(symbol=pl.lit(MARKET)).drop("symbols"),
        known.explode("symbols").rename({"symbols": "symbol"}).filter(pl.col("symbol").is_in(list(symbols))).select(
            *(name for name in known.columns if name != "symbols"), "symbol"),
    ], how="diagonal")  # fmt: skip
    hours = pl.DataFrame({"ts": pl.datetime_range(opened, closed, "1h", time_unit="us", time_zone="UTC", eager=True)})
    seen = hours.filter(pl.col("ts").is_in(_marks(known)["ts"].implode()))
    cells = seen.join(pl.DataFrame({"symbol": [MARKET, *symbols]}), how="cross")
    rows = cells.join(_windows(named), on=["symbol", "ts"], how="left")
    rows = rows.with_columns(pl.col("post_count_24h", "distinct_text_count_24h").fill_null(0).cast(pl.Float64))
    market = rows.filter(pl.col("symbol") == MARKET).select("ts", all_="post_count_24h")
    rows = rows.join(market, on="ts").with_columns(market_share_24h=pl.col("post_count_24h") / pl.col("all_"))
    rows = _with_zscore(rows).filter(pl.col("ts").dt.date().is_between(start, end))
    return SOCIAL_SENTIMENT.conform(
        rows.with_columns(date=pl.col("ts").dt.date(), available_at="ts", source=pl.lit(derived_source(posts))).select(
            name for name in SOCIAL_SENTIMENT.given_names
        )
    )


def _judged(posts: pl.DataFrame) -> pl.DataFrame:
    """Add the tone of each text, null where it is not English, and whether the text was new."""
    texts = posts.unique("text_hash", keep="first", maintain_order=True).select("text_hash", "text", "language")
    spoken = texts["language"].fill_null("en").str.starts_with("en")
    tones = [lexicon.word_tone(text) if english else None for text, english in zip(texts["text"], spoken, strict=True)]
    judged = texts.select("text_hash", tone=pl.Series(tones, dtype=pl.Float64))
    ordered = posts.sort("available_at", "post_id").with_columns(
        mark=pl.col("available_at").dt.offset_by("-1us").dt.truncate("1h") + pl.duration(hours=1)
    )
    before = ordered["available_at"] - ordered.select(pl.col("available_at").shift(1).over("text_hash"))["available_at"]
    new = (before.is_null() | (before > timedelta(days=NOVELTY_DAYS))).alias("new")
    return ordered.with_columns(new).join(judged, on="text_hash").select(
        "post_id", "text_hash", "symbols", "mark", "tone", "new"
    )  # fmt: skip


def _marks(posts: pl.DataFrame) -> pl.DataFrame:
    """Repeat each post for the 24 hour marks whose window has it."""
    steps = pl.DataFrame({"step": range(WINDOW)})
    return posts.join(steps, how="cross").with_columns(ts=pl.col("mark") + pl.duration(hours="step"))


def _windows(named: pl.DataFrame) -> pl.DataFrame:
    """Count posts and texts by coin and hour mark, and average the tone of the texts."""
    shown = _marks(named)
    texts = shown.group_by("symbol", "ts", "text_hash").agg(
        posts=pl.len(), tone=pl.col("tone").first(), new=pl.col("new").any()
    )
    return texts.sort("symbol", "ts", "text_hash").group_by("symbol", "ts", maintain_order=True).agg(
        post_count_24h=pl.col("posts").sum(),
        distinct_text_count_24h=pl.len(),
        tone_24h=pl.col("tone").mean(),
        novelty_7d=pl.col("new").mean(),
    )  # fmt: skip


def _with_zscore(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the z-score of the tone over the hours of the last 30 days that have one."""
    rows = rows.sort("symbol", "ts")
    month = rows.rolling("ts", period=f"{HOURS}h", group_by="symbol").agg(
        mean=pl.col("tone_24h").mean(), spread=pl.col("tone_24h").std(ddof=1), there=pl.col("tone_24h").count()
    )
    whole = (pl.col("there") >= LEAST * HOURS) & (pl.col("spread") > 0)
    scored = rows.join(month, on=["symbol", "ts"]).with_columns(
        tone_zscore_30d=pl.when(whole).then((pl.col("tone_24h") - pl.col("mean")) / pl.col("spread"))
    )
    return scored.drop("mean", "spread", "there")
