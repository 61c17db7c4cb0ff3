"""Train and judge a model: the source of train_a_model.ipynb."""

# %% [markdown]
# # Train and judge a model
#
# A training set in which each value was known at its hour; a walk-forward in which no label looks into the test period; a verdict
# with an error bar.

# %%
from datetime import datetime, time, timedelta, timezone

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

import crypto_assets as ca
from crypto_assets.models.ic import hourly_ic, summary
from crypto_assets.models.learners import Outcomes, Ridge
from crypto_assets.models.preparation import ranked
from crypto_assets.models.splits import Times, walk_forward

HORIZON = 24  # hours
FEATURES = ["return_24h", "return_7d", "volatility_7d", "rsi_14", "volume_zscore_30d", "drawdown_30d", "turnover_24h"]

store = ca.open()
days = store.catalog().filter(pl.col("table") == "ml_features")
first, last = days["first_day"].item(), days["last_day"].item()
rows = store.dataset(first + timedelta(days=30), last + timedelta(days=1), horizon=f"{HORIZON}h", columns=FEATURES)
print(
    f"{rows.height} rows, {rows['symbol'].n_unique()} coins, {rows['ts'].min():%Y-%m-%d} to {rows['ts'].max():%Y-%m-%d}"
)
rows.select("symbol", "ts", "available_at", "return_24h", "forward_return_24h", "label_available_at").tail(3)

# %% [markdown]
# `label_available_at` is when the price at the horizon was known. The split uses it: a training of a week has only rows whose label was
# known before the week began.

# %%
times = Times(
    rows["available_at"].dt.replace_time_zone(None).to_numpy(),
    rows["label_available_at"].dt.replace_time_zone(None).to_numpy(),
)
begin = datetime.combine(last, time(), timezone.utc) - timedelta(days=28)
folds = list(walk_forward(times, [begin + timedelta(days=7 * week) for week in range(5)]))
for fold in folds:
    known = rows["label_available_at"][fold.train].max()
    decided = rows["available_at"][fold.test].min()
    assert known < decided
    print(
        f"trains on {len(fold.train):5} rows known by {known:%m-%d %H:%M}, tested on {len(fold.test)} rows from {decided:%m-%d %H:%M}"
    )

# %% [markdown]
# Ridge on ranks within the hour, the model that the platform trains each month. A second one learns from shuffled labels: what it
# "finds" is luck, so it shows what luck looks like here.

# %%
matrix = ranked(rows, FEATURES)
hours = (rows["ts"].to_physical() // 3_600_000_000).to_numpy()
returns = rows[f"forward_return_{HORIZON}h"].to_numpy()
barriers = rows[f"triple_barrier_{HORIZON}h"].cast(pl.Float64).to_numpy()


def out_of_sample(target: np.ndarray) -> pl.DataFrame:
    """Scores of the test periods, each from a model that was trained before it."""
    parts = []
    for fold in folds:
        model = Ridge.fit(
            matrix[fold.train], Outcomes(hours[fold.train], target[fold.train], barriers[fold.train]), {"penalty": 0.01}
        )
        parts.append(
            rows[fold.test].select("symbol", "ts").with_columns(score=pl.Series(model.score(matrix[fold.test])))
        )
    return pl.concat(parts)


shuffled = np.random.default_rng(1).permutation(returns)
scores = {"ridge": out_of_sample(returns), "shuffled labels": out_of_sample(shuffled)}

# %% [markdown]
# The rank IC of an hour is the correlation of scores and returns over its coins. Labels of neighbouring hours overlap, so the error is
# Newey and West's.

# %%
figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
for name, found in scores.items():
    judged = found.join(rows.select("symbol", "ts", outcome=f"forward_return_{HORIZON}h"), on=["symbol", "ts"])
    by_hour = hourly_ic(judged.select("ts", "score", "outcome"))
    figures = summary(by_hour["rank_ic"].to_numpy(), HORIZON - 1, each=HORIZON)
    print(f"{name:<16} rank IC {figures['mean']:+.3f}, t {figures['t_newey_west']:+.2f}, {figures['hours']:.0f} hours")
    by_day = by_hour.group_by(pl.col("ts").dt.date().alias("day"), maintain_order=True).agg(pl.col("rank_ic").mean())
    axes.plot(by_day["day"], by_day["rank_ic"].cum_sum(), label=name)
axes.axhline(0, color="grey", linewidth=0.8)
axes.set(ylabel="sum of daily rank IC")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# On a generated market there is little to find, and six coins make a noisy rank. A t between -2 and 2 says: nothing was shown. After costs,
# turnover and the number of trials the bar is higher still ([what the models are worth](../model-report.md)).
