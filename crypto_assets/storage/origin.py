"""Whether a table holds the rows of real providers or those of a sandbox: never both.

Rows of providers decide: a sandbox's name starts with ``sandbox``. What is derived from them, and the platform's own
records, follow their inputs. Read from the statistics in the commit log, so that no data file is opened.
"""

from __future__ import annotations

import polars as pl
from deltalake import DeltaTable

from crypto_assets.tables.derived_source import DERIVED, SANDBOX_DERIVED, SANDBOX_PREFIX

SANDBOX, LIVE = "sandbox", "live"
FOLLOWS = (DERIVED, SANDBOX_DERIVED, "platform")  # sources that say nothing about whom the platform asked


def of_rows(data: pl.DataFrame) -> dict[str, str]:
    """Find the origins of rows.

    Args:
        data: rows of any table.

    Returns:
        ``sandbox`` and/or ``live`` -> one of the sources that say so; empty where no row comes from a provider.
    """
    if "source" not in data.columns:
        return {}
    return _origins(data["source"].unique().sort().to_list())


def of_table(snapshot: DeltaTable | None) -> dict[str, str]:
    """Find the origins of a table's rows, as :func:`of_rows` does.

    Args:
        snapshot: the table; None where it does not exist.
    """
    if snapshot is None:
        return {}
    files = pl.DataFrame(snapshot.get_add_actions(flatten=True))
    bounds = [files[name] for name in ("min.source", "max.source") if name in files.columns]
    return _origins(sorted({str(one) for bound in bounds for one in bound.drop_nulls().unique()}))


def _origins(sources: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in sources:
        if source not in FOLLOWS:
            found.setdefault(SANDBOX if source.startswith(SANDBOX_PREFIX) else LIVE, source)
    return found
