"""A warehouse of its own, and rows in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import CONTRACTS


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.setenv("CRYPTO_ASSETS_HOME", str(tmp_path))
    return Warehouse(str(tmp_path / "warehouse"))


@pytest.fixture
def put(warehouse: Warehouse) -> Callable[..., None]:
    """Writes one row of a table; what is not named is null, the source is 'test'."""

    def write(table: str, **values: object) -> None:
        contract: Contract = CONTRACTS[table]
        cells = {n: [values.get(n, "test" if n == "source" else None)] for n in contract.names}
        frame = pl.DataFrame(cells, schema=contract.polars_schema)
        stored = warehouse.read(contract, start=frame["date"][0], end=frame["date"][0])
        kept = stored.join(frame, on=list(contract.key), how="anti")
        warehouse.write(contract, pl.concat([kept, frame]), [frame["date"][0]])

    return write
