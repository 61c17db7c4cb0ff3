"""Who forgets a step of docs/how-to reads which table, feature, source or alert lacks it, and the file to edit."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest

from crypto_assets_tests.extending.page import HERE, Step, copy_to, steps

DEFINITIONS = "crypto_assets_tests/test_definitions.py::test_every_contract_is_an_asset_and_every_asset_has_a_contract"
STEPS = "crypto_assets_tests/test_steps.py"
ADDRESSES = f"{STEPS}::test_every_address_is_served_examined_and_documented"
SHELLS = "crypto_assets_tests/checks/test_shells.py"
BOOKS = "crypto_assets_tests/test_runbooks.py::test_every_alert_has_a_page_and_every_page_an_alert"


@dataclass(frozen=True)
class Case:
    """A step that is left out (or done differently: ``instead`` is another text of it), the guard, and what it must say."""

    forgotten: str
    file: str
    part: str  # of the step's text, since a file may have several steps
    guard: str
    says: tuple[str, ...]
    instead: tuple[str, str] | None = None


CASES = (
    Case("the spec of a derived table", "crypto_assets/tables/prices.py", "contract=DOMINANCE",
         f"{STEPS}::test_every_contract_has_a_spec", ("dominance", "crypto_assets/tables/prices.py")),
    Case("a field of a spec", "crypto_assets/tables/prices.py", "contract=DOMINANCE", f"{STEPS}::test_every_contract_has_a_spec",
         ("dominance: its TableSpec lacks own_pod_from_days", "crypto_assets/tables/spec.py"), ("        own_pod_from_days=None,\n", "")),
    Case("how the rows of a table are known", "crypto_assets/tables/prices.py", "DOMINANCE = Contract(",
         f"{STEPS}::test_every_contract_has_a_spec",
         ("dominance: its contract does not say pit_quality", "crypto_assets/tables/pit_quality.py"),
         ("    pit_quality=WorstOfInputs(by=None),\n", "")),
    Case("a transform", "crypto_assets/transforms/dominance.py", "def dominance", DEFINITIONS,
         ("dominance", "crypto_assets.transforms.dominance")),
    Case("the test of a transform", "crypto_assets_tests/transforms/test_dominance.py", "def test",
         f"{STEPS}::test_every_transform_of_a_derived_table_has_a_test",
         ("dominance", "write crypto_assets_tests/transforms/test_dominance.py")),
    Case("the arithmetic of a feature", "crypto_assets/features/technical.py", "sma_cross",
         "crypto_assets_tests/features/test_formulas.py", ("sma_cross_20_50", "crypto_assets/features/")),
    Case("the definition of a feature", "crypto_assets/features/technical_columns.py", "sma_cross",
         f"{STEPS}::test_every_column_that_is_computed_is_defined",
         ("sma_cross_20_50", "crypto_assets/features/technical_columns.py")),
    Case("a second implementation of a feature", "crypto_assets/features/technical_columns.py", "sma_cross",
         "crypto_assets_tests/features/test_pandas.py::test_few_columns_have_no_counterpart",
         ("sma_cross_20_50", "crypto_assets_bench/features_vs_pandas.py"), ("sma_20 / sma_50 - 1.", "Fast mean over slow mean, less one.")),
    Case("bars that a feature needs", "crypto_assets/features/technical_columns.py", "sma_cross",
         "crypto_assets_tests/features/test_formulas.py::test_the_first_value_of_an_indicator_comes_when_its_definition_says",
         ("sma_cross_20_50", "crypto_assets/features/technical_columns.py"), (" 50, lower", " 40, lower")),
    Case("an asset of a provider's table", "crypto_assets/assets/context.py", "ASSETS = [", DEFINITIONS,
         ("page_views", "crypto_assets/assets/")),
    Case("an address in the sandbox", "crypto_assets/sandbox/server.py", "WIKIMEDIA", ADDRESSES,
         ("WIKIMEDIA_BASE_URL", "crypto_assets/sandbox/server.py")),
    Case("a route of the sandbox", "crypto_assets/sandbox/others.py", "Route(", f"{STEPS}::test_the_sandbox_has_the_route_of_every_table",
         ("page_views", "crypto_assets/sandbox/others.py")),
    Case("a request of doctor", "crypto_assets/operate/doctor.py", "wikimedia", ADDRESSES,
         ("WIKIMEDIA_BASE_URL", "crypto_assets/operate/doctor.py")),
    Case("an address in the README", "README.md", "WIKIMEDIA", ADDRESSES, ("WIKIMEDIA_BASE_URL", "README.md")),
    Case("the faults of a source", "crypto_assets_tests/sources/fault_providers.py", "Route(",
         f"{STEPS}::test_every_table_of_a_provider_meets_every_fault",
         ("page_views", "crypto_assets_tests/sources/fault_providers.py")),
    Case("the test of a source", "crypto_assets_tests/sources/test_wikimedia.py", "def test", f"{STEPS}::test_every_source_has_a_test",
         ("wikimedia", "write crypto_assets_tests/sources/test_wikimedia.py")),
    Case("the line of a check", "crypto_assets/checks/every_measure.py", "        dominance.MEASURES",
         f"{SHELLS}::test_every_check_of_the_room_is_one_of_dagsters", ("dominance", "shares_sum_to_one", "crypto_assets/checks/every_measure.py")),
    Case("the test of a check", "crypto_assets_tests/checks/test_dominance.py", "def test",
         f"{SHELLS}::test_every_check_of_one_table_has_a_test_and_a_text",
         ("dominance", "shares_sum_to_one", "crypto_assets_tests/checks/")),
    Case("a runbook", "docs/runbooks/feed-silent.md", "# News", BOOKS, ("feed_silent", "docs/runbooks/feed-silent.md")),
    Case("a line in the list of runbooks", "docs/runbooks/README.md", "feed_silent", BOOKS,
         ("feed-silent.md", "docs/runbooks/README.md")),
    Case("a kind of alert", "crypto_assets/monitoring/alerts/kinds.py", "feed_silent", BOOKS,
         ("feed_silent", "crypto_assets/monitoring/alerts/kinds.py")),
    Case("a watcher", "crypto_assets/monitoring/alerts/sensors.py", "        feeds,", BOOKS,
         ("feed_silent", "crypto_assets/monitoring/alerts/sensors.py")),
    Case("the tests of a model", "crypto_assets_tests/models/test_training.py", "ic_weighted",
         f"{STEPS}::test_every_kind_of_model_has_its_tests_and_is_documented",
         ("ic_weighted", "crypto_assets_tests/models/test_training.py")),
    Case("the page of a model", "docs/models.md", "ic_weighted", f"{STEPS}::test_every_kind_of_model_has_its_tests_and_is_documented",
         ("ic_weighted", "docs/models.md")),
    Case("the test of a watcher", "crypto_assets_tests/monitoring/test_feeds.py", "def test",
         f"{STEPS}::test_every_watcher_of_the_alerts_has_a_test", ("feeds", "crypto_assets_tests/monitoring/")),
)  # fmt: skip
DICTIONARY = "docs/data-dictionary.md"


def edit_of(case: Case, copy: Path, done: list[Step]) -> str | None:
    """The file's text without the step; None where the step created the file."""
    (step,) = [step for step in done if step.file == case.file and case.part in step.text]
    text = (copy / case.file).read_text(encoding="utf-8")
    if case.instead is not None:
        assert text.count(step.text) == 1
        assert step.text.count(case.instead[0]) == 1
        return text.replace(step.text, step.text.replace(*case.instead))
    if step.where == "create":
        return None
    return text.replace(step.text, step.line + "\n" if step.where == "replace" else "")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Case -> what its guard says: one interpreter for all of them."""
    copy, done = copy_to(tmp_path_factory.mktemp("forgotten")), steps()
    for step in done:
        step.carry_out(copy)
    # By hash: two texts of a file may have one length and be written in one second. Python keeps to it where a text changes.
    compileall.compile_dir(copy, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    cases = [{"name": c.forgotten, "edits": {c.file: edit_of(c, copy, done)}, "guard": c.guard} for c in CASES]
    stale = (HERE / DICTIONARY).read_text(encoding="utf-8")
    guard = "crypto_assets_tests/tables/test_dictionary.py"
    cases.append({"name": "make docs", "edits": {DICTIONARY: stale}, "guard": guard})
    ended = subprocess.run(
        [sys.executable, "-m", "crypto_assets_tests.extending.forget"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        input=json.dumps(cases),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, str] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.forgotten)
def test_a_forgotten_step_is_named(said: dict[str, str], case: Case) -> None:
    _names(said[case.forgotten], case.says)


def test_docs_that_were_not_written_anew_are_named(said: dict[str, str]) -> None:
    _names(said["make docs"], ("dominance", "page_views", DICTIONARY, "make docs"))


def _names(output: str, words: tuple[str, ...]) -> None:
    """One line of the guard's output has all the words; the guard did not pass."""
    assert not output.startswith("PASSED"), output
    assert any(all(word in line for word in words) for line in output.splitlines()), output[-3000:]
