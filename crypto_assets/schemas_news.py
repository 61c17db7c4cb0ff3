"""Contracts of news: articles, what each one says, and what the market talks about by coin and hour."""

from __future__ import annotations

import polars as pl

from crypto_assets.columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.contract import TEXTS, TIMESTAMP, Column, Contract, WriteMode

THEMES = (
    "regulation", "adoption", "technology", "macro_economic", "institutional",
    "defi", "security", "market_structure", "geopolitical", "other",
)  # fmt: skip
IMPACT_HORIZONS = ("immediate", "short_term", "medium_term", "long_term", "uncertain")
# ok: bounds hold. invalid: not the answer that was asked for. timeout: none in time. refused: the server or the model
# would not answer this article. unavailable: no model answered anyone.
ANALYSIS_STATUSES = ("ok", "invalid", "timeout", "refused", "unavailable")

NEWS_ARTICLES = Contract(
    table="news_articles",
    description="Articles from RSS and Atom feeds; what a feed no longer lists is kept.",
    grain="article",
    key=("article_id",),
    columns=(
        key("article_id", "Hash of normalised address and title."),
        day(),
        available_at("the feed's publication time"),
        source(),
        Column("published_at", TIMESTAMP, "UTC", "Publication time as the feed gives it.", nullable=False),
        key("feed", "Name of the feed in NEWS_FEEDS."),
        key("title", "Title, plain text."),
        Column("summary", pl.String, "text", "Summary, plain text, at most 2,000 characters."),
        Column("url", pl.String, "address", "Link to the article."),
        Column("symbols", TEXTS, "coins", "Coins named in title or summary: whole words and cashtags only.", nullable=False),
    ),
    available_at_rule="the feed's publication time",
    write_mode=WriteMode.MERGE,
    reference="RSS 2.0, Atom (RFC 4287)",
    time_column="published_at",
)  # fmt: skip

ARTICLE_NARRATIVES = Contract(
    table="article_narratives",
    description="What each article says: theme, sentiment, drivers, affected coins. The lexicon judges every article, "
    "a model those it could; what a model claims without the text saying so is in 'ungrounded', not in its columns.",
    grain="article x analyser",
    key=("article_id", "analyzer"),
    columns=(
        key("article_id", "Article."),
        key("analyzer", "Who said so: 'lexicon-<version>' or the model's name."),
        day(),
        available_at("that of the article: the analysis rests on nothing later"),
        source(),
        Column("theme", pl.String, "name", "Dominant theme.", allowed=THEMES),
        Column("secondary_themes", TEXTS, "names", "Further themes, at most 3."),
        value("sentiment", "-1 to 1", "Tone towards the market.", lower=-1, upper=1),
        value("confidence", "0 to 1", "How sure the analyser is.", lower=0, upper=1),
        Column("drivers", TEXTS, "phrases", "What the judgement rests on, at most 5.", nullable=False),
        Column("driver_quotes", TEXTS, "quotes", "For each driver the words of the article it rests on."),
        Column("affected_symbols", TEXTS, "coins", "Coins concerned; only such as the text names.", nullable=False),
        Column("impact_horizon", pl.String, "name", "How far ahead it matters.", allowed=IMPACT_HORIZONS),
        Column("summary", pl.String, "text", "Two sentences; null unless the article has each number and coin in it."),
        Column("ungrounded", TEXTS, "claims", "What the model claimed without the text saying so; dropped above."),
        Column("status", pl.String, "name", "How the analysis ended.", nullable=False, allowed=ANALYSIS_STATUSES),
        Column("detail", pl.String, "text", "Why the status is not ok, in one sentence."),
        Column("content_hash", pl.String, "SHA-256", "Of the text that was analysed."),
        Column("model_digest", pl.String, "SHA-256", "Of the model's weights, as the server names them."),
        Column("prompt_hash", pl.String, "SHA-256", "Of instructions, schema and options."),
        Column("attempts", pl.Int64, "calls", "Calls of the model for this text so far.", lower=0),
        Column("failures", pl.Int64, "calls", "Of them failed while the model answered others; at 8 no more.", lower=0),
        value("duration_s", "seconds", "What the model took for the answer.", lower=0),
        Column("prompt_tokens", pl.Int64, "tokens", "Read by the model.", lower=0),
        Column("answer_tokens", pl.Int64, "tokens", "Written by the model.", lower=0),
        Column("analyzed_at", TIMESTAMP, "UTC", "When the model answered."),
    ),
    available_at_rule="that of the article: an analysis is a function of its text and the model, and rests on nothing "
    "later; analyzed_at says when it was made",
    time_column=None,
)  # fmt: skip

NARRATIVES = Contract(
    table="narratives",
    description="News by coin and hour: counts, sentiment and theme shares of the last 24 hours.",
    grain="coin (or MARKET) x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(", or MARKET for all articles"),
        ts("Hour mark; articles with available_at in (ts - 24 h, ts] count."),
        day(),
        available_at("ts"),
        source(),
        Column("article_count_24h", pl.Int64, "articles", "Articles in the window.", nullable=False, lower=0),
        value("sentiment_24h", "-1 to 1", "Confidence-weighted mean sentiment; null without articles.", lower=-1, upper=1),
        Column("dominant_theme", pl.String, "name", "Most frequent theme; null without articles.", allowed=THEMES),
        *(
            value(f"theme_{theme}_share_24h", "fraction", f"Share of articles with theme {theme}.", lower=0, upper=1)
            for theme in THEMES
        ),
    ),
    available_at_rule="ts",
)  # fmt: skip
