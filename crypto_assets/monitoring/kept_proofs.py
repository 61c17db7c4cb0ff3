"""Proofs about a training, kept beside the page until something that they rest on changes.

A proof of stored rows gives the same answer as long as the rows, the training and the code are the same. The page is made
every morning, a training once a month: so the proofs are carried out when one of the three has changed, and else read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

import crypto_assets
from crypto_assets.monitoring import whole_file
from crypto_assets.storage.warehouse import Warehouse

LIBRARIES = ("numpy", "polars")  # that compute the proofs


@dataclass(frozen=True)
class Proof:
    """One proof.

    Attributes:
        name: of ``model_proofs.NAMES``.
        holds: None where it cannot be carried out.
        sentence: what was found, in one sentence.
        numbers: figures for the UI.
        carried_out_at: the instant, UTC, ISO 8601, of one that is kept; else None.
    """

    name: str
    holds: bool | None
    sentence: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    carried_out_at: str | None = None


def kept(path: Path, key: str, now: datetime, carry_out: Callable[[], Iterable[Proof]]) -> tuple[Proof, ...]:
    """Return the proofs that were carried out under this key, or carry them out and keep them.

    Args:
        path: the file that keeps them; one that cannot be read counts as none.
        key: of everything that the proofs rest on (:func:`key_of`).
        now: the instant, UTC.
        carry_out: makes the proofs.

    Returns:
        The proofs, with the instant at which they were carried out.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return tuple(Proof(**one) for one in stored["proofs"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none, or it was cut off or made by another version
    made = tuple(replace(one, carried_out_at=now.isoformat()) for one in carry_out())
    whole_file.write(path, json.dumps({"key": key, "proofs": [asdict(one) for one in made]}))
    return made


def key_of(warehouse: Warehouse, training: Mapping[str, Any], ranges: Mapping[str, tuple[date, date]]) -> str:
    """Return a digest of the data files of some days, a training and the code that is installed.

    A data file never changes: rows that change are written to a new one.

    Args:
        warehouse: the tables.
        training: a row of ``trained_models``.
        ranges: table -> first and last day whose rows are read.

    Raises:
        WarehouseError: a table cannot be read.
    """
    digest = hashlib.sha256(_code().encode())
    digest.update(json.dumps(training, sort_keys=True, default=str).encode())
    for table, days in sorted(ranges.items()):
        files = warehouse.files(table).filter(pl.col("day").is_between(*days)).sort("path")
        digest.update(json.dumps([table, files.select("path", "rows", "bytes").rows()]).encode())
    return digest.hexdigest()


@cache
def _code() -> str:
    digest = hashlib.sha256(" ".join(version(name) for name in LIBRARIES).encode())
    root = Path(crypto_assets.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
