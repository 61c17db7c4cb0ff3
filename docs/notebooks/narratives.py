"""Narratives around an event: the source of narratives.ipynb."""

# %% [markdown]
# # Narratives around an event
#
# The news of each hour, coin by coin: how many stories, their tone and themes. Here: the hour in which the tone about one coin changed
# most, the headlines behind it, and the price around it.

# %%
from datetime import timedelta

import matplotlib.pyplot as plt
import polars as pl

import crypto_assets as ca

store = ca.open()
coin = "BTC"
news = store.table("narratives").read(
    symbols=coin,
    columns=[
        "story_count_24h",
        "sentiment_24h",
        "sentiment_momentum_24h",
        "attention_7d",
        "dominant_theme",
        "top_articles",
    ],
)
event = (
    news.filter(pl.col("story_count_24h") >= 2, pl.col("ts") <= news["ts"].max() - timedelta(days=1))
    .sort(pl.col("sentiment_momentum_24h").abs(), "ts", descending=[True, False], nulls_last=True)
    .row(0, named=True)
)
print(
    f"{coin}, {event['ts']:%Y-%m-%d %H:%M}: tone {event['sentiment_24h']:+.2f} ({event['sentiment_momentum_24h']:+.2f} in a day),"
)
print(
    f"{event['story_count_24h']} stories, attention {event['attention_7d']:.1f} times the week's, theme {event['dominant_theme']}"
)

# %% [markdown]
# The articles it rests on, each with the instant at which it was known:

# %%
with pl.Config(fmt_str_lengths=80):
    articles = store.table("news_articles").read((event["ts"] - timedelta(days=2)).date(), event["ts"])
    print(
        articles.filter(pl.col("article_id").is_in(event["top_articles"]))
        .select("available_at", "feed", "title")
        .sort("available_at")
    )

# %% [markdown]
# Tone and price, two days before and one after. A row of `narratives` uses articles known by its hour, so nothing in the tone looks ahead.

# %%
before, after = event["ts"] - timedelta(days=2), event["ts"] + timedelta(days=1)
near = news.filter(pl.col("ts").is_between(before, after))
price = store.table("prices").read(before, after, coin, "price_usd")
figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
top.plot(price["ts"], price["price_usd"], color="black", linewidth=1.2)
top.set(ylabel=f"{coin}, USD")
bottom.step(near["ts"], near["sentiment_24h"], where="post")
bottom.axhline(0, color="grey", linewidth=0.8)
bottom.set(ylabel="tone, 24 h", ylim=(-1, 1))
for axes in (top, bottom):
    axes.axvline(event["ts"], color="tab:red", linewidth=1)
plt.show()

# %% [markdown]
# What the whole market talked about that day, put together from counts and quoted titles (no text is made up):

# %%
day = event["ts"].date()
for row in store.table("theme_digests").read(day, day).sort("rank").iter_rows(named=True):
    print(f"{row['rank']}. {row['digest']}\n")

# %% [markdown]
# One event proves nothing. Over all hours: does the tone go with the return of the next day?

# %%
joined = store.historical_features(news.select(symbol=pl.lit(coin), ts="ts"), columns=["return_24h"])
ahead = joined.select(pl.col("ts") - timedelta(days=1), next_24h="return_24h")
both = news.join(ahead, on="ts").select("sentiment_24h", "next_24h").drop_nulls()
correlation = both.select(pl.corr("sentiment_24h", "next_24h", method="spearman")).item()
independent = both.height / 24
print(f"{both.height} hours, rank correlation {correlation:+.2f}, error about {independent**-0.5:.2f}")

# %% [markdown]
# The windows of neighbouring hours overlap, so 24 hours count as one independent value; that is where the error comes from. Below two errors
# a correlation is within luck, and so it should be here: the headlines of a generated market are drawn at random.
