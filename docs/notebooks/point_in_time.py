"""Point in time against revised: the source of point_in_time.ipynb."""

# %% [markdown]
# # Point in time against revised
#
# What would look-ahead have "earned"? An on-chain day is stamped with its date, but nobody knows it before the day is over. Who joins
# it to the hours of its own day by date trades on the day's close. This mistake was real: it stamped each close on 24 hours.
#
# One rule, three joins. The rule: hold the coin for an hour if the newest known on-chain price lies above the price now, sell it
# short if it lies below. No costs.

# %%
import matplotlib.pyplot as plt
import polars as pl

import crypto_assets as ca

store = ca.open()
symbols = ["BTC", "ETH", "SOL"]
hours = (
    store.table("prices")
    .read(symbols=symbols, columns="price_usd")
    .with_columns(next_return=(pl.col("price_usd").shift(-1) / pl.col("price_usd") - 1).over("symbol"))
    .filter((pl.col("ts").shift(-1).over("symbol") - pl.col("ts")) == pl.duration(hours=1))
)
days = store.table("onchain_base").read(symbols=symbols, columns=["price_usd", "available_at"])
days.head(3)

# %% [markdown]
# **By date** (wrong): each hour gets the row of its own day.

# %%
by_date = hours.with_columns(date=pl.col("ts").dt.date()).join(
    days.select("symbol", "date", onchain_price="price_usd"), on=["symbol", "date"], how="left"
)

# %% [markdown]
# **As of** (right): each hour gets the newest row that was known then, by `available_at`.

# %%
as_of = hours.sort("ts").join_asof(
    days.select("symbol", "available_at", onchain_price="price_usd").sort("available_at"),
    left_on="ts",
    right_on="available_at",
    by="symbol",
    check_sortedness=False,
)

# %% [markdown]
# **By the platform**: the same as-of join in one call, from the features. It also drops what is older than its staleness.

# %%
from datetime import timedelta

features = store.historical_features(
    hours.select("symbol", "ts"),
    columns=["onchain_market_cap_usd", "onchain_supply_current"],
    max_age=timedelta(minutes=90),
)
platform = hours.join(features, on=["symbol", "ts"]).with_columns(
    onchain_price=pl.col("onchain_market_cap_usd") / pl.col("onchain_supply_current")
)


# %%
def earned(joined: pl.DataFrame) -> pl.DataFrame:
    """Mean return of the coins, hour by hour."""
    side = (pl.col("onchain_price") / pl.col("price_usd") - 1).sign().fill_null(0)
    return joined.group_by("ts").agg((side * pl.col("next_return")).mean().alias("return")).sort("ts")


results = {"by date (look-ahead)": earned(by_date), "as of": earned(as_of), "by the platform": earned(platform)}
figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
for name, found in results.items():
    axes.plot(found["ts"], (1 + found["return"]).cum_prod(), label=name, linewidth=1.3)
axes.set(yscale="log", ylabel="value of 1")
axes.legend(frameon=False)
plt.show()


# %%
def sharpe(returns: pl.Series) -> float:
    """Sharpe ratio a year, of hourly returns."""
    return returns.mean() / returns.std() * (24 * 365) ** 0.5


for name, found in results.items():
    print(
        f"{name:<22} value of 1: {(1 + found['return']).product():9.3f}   Sharpe a year: {sharpe(found['return']):7.2f}"
    )

# %% [markdown]
# The market is a generated one, with no edge in it: the "profit" of the join by date is nothing but the future. The as-of join
# and the platform's own differ in the first hour of some days only: the features row that answers at 01:00 was made at 00:05, and where
# the on-chain day became known at 00:07, that row does not have it yet.

# %%
compared = (
    as_of.select("symbol", "ts", theirs="onchain_price")
    .join(platform.select("symbol", "ts", "onchain_price"), on=["symbol", "ts"])
    .drop_nulls()
)
same = ((compared["theirs"] / compared["onchain_price"] - 1).abs() < 1e-9).mean()
print(f"{compared.height} hours, the same value in {same:.1%} of them")

# %% [markdown]
# ## And revised values?
#
# `available_at` does not help where the provider computed a past day again and overwrote it. That is what `pit_quality` says, row by
# row: `first_seen` was stored when it became known, `backfilled` was fetched later and may have been revised in between.

# %%
store.sql("select pit_quality, count(*) as days from onchain_base group by pit_quality order by pit_quality")

# %% [markdown]
# A training set leaves features out that rest on such rows where the contract of their table says so, and names them
# ([training sets](../training.md#what-may-have-been-revised)). And what was stored at an instant can be had again:
# `store.table("onchain_base").read(as_of=…)`.
