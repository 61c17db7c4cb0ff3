"""Images get their digests, all or none. Registries are asked through docker's command line, which is played here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from crypto_assets_tests.deploy.test_manifests import DEPLOY, images

DIGEST = {"postgres": "a" * 64, "python": "b" * 64, "ollama": "c" * 64, "nginx": "d" * 64}
DOCKER = """#!{python}
import sys
known = {digests!r}
image = sys.argv[4]
name = next((name for name in known if name in image), None)
if sys.argv[1:4] != ["buildx", "imagetools", "inspect"] or name is None or "missing" in image:
    sys.exit(f"ERROR: {{image}}: not found")
print("sha256:" + known[name])
"""


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pin_images", DEPLOY / "pin_images.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``deploy/``, and a docker that knows its images."""
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(DOCKER.format(python=sys.executable, digests=DIGEST))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return Path(shutil.copytree(DEPLOY, tmp_path / "deploy"))


def test_it_finds_every_foreign_image(script: ModuleType) -> None:
    found = {name for path in script.files(DEPLOY) for name in script.foreign(path.read_text(encoding="utf-8"))}
    named = {image.partition("@")[0] for image in images() if "crypto-assets" not in image}
    assert found == named
    assert {name.rpartition("/")[2].partition(":")[0].partition("-")[0] for name in found} == set(DIGEST)


def test_pinning_twice_and_renewing(script: ModuleType, copy: Path) -> None:
    assert script.main(["--check"], copy) == 1
    assert script.main([], copy) == 0
    compose = copy / "compose" / "compose.yaml"
    text = compose.read_text(encoding="utf-8")
    assert f"@sha256:{DIGEST['postgres']}\n" in text
    assert "image: crypto-assets:0.1.0\n" in text, "ours has no digest before it is built"
    assert f"@sha256:{DIGEST['python']}\n" in (copy / "Dockerfile").read_text(encoding="utf-8")
    assert script.main(["--check"], copy) == 0
    compose.write_text(text.replace(DIGEST["postgres"], "0" * 64), encoding="utf-8")
    assert script.main(["--check"], copy) == 1
    assert script.main([], copy) == 0
    assert compose.read_text(encoding="utf-8") == text


def test_an_image_that_is_not_there_changes_nothing(
    script: ModuleType, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dockerfile = copy / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text(encoding="utf-8").replace("ARG PYTHON=", "ARG PYTHON=missing/"))
    before = {path: path.read_bytes() for path in script.files(copy)}
    assert script.main([], copy) == 2
    assert "no digest of missing/python:" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in script.files(copy)} == before
