"""Files of trained models below the warehouse's root: a folder, or an object store.

A file is named by what it holds and is never changed, so two writers of one model write the same file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from crypto_assets.errors import WarehouseError, free_space_note
from crypto_assets.lazy import lazy
from crypto_assets.storage.object_store import options, reason
from crypto_assets.storage.warehouse import Warehouse

if TYPE_CHECKING:
    import deltalake.fs as delta_fs
    import pyarrow.fs as arrow_fs
else:
    delta_fs = lazy("deltalake.fs")
    arrow_fs = lazy("pyarrow.fs")

FOLDER = "_models"


def place_of(model_id: str) -> str:
    """Return the place of a model below the root."""
    return f"{FOLDER}/{model_id}.json"


def write(warehouse: Warehouse, place: str, text: str) -> None:
    """Write a file whole or not at all.

    Args:
        warehouse: the root.
        place: below the root.
        text: of the file.

    Raises:
        WarehouseError: it cannot be written.
    """
    try:
        if warehouse.is_local:
            path = Path(warehouse.uri) / place
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
            draft.write_text(text, encoding="utf-8")
            draft.replace(path)
            return
        with _store(warehouse).open_output_stream(place) as stream:
            stream.write(text.encode())
    except (DeltaError, OSError) as error:
        space = free_space_note(error, warehouse.uri) if warehouse.is_local else ""
        raise WarehouseError(
            f"model {place} cannot be written to {warehouse.uri} ({reason(error)}){space}; nothing was registered; check "
            "the rights and the space"
        ) from error


def read(warehouse: Warehouse, place: str) -> str:
    """Read a file.

    Args:
        warehouse: the root.
        place: below the root.

    Raises:
        WarehouseError: it is missing or cannot be read.
    """
    try:
        if warehouse.is_local:
            return (Path(warehouse.uri) / place).read_text(encoding="utf-8")
        with _store(warehouse).open_input_stream(place) as stream:
            return str(stream.read().decode())
    except FileNotFoundError as error:
        raise WarehouseError(
            f"model {place} is missing from {warehouse.uri}: restore it from a backup, or train the month again with "
            "crypto-assets train"
        ) from error
    except (DeltaError, OSError, UnicodeDecodeError) as error:
        raise WarehouseError(
            f"model {place} in {warehouse.uri} cannot be read ({reason(error)}): check the rights, or train the month "
            "again with crypto-assets train"
        ) from error


def _store(warehouse: Warehouse) -> arrow_fs.PyFileSystem:
    return arrow_fs.PyFileSystem(delta_fs.DeltaStorageHandler(warehouse.uri, options(warehouse.uri)))
