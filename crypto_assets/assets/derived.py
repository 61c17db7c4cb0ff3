"""Assets of derived tables whose spec names a transform. They need no code of their own.

The spec has the inputs and their look-back. The annotations of the transform decide whether it gets pandas or Polars.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, get_type_hints

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets.assets import shell
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.spec import DerivedFrom, TableSpec


def transform_of(spec: TableSpec) -> Callable[..., Any] | None:
    """Import the function that a spec names.

    Args:
        spec: The spec of the table.

    Returns:
        The function; None where the asset of the table has code of its own.

    Raises:
        TypeError: There is no such function, or it does not take the inputs, ``start`` and ``end``.
    """
    rows = spec.rows_from
    if not isinstance(rows, DerivedFrom) or rows.transform is None:
        return None
    module, _, name = rows.transform.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise TypeError(
            f"{spec.table}: rows_from.transform of its TableSpec names {rows.transform}: {error}"
        ) from error
    wanted = {*rows.inputs, "start", "end"}
    hints = get_type_hints(found)
    frames = {hints.get(table) for table in rows.inputs}
    if wanted - set(hints) or not frames <= {pd.DataFrame, pl.DataFrame}:
        raise TypeError(
            f"{spec.table}: {rows.transform} must take {', '.join(sorted(wanted))}, each input annotated as a pandas or a "
            "Polars DataFrame"
        )
    return found


def asset_of(spec: TableSpec) -> dg.AssetsDefinition:
    """Build the asset of a derived table.

    Args:
        spec: A spec that names a transform.

    Returns:
        The asset.

    Raises:
        TypeError: See :func:`transform_of`.
    """
    transform = transform_of(spec)
    assert transform is not None
    hints = get_type_hints(transform)
    inputs = {
        name: given._replace(dagster_type=TYPES[hints[name]]) for name, given in shell.inputs_of(spec.table).items()
    }

    @dg.asset(**shell.asset_kwargs(spec.table), ins=inputs)
    def derive(context: dg.AssetExecutionContext, **frames: Any) -> Any:
        start, end = shell.days_of(context)
        shell.show_lineage(context)
        return shell.with_worst(spec.table, transform(**frames, start=start, end=end), frames)

    return derive


# Both classes are called DataFrame, and two types of one name cannot be in one graph.
TYPES = {
    pd.DataFrame: dg.PythonObjectDagsterType(pd.DataFrame, name="PandasDataFrame"),
    pl.DataFrame: dg.PythonObjectDagsterType(pl.DataFrame, name="PolarsDataFrame"),
}


def polars_inputs(table: str) -> dict[str, dg.AssetIn]:
    """Return the inputs of a table whose asset has code of its own and takes Polars frames."""
    return {name: given._replace(dagster_type=TYPES[pl.DataFrame]) for name, given in shell.inputs_of(table).items()}


BY_NAME = {name: asset_of(spec) for name, spec in TABLES.items() if transform_of(spec) is not None}
ASSETS = list(BY_NAME.values())
