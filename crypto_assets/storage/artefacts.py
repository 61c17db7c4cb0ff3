"""Files of trained models below the warehouse's root: a folder, or an object store.

A file is named by what it holds and is never changed, so two writers of one model write the same file.
"""

from __future__ import annotations

import os
from pathlib import Path

from crypto_assets.errors import WarehouseError, free_space_note
from crypto_assets.storage.files import table_files
from crypto_assets.storage.object_store import reason
from crypto_assets.storage.warehouse import Warehouse

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
        with table_files(warehouse, FOLDER).open_output_stream(_inside(place)) as stream:
            stream.write(text.encode())  # the store shows a file when its stream is closed, as a whole
    except OSError as error:
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
        with table_files(warehouse, FOLDER).open_input_stream(_inside(place)) as stream:
            return str(stream.read().decode())
    except FileNotFoundError as error:
        raise WarehouseError(
            f"model {place} is missing from {warehouse.uri}: restore it from a backup, or train the month again with "
            "crypto-assets train"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise WarehouseError(
            f"model {place} in {warehouse.uri} cannot be read ({reason(error)}): check the rights, or train the month "
            "again with crypto-assets train"
        ) from error


def _inside(place: str) -> str:
    """Return the path below the models' folder."""
    return place.removeprefix(f"{FOLDER}/")
