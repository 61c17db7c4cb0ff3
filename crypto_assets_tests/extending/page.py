"""The steps of docs/how-to, as they are written there, and how one is carried out in a copy of the repository."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

import crypto_assets

HERE = Path(crypto_assets.__file__).parents[1]
OVERVIEW = HERE / "docs" / "extending.md"  # it links the pages, in the order in which they are carried out
COPIED = ("crypto_assets", "crypto_assets_tests", "crypto_assets_bench", "docs")
ALONE = ("README.md", "pyproject.toml")
_STEP = re.compile(
    r"^(?:Create `(?P<new>[^`]+)`|"
    r"In `(?P<old>[^`]+)`, (?:(?P<where>after|before) the line (?P<ticks>`+)(?P<line>[^\n]+?)(?P=ticks), add|"
    r"replace the line `(?P<replaced>[^\n]+)` by)):\n\n"
    r"(?P<fence>`{3,})\w+\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """One edit of a page: a file that is created (``line`` is empty), or text beside or in place of a line."""

    recipe: str
    file: str
    line: str
    where: str  # after, before, replace; "create" for a new file
    text: str

    def carry_out(self, copy: Path) -> None:
        """Do the edit in the copy.

        Raises:
            AssertionError: the file is there already, or does not have the line exactly once.
        """
        path = copy / self.file
        if self.where == "create":
            assert not path.exists(), f"{self.recipe}: the page creates {self.file}, which is there already"
            path.write_text(self.text, encoding="utf-8")
            return
        text, line = path.read_text(encoding="utf-8"), self.line + "\n"
        assert text.count("\n" + line) == 1, f"{self.recipe}: {self.file} must have the line {self.line!r} once"
        more = {"after": line + self.text, "before": self.text + line, "replace": self.text}[self.where]
        path.write_text(text.replace("\n" + line, "\n" + more), encoding="utf-8")


def pages() -> list[Path]:
    """The pages, in their order; the test skips where an installed package has no docs folder."""
    if not OVERVIEW.exists():
        pytest.skip("an installed package has no docs folder")
    links = re.findall(r"^\| \[Add [^\]]+\]\(([^)]+)\)", OVERVIEW.read_text(encoding="utf-8"), re.MULTILINE)
    return [OVERVIEW.parent / link for link in links]


def steps() -> list[Step]:
    """All steps, in the order of the pages."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        recipe = text.partition("\n")[0].removeprefix("# Add ")
        for match in _STEP.finditer(text):
            where = "create" if match["new"] else match["where"] or "replace"
            line = match["line"] or match["replaced"] or ""
            found.append(Step(recipe, match["new"] or match["old"], line, where, match["text"]))
    return found


def copy_to(root: Path) -> Path:
    """Copy the package, its tests, its docs and what its lint reads; returns ``root``."""
    for name in COPIED:
        shutil.copytree(HERE / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ALONE:
        shutil.copy(HERE / name, root / name)
    return root
