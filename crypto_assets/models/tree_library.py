"""Scores of stored trees from LightGBM's shared library, without its Python package.

The package imports scikit-learn, pandas and SciPy, which takes as long as all else that a run of predictions does. Scoring
needs four functions of the C API (https://lightgbm.readthedocs.io/en/latest/C-API.html), which are the same in all versions
since 2. Training uses the package.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crypto_assets.errors import ModelError

PREDICTED, CONTRIBUTIONS = 0, 3  # C_API_PREDICT_NORMAL, C_API_PREDICT_CONTRIB
_FLOAT32, _ROW_MAJOR, _ALL_TREES = 0, 1, -1
_MOST_ROWS = 2**31 - 1


@cache
def library() -> ctypes.CDLL:
    """Load the shared library.

    Raises:
        ModelError: LightGBM is not installed, or the system lacks the OpenMP library that it needs.
    """
    try:
        package = importlib.util.find_spec("lightgbm")
        loader = None if package is None or package.origin is None else Path(package.origin).with_name("libpath.py")
        if loader is not None and loader.exists():
            loaded: ctypes.CDLL = runpy.run_path(str(loader))["_LIB"]
        else:
            loaded = importlib.import_module("lightgbm.basic")._LIB
    except (ImportError, OSError) as error:
        raise not_here(error) from error
    loaded.LGBM_GetLastError.restype = ctypes.c_char_p
    return loaded


def not_here(error: Exception) -> ModelError:
    """Return the failure to load LightGBM, with what to do."""
    if isinstance(error, ImportError):
        return ModelError(f"LightGBM is not installed ({error}): install the package again; ridge works without")
    return ModelError(
        f"LightGBM cannot be loaded ({error}): install the system's OpenMP library (libgomp1 on Debian); ridge works "
        "without it"
    )


class Trees:
    """Trees that were stored as text; use it as a context manager."""

    def __init__(self, text: str) -> None:
        """Read the trees.

        Args:
            text: in LightGBM's own format.

        Raises:
            ModelError: LightGBM cannot be loaded, or does not understand the text.
        """
        self._handle, rounds = ctypes.c_void_p(), ctypes.c_int()
        _call("LGBM_BoosterLoadModelFromString", text.encode(), ctypes.byref(rounds), ctypes.byref(self._handle))

    def __enter__(self) -> Trees:
        return self

    def __exit__(self, *_: object) -> None:
        _call("LGBM_BoosterFree", self._handle)

    def predict(self, matrix: NDArray[np.float32], kind: int, threads: int) -> NDArray[np.float64]:
        """Score rows.

        Args:
            matrix: rows x features, NaN where unknown; as many features as the trees were trained on.
            kind: ``PREDICTED`` or ``CONTRIBUTIONS``.
            threads: number of threads; the result does not depend on it.

        Returns:
            One value a row; where the trees give several (classes, contributions) rows x values.

        Raises:
            ModelError: the features are another number, or the rows are too many for one call.
        """
        if len(matrix) > _MOST_ROWS:
            raise ModelError(f"{len(matrix)} rows are too many for one call of LightGBM: score fewer days at a time")
        rows, features = matrix.shape
        data = np.ascontiguousarray(matrix, dtype=np.float32)
        count, written = ctypes.c_int64(), ctypes.c_int64()
        _call("LGBM_BoosterCalcNumPredict", self._handle, rows, kind, 0, _ALL_TREES, ctypes.byref(count))
        found = np.empty(count.value, dtype=np.float64)
        _call(
            "LGBM_BoosterPredictForMat", self._handle, data.ctypes.data_as(ctypes.c_void_p), _FLOAT32,
            ctypes.c_int32(rows), ctypes.c_int32(features), _ROW_MAJOR, kind, 0, _ALL_TREES,
            f"num_threads={threads}".encode(), ctypes.byref(written), found.ctypes.data_as(ctypes.c_void_p),
        )  # fmt: skip
        return found if count.value == rows else found.reshape(rows, -1)


def _call(name: str, *given: Any) -> None:
    if getattr(library(), name)(*given):
        reason = library().LGBM_GetLastError().decode(errors="replace")
        raise ModelError(f"LightGBM's {name} failed ({reason}): train the model again with the installed version")
