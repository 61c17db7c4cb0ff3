"""Events by coin and hour: the 24 hours up to each hour mark, from articles and reactions that were known by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone

import polars as pl

from crypto_assets.narratives.analyses import best_analysis
from crypto_assets.tables.derived_source import derived_source
from crypto_assets.tables.events import COIN_EVENTS, KIND_DAYS, KINDS, LEAST_TONES, NEUTRAL, SIMILAR_DAYS, TONE_DAYS

MARKET, BTC = "MARKET", "BTC"
WINDOW = 24  # hours
HORIZON = 24  # hours of the reactions from which typical_reaction_24h is taken
_HOUR = pl.duration(hours=1)


def coin_events(tables: Mapping[str, pl.DataFrame], symbols: Sequence[str], start: date, end: date) -> pl.DataFrame:
    """Build the rows of ``coin_events`` for MARKET and each symbol, for every hour in whose window an event has an article.

    Args:
        tables: news_events, news_articles, article_narratives and event_reactions, each over its look-back.
        symbols: the coins.
        start: the first UTC day.
        end: the last UTC day, included.

    Returns:
        The rows, sorted by coin and hour. A coin that no event names has count 0 and null tone.
    """
    opened = datetime(start.year, start.month, start.day, tzinfo=timezone.utc) - timedelta(days=TONE_DAYS)
    closed = datetime(end.year, end.month, end.day, 23, tzinfo=timezone.utc)
    reported = _reported(tables).filter(pl.col("mark") <= closed)
    if reported.is_empty():
        return COIN_EVENTS.empty()
    named = _by_coin(reported, symbols)
    hours = pl.DataFrame({"ts": pl.datetime_range(opened, closed, "1h", time_unit="us", time_zone="UTC", eager=True)})
    seen = hours.filter(pl.col("ts").is_in(_marks(reported)["ts"].unique().implode()))
    cells = seen.join(pl.DataFrame({"symbol": [MARKET, *symbols]}), how="cross").sort("symbol", "ts")
    rows = cells.join(_windows(named), on=["symbol", "ts"], how="left")
    rows = rows.with_columns(pl.col("event_count_24h", "outlet_count_24h").fill_null(0).cast(pl.Float64))
    rows = _with_relative_tone(rows)
    founded = _founded(tables, symbols)
    rows = _with_kinds(rows, founded)
    rows = _with_typical(rows, founded, tables["event_reactions"])
    rows = rows.filter(pl.col("ts").dt.date().is_between(start, end)).sort("symbol", "ts")
    return COIN_EVENTS.conform(
        rows.with_columns(
            date=pl.col("ts").dt.date(), available_at="ts", source=pl.lit(derived_source(*tables.values()))
        ).select(COIN_EVENTS.given_names)
    )


def _mark(column: str) -> pl.Expr:
    """Return the first hour mark at or after an instant."""
    return pl.col(column).dt.offset_by("-1us").dt.truncate("1h") + _HOUR


def _reported(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the articles of events: each with the event that the row of its own day gives it."""
    articles = tables["news_articles"].select("article_id", "available_at", "feed", "symbols")
    events = tables["news_events"].select("event_id", "date", "first_seen", article_id="articles").explode("article_id")
    best = pl.from_pandas(best_analysis(tables["article_narratives"].to_pandas())[["article_id", "sentiment"]])
    reported = events.join(articles, on="article_id").filter(pl.col("available_at").dt.date() == pl.col("date"))
    best = best.cast({"article_id": pl.String, "sentiment": pl.Float64})
    return reported.join(best, on="article_id", how="left").with_columns(mark=_mark("available_at")).sort("article_id")


def _by_coin(reported: pl.DataFrame, symbols: Sequence[str]) -> pl.DataFrame:
    own = reported.explode("symbols").rename({"symbols": "symbol"}).filter(pl.col("symbol").is_in(list(symbols)))
    market = reported.with_columns(symbol=pl.lit(MARKET)).drop("symbols")
    return pl.concat([market, own.select(market.columns)])


def _marks(reported: pl.DataFrame) -> pl.DataFrame:
    """Repeat each article for the 24 hour marks whose window has it."""
    steps = pl.DataFrame({"step": range(WINDOW)})
    return reported.join(steps, how="cross").with_columns(ts=pl.col("mark") + pl.duration(hours="step"))


def _windows(named: pl.DataFrame) -> pl.DataFrame:
    """Count events and outlets by coin and hour mark, and average the tone of the events: each has one vote."""
    shown = _marks(named).sort("symbol", "ts", "event_id", "feed", "article_id")
    keys = ["symbol", "ts", "event_id"]
    votes = shown.group_by(*keys, "feed", maintain_order=True).agg(
        pl.col("sentiment").mean(), pl.col("first_seen").first()
    )
    events = votes.group_by(*keys, maintain_order=True).agg(pl.col("sentiment").mean(), pl.col("first_seen").first())
    new = (pl.col("ts") - pl.col("first_seen")) < timedelta(hours=WINDOW)
    found = events.group_by("symbol", "ts", maintain_order=True).agg(
        event_count_24h=pl.len(), tone_24h=pl.col("sentiment").mean(), novelty_24h=new.mean()
    )
    outlets = votes.group_by("symbol", "ts").agg(outlet_count_24h=pl.col("feed").n_unique())
    return found.join(outlets, on=["symbol", "ts"])


def _with_relative_tone(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the tone less its mean over the hours of the last 30 days that have one."""
    month = rows.rolling("ts", period=f"{TONE_DAYS * 24}h", group_by="symbol").agg(
        usual=pl.col("tone_24h").mean(), there=pl.col("tone_24h").count()
    )
    enough = pl.when(pl.col("there") >= LEAST_TONES).then(pl.col("tone_24h") - pl.col("usual"))
    return rows.join(month, on=["symbol", "ts"]).with_columns(tone_relative_30d=enough).drop("usual", "there")


def _founded(tables: Mapping[str, pl.DataFrame], symbols: Sequence[str]) -> pl.DataFrame:
    """Return coin, mark, theme and direction of each event when it was first known; MARKET has all."""
    tone = pl.col("first_tone")
    direction = pl.when(tone.abs() <= NEUTRAL).then(0).otherwise(tone.sign()).cast(pl.Int64)
    events = tables["news_events"].sort("event_id", "date").unique("event_id", keep="first", maintain_order=True)
    said = events.select("event_id", "first_seen", symbols="first_symbols", theme="first_theme", direction=direction)
    return _by_coin(said.with_columns(mark=_mark("first_seen")), symbols).sort("mark", "event_id")


def _with_kinds(rows: pl.DataFrame, founded: pl.DataFrame) -> pl.DataFrame:
    """Add the hours since the newest event of each kind; null where there was none within KIND_DAYS."""
    rows = rows.sort("ts")
    for kind in KINDS:
        of_kind = founded.filter(pl.col("theme") == kind).select("symbol", "mark").sort("mark").with_columns(at="mark")
        rows = rows.join_asof(
            of_kind, left_on="ts", right_on="mark", by="symbol", tolerance=f"{KIND_DAYS}d", check_sortedness=False
        )
        hours = (pl.col("ts") - pl.col("at")).dt.total_minutes() / 60
        rows = rows.with_columns(hours.cast(pl.Float64).alias(f"hours_since_{kind}")).drop("at", "mark", strict=False)
    return rows


def _with_typical(rows: pl.DataFrame, founded: pl.DataFrame, reactions: pl.DataFrame) -> pl.DataFrame:
    """Add the median reaction to events like the newest one of the window, of those known when it was."""
    past = reactions.filter(pl.col("horizon") == HORIZON).select(
        "theme", "direction", known="available_at", of="first_seen", is_btc=pl.col("symbol") == BTC,
        measure=pl.coalesce("abnormal_return", pl.when(pl.col("symbol") == BTC).then("return")),
    ).drop_nulls()  # fmt: skip
    own = founded.filter(pl.col("symbol") != MARKET).unique(["symbol", "mark"], keep="last", maintain_order=True)
    own = own.with_columns(is_btc=pl.col("symbol") == BTC)
    pairs = own.join(past, on=["theme", "direction", "is_btc"]).filter(
        pl.col("known") <= pl.col("mark"), pl.col("of") >= pl.col("mark") - timedelta(days=SIMILAR_DAYS)
    )
    medians = pairs.group_by("symbol", "mark").agg(typical_reaction_24h=pl.col("measure").median())
    newest = own.select("symbol", "mark").join(medians, on=["symbol", "mark"], how="left").sort("mark")
    return rows.sort("ts").join_asof(
        newest, left_on="ts", right_on="mark", by="symbol", tolerance=f"{WINDOW - 1}h", check_sortedness=False
    ).drop("mark", strict=False)  # fmt: skip
