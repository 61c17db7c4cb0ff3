"""Metadata of single partitions in a run over a range: Dagster joins it to the event of each partition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import AssetKey
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator
from dagster._core.execution.context.system import StepExecutionContext


def add_by_partition(step: StepExecutionContext, asset_key: AssetKey, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Add metadata to the materialisations of single partitions.

    It does what ``add_asset_metadata(..., partition_key=...)`` does, for all partitions at once. That method lists the
    run's partitions and copies all metadata at each call: seconds for a run over a year.

    Args:
        step: the step that materialises the asset.
        asset_key: the asset.
        found: partition key -> metadata. It stands before what earlier calls added, and wins where names are equal.
    """
    known = dict(step._metadata_accumulator.per_output_metadata)
    for partition, metadata in found.items():
        handle = AssetMetadataHandle(asset_key=asset_key, partition_key=partition)
        known[handle] = {
            **metadata,
            **{name: value for name, value in known.get(handle, {}).items() if name not in metadata},
        }
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=known)
