"""The same storage tests against a folder and against an object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crypto_assets_tests.object_store import ObjectStore

Place = Callable[[str], str]  # a name -> the address of an empty warehouse


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    with ObjectStore() as store:
        yield store


@pytest.fixture
def bucket(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, and the environment that leads to it."""
    for name, value in object_store.env.items():
        monkeypatch.setenv(name, value)
    return object_store.bucket()


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    root = str(tmp_path) if request.param == "folder" else request.getfixturevalue("bucket")
    return lambda name: f"{root}/{name}"
