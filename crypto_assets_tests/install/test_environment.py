"""The script that fills ``.venv``: what it refuses and says, and how it goes on after an interruption."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crypto_assets_tests.install import FOLDER, script

environment = script("environment")
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"


def starts(python: str) -> bool:
    """Whether it is a Python; a version manager's stand-in may not be."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


OLD_PYTHONS = [
    python
    for minor in range(6, 11)
    for python in (shutil.which(f"python3.{minor}"), *map(str, PYENV.glob(f"3.{minor}.*/bin/python3")))
    if python is not None and starts(python)
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script needs, in a folder with a blank in its name."""
    root = tmp_path / "a checkout"
    shutil.copytree(FOLDER, root / "install")
    return root


def run(root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
    command = [sys.executable, str(root / "install" / "environment.py"), "run"]
    return subprocess.run(command, env={**kept, "PATH": "/usr/bin:/bin", **variables}, capture_output=True, text=True)


@pytest.mark.parametrize(("version", "fine"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)])
def test_only_tested_versions_of_python_go_on(version: tuple[int, int], fine: bool) -> None:
    if fine:
        environment.check_python((*version, 0), "python3")
        return
    with pytest.raises(environment.Refusal) as refused:
        environment.check_python((*version, 0), "/usr/bin/python3")
    said = str(refused.value)
    assert f"Python 3.{version[1]} (/usr/bin/python3) is not supported, nothing was installed" in said
    assert "3.11, 3.12 or 3.13" in said and "make PYTHON=python3.1" in said


def test_an_old_python_can_read_the_script_that_refuses_it() -> None:
    ast.parse((FOLDER / "environment.py").read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.skipif(not OLD_PYTHONS, reason="no Python before 3.11 is on this machine")
def test_an_old_python_refuses_itself_in_one_sentence(checkout: Path) -> None:
    for old in OLD_PYTHONS:
        done = subprocess.run([old, "install/environment.py", "run"], cwd=checkout, capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "is not supported, nothing was installed" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_checkout_of_git_for_windows_is_one_sentence(checkout: Path) -> None:
    link = checkout / "crypto_assets" / "runtime" / "dagster.yaml"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.write_text("../../dagster.yaml", encoding="utf-8")
    done = run(checkout)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "clone the project again inside WSL" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_refused_python_leaves_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(environment, "VENV", checkout / ".venv")
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    assert environment.main(["run"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (checkout / ".venv").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(checkout: Path) -> None:
    (checkout / ".venv").write_text("a file in the way", encoding="utf-8")
    done = run(checkout)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"{checkout}/.venv cannot be written" in done.stderr


def test_without_an_index_the_last_line_says_so_and_what_to_do(checkout: Path) -> None:
    done = run(checkout, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1", PIP_CONFIG_FILE=os.devnull)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "the package index cannot be reached; set HTTPS_PROXY" in last
    assert "goes on where it stopped" in last


def make_pip_old(venv: Path) -> None:
    """Let pip be of a version that cannot install an editable project with today's setuptools."""
    (package,) = venv.glob("lib/python*/site-packages/pip")
    (package / "__init__.py").write_text('__version__ = "21.0.1"', encoding="utf-8")
    (notes,) = package.parent.glob("pip-*.dist-info")
    metadata = re.sub("^Version: .*", "Version: 21.0.1", (notes / "METADATA").read_text(encoding="utf-8"), flags=re.M)
    (notes / "METADATA").write_text(metadata, encoding="utf-8")
    notes.rename(package.parent / "pip-21.0.1.dist-info")


def test_half_an_environment_is_completed_and_one_of_a_lost_python_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / "half done" / ".venv"
    monkeypatch.setattr(environment, "VENV", venv)
    monkeypatch.setattr(environment, "PYTHON", venv / "bin" / "python")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(tmp_path / "uninstalled")
    (venv / "left over").touch()
    environment.make_venv()
    assert environment._state() == "whole"
    assert not (venv / "left over").exists()
    mine = venv / "mine"
    mine.touch()
    for part in venv.glob("lib/python*/site-packages/pip*"):  # killed before pip was there
        shutil.rmtree(part)
    assert environment._state() == "unfinished"
    environment.make_venv()
    assert environment._state() == "whole"
    assert mine.exists(), "what else is in the environment stays"
    make_pip_old(venv)
    assert environment._state() == "unfinished"
    environment.make_venv()
    assert environment._state() == "whole" and mine.exists()


def test_uv_gets_the_index_certificate_and_proxy_of_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = http://127.0.0.1:9/simple\nproxy = http://127.0.0.1:8\ncert = /a/cert.pem\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(environment, "PYTHON", Path(sys.executable))
    for name in ("PIP_INDEX_URL", "PIP_CERT", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    found = environment.as_pip_is_set({"PATH": "/bin", "SSL_CERT_FILE": "/my/own.pem"})
    assert found == {
        "PATH": "/bin",
        "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
        "HTTPS_PROXY": "http://127.0.0.1:8",
        "SSL_CERT_FILE": "/my/own.pem",
    }


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("error: Failed to write: No space left on device (os error 28)", "the disk is full"),
        ("ERROR: [Errno 13] Permission denied: '/x/.venv/lib'", "cannot be written"),
        ("error: Hash mismatch for `click==8.5.1`", "other files than the lock file names"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "other files than the lock"),
        ("error: Failed to fetch: `x`\n  Caused by: dns error", "the package index cannot be reached"),
        ("ERROR: No matching distribution found for duckdb==2.0.0", "no wheel for this platform"),
        ("Building duckdb==2.0.0 is disabled: no-build", "no wheel for this platform"),
        ("something else", "its words are above"),
    ],
)
def test_an_installers_words_become_what_to_do(output: str, words: str) -> None:
    assert words in environment.advice(output)


def test_pip_is_not_advised_where_pip_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CRYPTO_ASSETS_INSTALLER=pip" in environment.advice("something else")
    monkeypatch.setenv("CRYPTO_ASSETS_INSTALLER", "pip")
    assert "CRYPTO_ASSETS_INSTALLER" not in environment.advice("something else")


def test_what_to_install_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert environment.main([]) == 2
    assert "run|test|model" in capsys.readouterr().err


def test_what_runs_is_compiled_where_processes_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    environment.compile_what_runs()
    compiled = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.pyc")}
    for module in ("crypto_assets/definitions", "crypto_assets/operate/demo", "dagster_webserver/app"):
        assert any(f"/{module}." in path for path in compiled), module
