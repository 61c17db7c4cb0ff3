"""A trained model as text, and the ids that name exactly it.

``model_id`` is the hash of what a model follows from: configuration, version of this code, features, and the content of
the training rows. Delta versions are noted beside it only, because they depend on how a table was written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from crypto_assets.errors import ModelError
from crypto_assets.models import learners, preparation
from crypto_assets.models.config import ModelConfig, digest
from crypto_assets.models.learners import Learner
from crypto_assets.models.preparation import Matrix

FORMATS = (1, 2)  # of the artefact: 2 names features that are read as they are; a reader refuses others
BLOCK = 65_536  # rows
CODE_VERSION = "1"  # raise it when the same rows and configuration give another model


@dataclass(frozen=True)
class Artefact:
    """A trained model with what its use needs.

    Attributes:
        model_id: hash of configuration, code version, features and training rows.
        kind: of the learner.
        features: columns of its matrix, in order.
        trained_until: newest ``label_available_at`` among the training rows, ISO 8601 UTC.
        learner: the fitted model.
        shared: features that are read as they are, because all coins of an hour share them.
    """

    model_id: str
    kind: str
    features: tuple[str, ...]
    trained_until: str
    learner: Learner
    shared: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the artefact as JSON, the same for the same model."""
        stored = {
            "format": FORMATS[bool(self.shared)],
            "model_id": self.model_id,
            "kind": self.kind,
            "features": list(self.features),
            "trained_until": self.trained_until,
            "learner": self.learner.to_json(),
        }
        if self.shared:
            stored["shared"] = list(self.shared)
        return json.dumps(stored, sort_keys=True, indent=1)

    @property
    def sha256(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def matrix(self, rows: pl.DataFrame) -> Matrix:
        """Return the features of rows as the learner reads them.

        Args:
            rows: ts and the features, all coins of each hour.
        """
        return preparation.as_read(rows, self.features, self.shared)


def read(text: str, sha256: str) -> Artefact:
    """Read an artefact that was stored.

    Args:
        text: as ``Artefact.text`` gave it.
        sha256: as it was registered.

    Raises:
        ModelError: the text was altered or is of another format.
    """
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != sha256:
        raise ModelError(
            f"the model's file has SHA-256 {found[:12]} and was registered with {sha256[:12]}: it was altered; train the "
            "month again"
        )
    stored: dict[str, Any] = json.loads(text)
    if stored.get("format") not in FORMATS:
        raise ModelError(
            f"the model's file has format {stored.get('format')} and this version reads "
            f"{' and '.join(map(str, FORMATS))}: train the month again"
        )
    return Artefact(
        stored["model_id"],
        stored["kind"],
        tuple(stored["features"]),
        stored["trained_until"],
        learners.read(stored["kind"], stored["learner"]),
        tuple(stored.get("shared", ())),
    )


def model_id(config: ModelConfig, features: Sequence[str], rows_hash: str) -> str:
    """Return the id of a model: the hash of all that it follows from."""
    return digest(
        {"config": config.digest, "code": CODE_VERSION, "features": list(features), "rows": rows_hash},
    )


def content_hash(symbols: pl.Series, instants: pl.Series, matrix: Matrix, returns: np.ndarray) -> str:
    """Return the SHA-256 of training rows by content, in their order: keys, features as trained on, labels.

    All NaN are one NaN, and -0 is 0, so that the hash depends on values only.
    """
    found = hashlib.sha256()
    found.update("\n".join(symbols.to_list()).encode())
    found.update(instants.dt.epoch("us").to_numpy().tobytes())
    for start in range(0, len(matrix), BLOCK):  # a copy of a block at a time
        block = matrix[start : start + BLOCK]
        clean = np.where(np.isnan(block), np.float32("nan"), block + np.float32(0))
        found.update(np.ascontiguousarray(clean, dtype=np.float32).tobytes())
    found.update(np.ascontiguousarray(returns + 0.0, dtype=np.float64).tobytes())
    return found.hexdigest()
