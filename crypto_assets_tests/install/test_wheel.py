"""The wheel and the sdist: everything that the package reads travels inside, and works in an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from crypto_assets_tests.install import FOLDER

ROOT = FOLDER.parent
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "dagster.yaml", "workspace.yaml")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built from a copy of the sources."""
    if not (ROOT / "MANIFEST.in").exists():
        pytest.skip("an installed package has no sources to build from")
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        shutil.copy2(ROOT / name, copy / name)
    for name in ("crypto_assets", "install"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("dist")
    for build in ("build_wheel", "build_sdist"):  # the build backend's own interface (PEP 517)
        code = f"from setuptools import build_meta; build_meta.{build}({str(out)!r})"
        done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def package_files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in (folder / "crypto_assets").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(site: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=where, env={**env, "PYTHONPATH": str(site)}, capture_output=True, text=True
    )


def test_the_wheel_holds_every_file_of_the_package(unpacked: Path) -> None:
    assert package_files(unpacked) == package_files(ROOT)
    for name in ("dagster.yaml", "workspace.yaml"):
        inside = unpacked / "crypto_assets" / "runtime" / name
        assert inside.read_text(encoding="utf-8") == (ROOT / name).read_text(encoding="utf-8")


def test_the_sdist_holds_what_building_needs(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        members = {member.name.partition("/")[2]: member for member in sdist.getmembers()}
    assert set(SOURCES) | package_files(ROOT) | {"install/requirements.txt"} <= set(members)
    assert all(member.isfile() for name, member in members.items() if name.endswith(".yaml"))


def test_from_the_wheel_alone_the_command_starts_in_an_empty_folder(unpacked: Path, tmp_path: Path) -> None:
    done = run(unpacked, tmp_path, "-m", "crypto_assets.cli.main", "--help")
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout
    code = (
        "import crypto_assets, crypto_assets.definitions\n"
        "from crypto_assets.catalog import select\n"
        "from crypto_assets.runtime.home import TEMPLATE\n"
        "print(crypto_assets.__file__, len(select('all')) > 300, 'run_storage' in TEMPLATE.read_text())"
    )
    done = run(unpacked, tmp_path, "-c", code)
    assert done.stdout.split() == [str(unpacked / "crypto_assets" / "__init__.py"), "True", "True"], done.stderr
    assert list(tmp_path.iterdir()) == []
