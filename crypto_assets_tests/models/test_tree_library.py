"""Stored trees are scored without LightGBM's package, as it scores them; its absence is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crypto_assets.errors import ModelError
from crypto_assets.models.tree_library import CONTRIBUTIONS, PREDICTED, Trees

ASK = (
    "import sys\n"
    "from crypto_assets.errors import ModelError\n"
    "from crypto_assets.models.tree_library import library\n"
    "try: library()\n"
    "except ModelError as error: print(error)\n"
    "print(sorted({'lightgbm', 'scipy', 'sklearn'} & set(sys.modules)))\n"
)
MISSING = "libgomp.so.1: cannot open shared object file: No such file or directory"


def asked(*first: Path) -> list[str]:
    """What a new process says, with these folders before all others."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, first))}
    done = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_library_that_works_is_found_without_its_package() -> None:
    assert asked() == ["[]"]


@pytest.mark.parametrize("where", ["__init__.py", "libpath.py"])
def test_a_library_that_cannot_be_loaded_is_named_with_what_to_install(tmp_path: Path, where: str) -> None:
    """As the package of today fails, and as one fails that loads its library elsewhere."""
    package = tmp_path / "lightgbm"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / where).write_text(f"raise OSError({MISSING!r})\n")
    said, imported = asked(tmp_path)
    assert MISSING in said and "libgomp1 on Debian" in said and imported == "[]"


@pytest.mark.parametrize(
    "objective", [{"objective": "regression"}, {"objective": "multiclass", "num_class": 3}], ids=["ranks", "barriers"]
)
def test_scores_are_to_the_bit_those_of_the_package(objective: dict[str, object]) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    draw = np.random.default_rng(7)
    matrix = draw.normal(size=(500, 6)).astype(np.float32)
    matrix[matrix > 1.5] = np.nan
    target = draw.integers(0, 3, size=500)
    options = {**objective, "num_leaves": 7, "verbosity": -1, "num_threads": 1, "seed": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(matrix, target), num_boost_round=5)
    with Trees(booster.model_to_string()) as trees:
        for rows in (matrix, np.asfortranarray(matrix), matrix[:1]):
            assert np.array_equal(trees.predict(rows, PREDICTED, 2), booster.predict(rows))
            assert np.array_equal(trees.predict(rows, CONTRIBUTIONS, 1), booster.predict(rows, pred_contrib=True))
        with pytest.raises(ModelError, match="train the model again"):
            trees.predict(matrix[:, :3], PREDICTED, 1)


def test_a_text_that_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match="train the model again"):
        Trees("tree\nnonsense\n")
