"""crypto_assets: crypto market data as a Dagster asset graph.

Data enters as HTTP responses and goes one way: source -> asset -> table -> features -> reader. Start reading at
:mod:`crypto_assets.definitions`, which collects the whole graph. Every package says in its ``__init__`` what belongs there.
Beside the packages are only the modules that all of them share: settings, errors, dates, proxies.

A notebook begins with :func:`open`, which loads no Dagster::

    import crypto_assets as ca

    store = ca.open()
    store.catalog()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from crypto_assets.store.store import Store

__version__ = "0.1.0"
__all__ = ["open"]


def open(home: str | Path | None = None, *, warehouse: str | Path | None = None) -> Store:
    """Open the tables of a home, or of a warehouse elsewhere, for reading.

    Args:
        home: the home folder; None for ``CRYPTO_ASSETS_HOME``, else ``./.crypto_assets``.
        warehouse: a folder or ``s3://`` address; None for ``CRYPTO_ASSETS_WAREHOUSE``, else the home's own.

    Returns:
        The store, with ``catalog()``, ``table(name)``, ``features()``, ``historical_features()``, ``latest()``, ``dataset()``,
        ``sql()``.

    Raises:
        UsageError: the environment has an invalid value, or the address is none.
        WarehouseError: there is no warehouse.
    """
    from crypto_assets.store.store import open_store  # every command imports this package, and few read tables

    return open_store(home, warehouse=warehouse)
