"""Environments of their own for the projects that ours is measured beside."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

INSTALL_S = 1800


def interpreter(home: Path, name: str, requirement: str) -> Path:
    """Return the Python that has a project; made on first use, which takes some minutes.

    Args:
        home: the folder of its environment.
        name: of the project, for people.
        requirement: what pip installs.

    Raises:
        CalledProcessError: it cannot be installed.
    """
    python = home / "bin" / "python"
    if not (home / ".installed").exists():
        print(f"installing {name} into an environment of its own", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", requirement]
        subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_S, check=True)
        (home / ".installed").touch()
    return python
