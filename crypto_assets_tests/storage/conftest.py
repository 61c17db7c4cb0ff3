"""The same storage tests against a folder and against an object store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Place = Callable[[str], str]  # a name -> the address of an empty warehouse


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    root = str(tmp_path) if request.param == "folder" else request.getfixturevalue("bucket")
    return lambda name: f"{root}/{name}"
