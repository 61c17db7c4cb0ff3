"""Thin shells: read inputs, call a source or a transform, attach metadata.

What does not belong here: parsing, formulas, SQL. If a body needs more than a dozen lines, the logic wants a pure home.
"""

import warnings
from types import ModuleType

import dagster as dg

# Backfill policies and open look-backs are "beta" in the version range that setup.py pins, and partitions of checks are
# "preview"; tests hold them to their promise, so that a user need not read about it at every start.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
# A job takes the smallest of its assets' chunks: what we want.
warnings.filterwarnings("ignore", message=".*varying BackfillPolicies.*")


def duties() -> list[ModuleType]:
    """The modules of this room that have assets."""
    from crypto_assets.assets import context, derived, ml, news, onchain, operations, prices

    return [prices, onchain, context, news, ml, operations, derived]
