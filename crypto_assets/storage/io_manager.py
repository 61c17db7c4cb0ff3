"""The IO manager: write the days of a run in one commit, and read inputs by partition, range or look-back window."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl

from crypto_assets.dagster_internals.core import add_by_partition
from crypto_assets.errors import ContractError
from crypto_assets.storage.warehouse import DayReport, Warehouse, now
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import CONTRACTS

# Metadata key: when a materialisation began to read its inputs (see automation/staleness.py).
INPUTS_READ_AT = "inputs_read_at"
# Metadata key of an input: days that it is read back from the first requested day (see assets/shell.py).
LOOK_BACK_DAYS = "look_back_days"


class DeltaIOManager(dg.IOManager):
    """Writes an asset's frame to its table, and loads upstream frames as the type that the annotation asks for.

    ``open_warehouse`` is called for every use, so that the address is read when a run needs it and not at import.
    """

    def __init__(self, open_warehouse: Callable[[], Warehouse]) -> None:
        self._open = open_warehouse
        self._read_at: dict[tuple[str, str], float] = {}

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the asset's frame to the partitions of the run in one commit, and report each day's own numbers.

        Args:
            context: names the asset and its partitions.
            obj: a pandas or Polars frame.

        Raises:
            ContractError: the asset did not return a frame, or its rows break the contract; nothing was written.
            WarehouseError: the table cannot be written.
        """
        contract = _contract(context.asset_key)
        if not isinstance(obj, pd.DataFrame | pl.DataFrame):
            raise ContractError(
                f"{contract.table}: the asset gave {type(obj).__name__}, not a frame; nothing was written; "
                "return a pandas or Polars frame"
            )
        report = self._open().write(contract, obj, [date.fromisoformat(key) for key in context.asset_partition_keys])
        of_the_run: dict[str, Any] = {"delta_version": report.version}
        moment = self._read_at.pop((context.run_id, context.step_key), None)
        if moment is not None:
            of_the_run[INPUTS_READ_AT] = dg.MetadataValue.timestamp(moment)
        days = {day.isoformat(): {**_shown(numbers), **of_the_run} for day, numbers in report.by_day.items()}
        add_by_partition(context.step_context, context.asset_key, days)

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | pl.DataFrame | pl.LazyFrame:
        """Read the rows of the upstream partitions.

        Args:
            context: names the upstream asset, its partitions, the annotated type and (in the definition's metadata) the
                columns.

        Returns:
            A pandas, Polars or lazy Polars frame, as annotated; without partitions the whole table.

        Raises:
            WarehouseError: the table cannot be read.
        """
        # File times are cut to milliseconds, and a write in the same millisecond must count as later than this read.
        step = context.step_context
        self._read_at.setdefault((step.run_id, step.step.key), now() - 0.002)
        contract = _contract(context.asset_key)
        keys = context.asset_partition_keys if context.has_asset_partitions else []
        said = context.definition_metadata or {}
        columns = said.get("columns")
        start: date | None = None
        end: date | None = None
        if keys:
            start, end = date.fromisoformat(min(keys)), date.fromisoformat(max(keys))
            if (
                LOOK_BACK_DAYS in said
            ):  # stored days before the first partition count as well: values do not depend on it
                first = date.fromisoformat(step.partition_key_range.start)
                start = first - timedelta(days=int(said[LOOK_BACK_DAYS]))
        wanted = context.dagster_type.typing_type
        if wanted is pl.LazyFrame:  # for large windows: the asset chooses columns and days before anything is read
            return self._open().scan(contract, start=start, end=end, columns=columns)
        frame = self._open().read(contract, start=start, end=end, columns=columns)
        return frame if wanted is pl.DataFrame else to_pandas(frame)


def _shown(day: DayReport) -> dict[str, Any]:
    """A day's numbers as metadata; times as the UI's times, in the reader's own time zone."""
    times = {"first": day.first, "last": day.last, "newest_available_at": day.available_at}
    return {
        "dagster/row_count": day.rows,
        "bytes": day.bytes,
        "changed": day.changed,
        **{name: dg.MetadataValue.timestamp(moment) for name, moment in times.items() if moment is not None},
        "null_shares": dg.MetadataValue.json(dict(day.null_shares)),
    }


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Convert a frame to pandas.

    Args:
        frame: the Polars frame.

    Returns:
        The frame, with UTC timestamps in microseconds, days as ``datetime.date``, and lists as Python lists.
    """
    data = frame.to_pandas(use_pyarrow_extension_array=False)
    for name, kind in frame.schema.items():
        if kind == pl.Date or isinstance(kind, pl.List):
            data[name] = pd.Series(frame[name].to_list(), dtype=object)
    return data


def _contract(key: dg.AssetKey) -> Contract:
    table = key.to_user_string()
    if table not in CONTRACTS:
        raise ContractError(f"asset {table} has no contract; add its TableSpec to crypto_assets/tables/")
    return CONTRACTS[table]
