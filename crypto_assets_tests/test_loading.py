"""Slow packages are imported when they are used, not by whoever loads a module: the table of docs/architecture.md."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import crypto_assets
from crypto_assets.lazy import lazy

ROOT = Path(crypto_assets.__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"


def never_loaded() -> dict[str, list[str]]:
    """Module -> the packages that loading it must not import, as the architecture page has it."""
    if not PAGE.exists():
        return {}
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## What is loaded when") : text.index("## The rules")]
    rows = re.findall(r"^\| `(crypto_assets[.\w]*)`[^|]*\| ([^|]+) \|$", section, re.MULTILINE)
    return {module: re.findall(r"`(\w+)`", packages) for module, packages in rows}


def loaded(*modules: str) -> set[str]:
    """The packages that a new process has after importing these modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.skipif(not PAGE.exists(), reason="an installed package has no docs folder")
def test_the_page_says_what_is_loaded_when() -> None:
    assert {"crypto_assets.cli.main", "crypto_assets.storage.sql", "crypto_assets.definitions"} <= set(never_loaded())
    assert all(never_loaded().values())


@pytest.mark.parametrize("module", never_loaded())
def test_loading_a_module_imports_none_of_these(module: str) -> None:
    found = loaded(module)
    assert "crypto_assets" in found
    assert sorted(found & set(never_loaded()[module])) == []


@pytest.mark.parametrize("module", never_loaded())
def test_the_page_names_packages_that_there_are(module: str) -> None:
    """A misspelt name would forbid nothing."""
    assert [name for name in never_loaded()[module] if find_spec(name) is None] == []


def test_a_lazy_module_is_imported_at_its_first_use() -> None:
    code = (
        "import sys\n"
        "from crypto_assets.lazy import lazy\n"
        "module = lazy('colorsys')\n"
        "before = 'colorsys' in sys.modules\n"
        "print(before, module.rgb_to_hls(0, 0, 0), 'colorsys' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False (0.0, 0.0, 0.0) True\n", done.stderr


def test_a_lazy_module_that_is_not_there_fails_like_an_import() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        lazy("no_such_package").anything  # noqa: B018
