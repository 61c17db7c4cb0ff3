"""The pages for people: every link leads somewhere, every source has its terms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import crypto_assets
from crypto_assets.operate.drawing import NAMES
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.spec import FromProvider

ROOT = Path(crypto_assets.__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

if not (ROOT / "docs").is_dir():
    pytest.skip("an installed package has no docs", allow_module_level=True)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    headings = re.findall(r"^#+ +(.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_pages_leads_to_a_file_and_a_heading(page):
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert not broken, f"{page.relative_to(ROOT)} links to what is not there: {broken}"


def test_a_broken_link_would_be_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One thing: here\n[a](#one-thing-here) [b](nowhere.md) `[c](code.md)`\n", encoding="utf-8")
    assert anchors(page) == {"one-thing-here"}
    assert links(page) == ["#one-thing-here", "nowhere.md"]


def test_every_source_and_each_of_its_tables_has_its_terms():
    rows = [line for line in (ROOT / "docs" / "data-terms.md").read_text(encoding="utf-8").splitlines() if "|" in line]
    kinds = {kind for spec in TABLES.values() if isinstance(spec.rows_from, FromProvider) for kind in spec.kinds}
    for kind in kinds - {"rss"}:
        name = NAMES.get(kind, kind.capitalize())
        assert any(row.startswith(f"| {name}") for row in rows), f"docs/data-terms.md has no row of {name}"
    tables = {table for table, spec in TABLES.items() if isinstance(spec.rows_from, FromProvider)}
    missing = {table for table in tables if not any(f"`{table}`" in row for row in rows)}
    assert not missing, f"docs/data-terms.md names no terms for {sorted(missing)}"
