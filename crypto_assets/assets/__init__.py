"""The Dagster assets: each reads its inputs, calls a source or a transform, and attaches metadata.

What does not belong here: parsing, formulas, SQL. Logic of more than a few lines belongs in ``sources/``, ``transforms/``,
``narratives/`` or ``features/``, where it can be tested without Dagster.
"""

import warnings
from types import ModuleType

import dagster as dg

# Backfill policies and look-backs before the first partition are "beta" in the versions that setup.py allows, partitions of
# checks are "preview". Tests cover them, so users need no warning at every start.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
# A job uses the smallest chunk of its assets, which is intended.
warnings.filterwarnings("ignore", message=".*varying BackfillPolicies.*")


def dagster_modules() -> list[ModuleType]:
    """Return the modules of this package that define assets."""
    from crypto_assets.assets import (
        context,
        derivatives,
        derived,
        macro,
        ml,
        models,
        news,
        onchain,
        operations,
        prices,
        social,
        universe,
    )

    return [prices, universe, derivatives, onchain, context, macro, news, social, ml, models, operations, derived]
