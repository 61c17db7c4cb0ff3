"""Column lineage: what each derived column is made from, as Dagster has it."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from crypto_assets.assets.derived import BY_NAME
from crypto_assets.assets.shell import DAILY, LINEAGE
from crypto_assets.definitions import build_defs, defs
from crypto_assets.features.all_features import DERIVED, FEATURES
from crypto_assets.features.feature import column_of, table_of
from crypto_assets.storage.io_manager import DeltaIOManager
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import CONTRACTS, look_back

SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def lineage(table: str) -> dict[str, set[tuple[str, str]]]:
    """Column -> (table, column) that it is made from."""
    found = SPECS[table].metadata[LINEAGE].deps_by_column
    return {name: {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps} for name, deps in found.items()}


@pytest.mark.parametrize("table", look_back())
def test_every_column_named_is_one_of_an_input(table: str) -> None:
    found = lineage(table)
    assert found.keys() <= CONTRACTS[table].by_name.keys()
    for column, origins in found.items():
        assert origins, column
        for origin, name in origins:
            assert origin in look_back()[table], column
            assert name in CONTRACTS[origin].by_name, column


@pytest.mark.parametrize("table", look_back())
def test_every_input_is_named_by_some_column(table: str) -> None:
    assert {origin for origins in lineage(table).values() for origin, _ in origins} == set(look_back()[table])


def test_a_feature_points_to_what_its_definition_names() -> None:
    found = lineage("ml_features")
    for name, feature in FEATURES.items():
        assert found.get(name, set()) == {(table_of(origin), column_of(origin)) for origin in feature.inputs}
    assert found["return_24h"] == {("prices", "price_usd")}


def test_an_enhanced_column_points_to_its_base_columns() -> None:
    found = lineage("onchain_enhanced")
    for column in DERIVED:
        assert found[column.name] == {("onchain_base", name) for name in column.inputs}


def test_the_last_day_of_a_run_carries_it(tmp_path: Path) -> None:
    """Dagster's lineage tab reads the newest materialisation; a year's days would carry the same a year over."""
    warehouse = Warehouse(str(tmp_path))
    first, last = date(2026, 1, 1), date(2026, 1, 3)
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
    rows = [
        {"symbol": "BTC", "date": first + timedelta(n), "available_at": noon + timedelta(n + 1), "source": "test",
         "market_cap_usd": 10.0, "transfer_volume_usd": 2.0}
        for n in range(3)
    ]  # fmt: skip
    warehouse.write(CONTRACTS["onchain_base"], pd.DataFrame(rows), [first + timedelta(n) for n in range(3)])
    base = dg.AssetSpec("onchain_base", partitions_def=DAILY)
    manager = DeltaIOManager(lambda: warehouse)
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
        resources = {"io_manager": manager, "providers": build_defs().resources["providers"]}
        assert dg.materialize(
            [base, BY_NAME["onchain_enhanced"]], instance=instance, resources=resources, tags=tags
        ).success
        records = instance.fetch_materializations(dg.AssetKey("onchain_enhanced"), limit=10).records
    carried = {record.partition_key: LINEAGE in record.asset_materialization.metadata for record in records}
    assert carried == {"2026-01-01": False, "2026-01-02": False, "2026-01-03": True}
    assert records[0].partition_key == "2026-01-03", "the newest is the one that the tab reads"
    assert warehouse.read("onchain_enhanced")["nvt_ratio"].to_list() == [5.0] * 3
