"""Assets of the group ``operations``: calls to providers, held prices, and observations that were set aside."""

from datetime import datetime, timedelta

import dagster as dg
import pandas as pd

from crypto_assets.assets import shell
from crypto_assets.assets.providers import Providers
from crypto_assets.sources.client.quota import COUNTS
from crypto_assets.sources.fetched import utc

HOUR = timedelta(hours=1)
COLUMNS = ["provider", "endpoint", "ts", "date", "available_at", "source", *COUNTS]


@dg.asset(
    **shell.asset_kwargs("api_usage"),
    op_tags={"dagster/priority": "-100"},  # after the calls of the same run
)
def api_usage(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Copy the calls of the run's days from the quota store, by provider, endpoint and hour."""
    rows, now = [], providers.now()
    for provider, endpoint, ts, *counts in providers.quota_store().calls(*shell.days_of(context)):
        moment: datetime = ts
        rows.append((provider, endpoint, moment, moment.date(), min(moment + HOUR, now), "platform", *counts))
    return utc(pd.DataFrame(rows, columns=COLUMNS), "ts", "available_at")


ASSETS = [api_usage, shell.external_asset("quarantine"), shell.external_asset("set_aside")]
