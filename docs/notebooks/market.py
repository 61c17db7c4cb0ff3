"""The home that the stored outputs of the notebooks come from: a generated market whose clock stands still.

Its days are fixed, so the same code gives the same figures on any day. The platform itself fills it: the command
``backfill`` asks a sandbox, as it would ask the providers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, datetime, timezone
from pathlib import Path

from crypto_assets.sandbox.server import Sandbox

COINS = "BTC,ETH,SOL,XRP,ADA,DOGE"
START, END = date(2026, 7, 1), date(2026, 9, 30)
LAST_MONTH = date(2026, 9, 1)
NOW = datetime(2026, 10, 1, 12, tzinfo=timezone.utc)  # of the market; its feeds show the 60 days before it
SEED = 7
MARKET = ("prices", "ohlc", "onchain_base", "ml_features")
NEWS = (
    "news_articles", "article_narratives", "news_events", "narratives", "event_reactions", "theme_trends", "theme_digests",
)  # fmt: skip
MODELS = ("trained_models", "predictions", "signals")


def fill(home: Path) -> None:
    """Fill an empty home with three months of six coins, and of the last month the news and the models.

    Args:
        home: the home folder; the other variables of the environment stay as they are.

    Raises:
        CalledProcessError: a table could not be filled; the command's last line says why.
    """
    with Sandbox(seed=SEED, now=NOW) as sandbox:
        environment = {**os.environ, **sandbox.env(), **settings(home)}
        for tables, start in ((MARKET, START), ((*NEWS, *MODELS), LAST_MONTH)):
            selection = " or ".join(f'key:"{table}"' for table in tables)
            command = ["backfill", "--start", str(start), "--end", str(END), "--select", selection]
            called = [sys.executable, "-m", "crypto_assets.cli.main", *command]
            subprocess.run(called, env=environment, stdout=subprocess.DEVNULL, check=True)


def settings(home: Path) -> dict[str, str]:
    """Return the variables under which commands see this home as it was filled."""
    return {
        "CRYPTO_ASSETS_HOME": str(home),
        "CRYPTO_ASSETS_COINS": COINS,
        "CRYPTO_ASSETS_START": START.isoformat(),
    }
