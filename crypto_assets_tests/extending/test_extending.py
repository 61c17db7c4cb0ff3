"""docs/how-to is true: its recipes are carried out in a copy of the repository, and what they make is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from crypto_assets_tests.extending.page import HERE, copy_to, pages, steps

RECIPES = (
    "a derived table",
    "a feature",
    "a coin",
    "a source",
    "a table of a source",
    "a check",
    "an alert",
    "a model",
)
# A person runs the whole suite after following the page. Here: what the recipes make, and the guards of their steps.
GUARDS = (
    "crypto_assets_tests/extending/made.py",
    "crypto_assets_tests/test_architecture.py",
    "crypto_assets_tests/test_steps.py",
    "crypto_assets_tests/test_runbooks.py::test_every_alert_has_a_page_and_every_page_an_alert",
    "crypto_assets_tests/test_runbooks.py::test_a_page_has_its_parts",
    "crypto_assets_tests/checks/test_shells.py::test_every_check_of_the_room_is_one_of_dagsters",
    "crypto_assets_tests/checks/test_shells.py::test_every_check_of_one_table_has_a_test_and_a_text",
    "crypto_assets_tests/tables/test_dictionary.py",
    "crypto_assets_tests/tables/test_registry.py",
    "crypto_assets_tests/catalog",
    "crypto_assets_tests/assets/test_lineage.py",
    "crypto_assets_tests/features/test_needs.py",
    "crypto_assets_tests/features/test_formulas.py",
    "crypto_assets_tests/features/test_pandas.py::test_few_columns_have_no_counterpart",
    "crypto_assets_tests/transforms/test_purity.py",
    "crypto_assets_tests/test_definitions.py::test_every_contract_is_an_asset_and_every_asset_has_a_contract",
    "crypto_assets_tests/test_definitions.py::test_an_asset_tells_what_it_is",
    "crypto_assets_tests/test_definitions.py::test_every_table_has_its_checks",
    "crypto_assets_tests/test_definitions.py::test_lineage_is_what_the_data_do",
)
FAULTS = "crypto_assets_tests/sources/test_faults.py"
OF_THE_NEW_SOURCE = (
    "test_every_fault_heals_or_is_one_sentence_and_no_row_is_wrong",
    "test_what_can_heal_is_retried_and_nothing_else",
)
LEARNERS = "crypto_assets_tests/models/test_training.py"
OF_THE_NEW_MODEL = (
    "test_each_learner_finds_a_planted_edge_out_of_fold",
    "test_scores_are_the_sum_of_contributions_up_to_a_constant",
    "test_what_comes_after_changes_nothing",
    "test_an_artefact_reads_back_and_an_altered_one_is_refused",
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with all steps of the page carried out, and the data dictionary written anew."""
    root = copy_to(tmp_path_factory.mktemp("extended"))
    for step in steps():
        step.carry_out(root)
    run(root, "-m", "crypto_assets.tables.dictionary")
    return root


def run(root: Path, *arguments: str) -> str:
    """What Python prints there; the copy comes before the package that is installed."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-3000:]
    return ended.stdout


def test_each_recipe_touches_few_files() -> None:
    touched: dict[str, set[str]] = defaultdict(set)
    for step in steps():
        touched[step.recipe].add(step.file)
    assert tuple(touched) == RECIPES
    assert {recipe: len(touched[recipe]) for recipe in RECIPES} == {
        "a derived table": 3, "a feature": 2, "a coin": 1, "a source": 9, "a table of a source": 2, "a check": 3, "an alert": 6,
        "a model": 5,
    }  # fmt: skip


def test_every_file_that_the_pages_name_is_there() -> None:
    made = {step.file for step in steps() if step.where == "create"}
    for page in pages():
        for name in re.findall(r"`((?:crypto_assets\w*|docs)/[\w/.-]+)`", page.read_text(encoding="utf-8")):
            assert name in made or (HERE / name).exists(), (page.name, name)


def test_the_overview_lists_every_page() -> None:
    assert sorted(pages()) == sorted((HERE / "docs" / "how-to").glob("*.md"))


def test_what_the_recipes_make_works_and_the_guards_pass_with_it(copy: Path) -> None:
    tests = sorted({step.file for step in steps() if Path(step.file).name.startswith("test_")} - {LEARNERS})
    faults = [f"{FAULTS}::{name}[wikimedia per-article]" for name in OF_THE_NEW_SOURCE]
    learners = [f"{LEARNERS}::{name}[ic_weighted]" for name in OF_THE_NEW_MODEL]
    out = run(copy, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests, *GUARDS, *faults, *learners)
    assert "[100%]" in out
    for table in ("dominance", "page_views"):
        assert f"## {table}\n" in (copy / "docs" / "data-dictionary.md").read_text(encoding="utf-8")


def test_the_lint_likes_the_steps(copy: Path) -> None:
    touched = sorted({step.file for step in steps() if step.file.endswith(".py")})
    run(copy, "-m", "ruff", "check", *touched)
    run(copy, "-m", "ruff", "format", "--check", *touched)
