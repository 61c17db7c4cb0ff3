"""Whether LightGBM works here is found out without importing it, and its absence is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = (
    "import sys\n"
    "from crypto_assets.errors import ModelError\n"
    "from crypto_assets.models.learners import check_library\n"
    "try: check_library()\n"
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
