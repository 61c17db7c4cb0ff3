"""The files of a folder below the warehouse's root, by Arrow's file systems: in a folder, or in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crypto_assets.lazy import lazy
from crypto_assets.storage.object_store import options
from crypto_assets.storage.warehouse import Warehouse

if TYPE_CHECKING:
    import pyarrow.fs as arrow_fs
else:
    arrow_fs = lazy("pyarrow.fs")


def table_files(warehouse: Warehouse, table: str, *, make: bool = True) -> arrow_fs.SubTreeFileSystem:
    """Open the folder of a table, or of the models, as a file system of its own.

    Args:
        warehouse: where it is.
        table: the name of the table or folder.
        make: whether to make a folder that does not exist.

    Returns:
        The file system; its paths are relative to the folder.

    Raises:
        OSError: the place cannot be reached.
    """
    if warehouse.is_local:
        folder = Path(warehouse.path(table))
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        return arrow_fs.SubTreeFileSystem(str(folder), arrow_fs.LocalFileSystem())
    found = options(warehouse.uri)
    endpoint = urlsplit(found["aws_endpoint_url"]) if "aws_endpoint_url" in found else None
    where = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint else {}
    store = arrow_fs.S3FileSystem(region=found["aws_region"], connect_timeout=5, request_timeout=60, **where)
    return arrow_fs.SubTreeFileSystem(warehouse.path(table).split("://", 1)[1].rstrip("/"), store)
