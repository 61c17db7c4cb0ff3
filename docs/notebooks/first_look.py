"""A first look: the source of first_look.ipynb."""

# %% [markdown]
# # A first look
#
# Five pictures of what the platform stores. The market behind the stored outputs is generated (a sandbox, whose rows say so in
# `source`); after `make demo` the same cells show your own.

# %%
import matplotlib.pyplot as plt
import polars as pl

import crypto_assets as ca

store = ca.open()
stored = store.catalog().filter(pl.col("rows") > 0)
stored.select("table", "group", "grain", "rows", "first_day", "last_day")

# %% [markdown]
# Each table has a contract: what a row is, when it is known, the unit and meaning of every column.

# %%
prices = store.table("prices")
prices.describe()

# %% [markdown]
# **1. A price.** One line of code; a day counts whole, times are UTC.

# %%
prices.plot("BTC")

# %% [markdown]
# **2. All coins from one start.** `read` gives Polars, `pandas` and `arrow` give theirs.

# %%
rows = prices.pandas(columns="price_usd").pivot(index="ts", columns="symbol", values="price_usd")
growth = rows / rows.iloc[0]
axes = growth.plot(figsize=(9, 3.6), linewidth=1, xlabel="", ylabel="first price = 1")
axes.legend(frameon=False, ncols=3, fontsize=8)
plt.show()
print(growth.iloc[-1].round(4).to_string())

# %% [markdown]
# **3. A feature.** `ml_features` has a row for each coin and hour, known five minutes after it.

# %%
features = store.table("ml_features")
last = stored.filter(pl.col("table") == "ml_features")["last_day"].item()
features.plot(["BTC", "ETH"], "rsi_14", start=last.replace(day=last.day // 2 + 1))

# %% [markdown]
# **4. The chain.** The provider's own market value over realised value, a row a coin and day.

# %%
store.table("onchain_base").plot(["BTC", "ETH"], "mvrv_provider")

# %% [markdown]
# **5. The news.** The share of each theme among the day's stories.

# %%
store.table("theme_trends").plot(column="share")

# %% [markdown]
# The newest row of each coin, and any other question in SQL:

# %%
store.latest(columns=["price_usd", "return_24h", "rsi_14", "volatility_7d"])

# %%
store.sql("""
    select symbol, count(*) as hours, avg(return_24h) as mean_return_24h, min(drawdown_30d) as deepest_drawdown_30d
    from ml_features group by symbol order by symbol
""")
