"""The installation: its script, its lock files, and what travels in the wheel."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "install"


def script(name: str) -> ModuleType:
    """A script of ``install/``, which is no package; skips where the checkout is not there."""
    path = FOLDER / f"{name}.py"
    if not path.exists():
        pytest.skip("an installed package has no install folder")
    spec = importlib.util.spec_from_file_location(f"install_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
