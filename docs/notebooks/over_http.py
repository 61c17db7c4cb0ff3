"""DuckDB, pandas and Polars over HTTP: the source of over_http.ipynb."""

# %% [markdown]
# # DuckDB, pandas and Polars over HTTP
#
# For programs that do not see the warehouse's files. Start a gateway first:
#
# ```sh
# crypto-assets serve --port 8000 --without-token
# ```
#
# `--without-token` lets programs of this machine in. Elsewhere give each request a token (`crypto-assets token create`), as below.

# %%
import io
import os

import duckdb
import httpx
import pandas as pd
import polars as pl

ADDRESS = os.environ.get("CRYPTO_ASSETS_URL", "http://127.0.0.1:8000")
TOKEN = os.environ.get("CRYPTO_ASSETS_TOKEN")
headers = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}
client = httpx.Client(base_url=ADDRESS, headers=headers, timeout=60, trust_env=False)

tables = client.get("/v1/catalog").raise_for_status().json()["tables"]
pd.DataFrame(tables).query("rows > 0")[["table", "grain", "rows", "first_day", "last_day"]].reset_index(drop=True)

# %% [markdown]
# **JSON, page by page.** Ask again with `next_page_token` until it is null. All pages are of one version of the table.

# %%
asked = {"symbols": "BTC,ETH", "columns": "price_usd", "limit": 2000}
rows, pages = [], 0
while True:
    page = client.get("/v1/tables/prices/rows", params=asked).raise_for_status().json()
    rows, pages = rows + page["rows"], pages + 1
    if page["next_page_token"] is None:
        break
    asked["page_token"] = page["next_page_token"]
print(f"{len(rows)} rows in {pages} pages; the first: {rows[0]}")

# %% [markdown]
# **pandas.** Parquet or CSV, by `Accept`.


# %%
def ask(path: str, accept: str, **asked: str) -> bytes:
    """The body of an answer in one of the streamed formats."""
    return client.get(path, params=asked, headers={"Accept": accept}).raise_for_status().content


prices = pd.read_parquet(
    io.BytesIO(ask("/v1/tables/prices/rows", "application/vnd.apache.parquet", columns="price_usd"))
)
daily = prices.set_index("ts").groupby("symbol")["price_usd"].resample("1D").last().unstack(0)
daily.pct_change().std().mul(365**0.5).rename("volatility a year").round(4)

# %% [markdown]
# **DuckDB.** An Arrow stream becomes a table without a copy, and SQL runs here, not on the server.

# %%
import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"
features = pa.ipc.open_stream(
    ask("/v1/tables/ml_features/rows", ARROW, columns="return_24h,rsi_14,volatility_7d")
).read_all()
duckdb.sql("""
    select symbol, count(*) as hours, round(corr(rsi_14, return_24h), 4) as rsi_with_return,
           round(quantile_cont(volatility_7d, 0.9), 6) as volatility_p90
    from features group by symbol order by symbol
""").df()

# %% [markdown]
# **Polars**, from the same stream:

# %%
frame = pl.read_ipc_stream(ask("/v1/tables/ml_features/rows", ARROW, symbols="BTC", columns="rsi_14"))
frame.select("symbol", "ts", "rsi_14").tail(3)

# %% [markdown]
# **As it was known.** Features at instants of your own; the row of 10:00 is known at 10:05. The same rows come from
# `store.historical_features`.

# %%
at = frame["ts"].max().replace(hour=10)
events = [{"symbol": "BTC", "ts": at.replace(minute=minute).isoformat()} for minute in (4, 6)]
answer = client.post("/v1/features/historical", json={"entities": events, "columns": ["rsi_14"]}).raise_for_status()
pd.DataFrame(answer.json()["rows"])

# %% [markdown]
# **Asked again.** An answer has an `ETag`; as long as the table has not changed, the repeated question costs nothing.

# %%
first = client.get("/v1/tables/prices/rows", params={"symbols": "BTC"})
again = client.get(
    "/v1/tables/prices/rows", params={"symbols": "BTC"}, headers={"If-None-Match": first.headers["ETag"]}
)
print(again.status_code, len(again.content), "bytes")

# %% [markdown]
# A mistake is a problem document that says what to do:

# %%
client.get("/v1/tables/price/rows").json()
