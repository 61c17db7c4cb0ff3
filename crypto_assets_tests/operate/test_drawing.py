"""The README's drawing holds the graph that is defined: each asset, each dependency, each provider's table."""

from __future__ import annotations

import re

import pytest

from crypto_assets.definitions import defs
from crypto_assets.errors import UsageError
from crypto_assets.operate.drawing import README, with_drawing
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.spec import FromProvider

if not README.exists():
    pytest.skip("an installed package has no README", allow_module_level=True)


def drawn() -> set[tuple[str, str]]:
    """(from, to) of each arrow in the README, read from its text."""
    block = re.search(r"```mermaid\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert block
    arrows = set()
    for line in block[1].splitlines():
        left, arrow, right = line.strip().partition(" --> ")
        if arrow:
            for start in left.split(" & "):
                arrows |= {(start.split("(")[0], end) for end in right.split(" & ")}
    return arrows


def test_each_dependency_of_the_graph_is_an_arrow_and_no_other_is():
    dependencies = {
        (parent.to_user_string(), key.to_user_string())
        for asset in defs.assets or ()
        for key, parents in getattr(asset, "asset_deps", {}).items()
        for parent in parents
    }
    assert dependencies, "the definitions have no dependencies: this test reads them wrongly"
    assets = {key for arrow in dependencies for key in arrow} | set(TABLES)
    shown = {arrow for arrow in drawn() if arrow[0] in assets}
    wrong = sorted(f"{start} --> {end}" for start, end in shown ^ dependencies)
    assert not wrong, f"the graph in README.md lacks or makes up {', '.join(wrong)}; run make docs"


def test_each_provider_points_to_each_table_that_it_gives():
    given = {(kind, t) for t, s in TABLES.items() if isinstance(s.rows_from, FromProvider) for kind in s.kinds}
    assert given <= drawn()


def test_the_drawing_in_the_readme_is_the_one_of_the_graph():
    text = README.read_text(encoding="utf-8")
    assert with_drawing(text) == text, "the graph in README.md is not the one that is defined; run make docs"


@pytest.mark.parametrize("spoil", [lambda t: t.replace("<!-- end of graph -->", ""), lambda t: t + t, lambda t: ""])
def test_a_readme_without_its_marks_is_refused(spoil):
    with pytest.raises(UsageError, match="lacks the marks"):
        with_drawing(spoil(README.read_text(encoding="utf-8")))
