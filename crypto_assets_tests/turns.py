"""In which order the tests run, and how ``make test`` deals them to its workers.

Dealt are files, so that what the tests of a file share is made once. What takes longest begins first: then no worker
waits at the end for another one's long test.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Longest first. What is not named takes less, and comes after them as it was collected.
LONGEST = (
    "cli/test_demo.py",
    "runtime/kubernetes/test_production.py",
    "test_rules.py",
    "notebooks/test_notebooks.py",
    "cli/test_main.py",
    "cli/test_models.py",
    "storage/test_copies.py",
    "operate/test_backfill.py",
    "extending/test_extending.py",
    "runtime/test_processes.py",
    "assets/test_models.py",
    "storage/test_sql.py",
    "operate/test_cancel.py",
    "test_runbooks.py",
    "checks/test_state.py",
    "checks/test_day_reports.py",
    "automation/test_late_values.py",
    "sources/test_secrets.py",
    "sources/test_faults.py",
    "narratives/llm/test_real_model.py",
    "extending/test_forgotten.py",
    "operate/test_status.py",
    "install/test_environment.py",
    "assets/test_pit_quality.py",
    "assets/test_news_order.py",
    "assets/test_news.py",
    "operate/test_doctor.py",
    "test_site.py",
    "sources/client/test_pace.py",
    "narratives/llm/test_analyst.py",
)
# Long files whose tests share nothing that is costly to make: each test is dealt alone.
APART = ("test_rules.py", "operate/test_backfill.py", "runtime/test_processes.py", "operate/test_cancel.py")


def turn(nodeid: str) -> int:
    """Where the test's file comes: 0 is the first."""
    return next((place for place, file in enumerate(LONGEST) if _is_in(nodeid, file)), len(LONGEST))


class LongestFirst(LoadScopeScheduling):
    """Deals the files in the order in which they were collected, one whenever a worker has almost nothing left."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by the number of tests, which says little about how long they take

    def _split_scope(self, nodeid: str) -> str:
        alone = any(_is_in(nodeid, file) for file in APART)
        return nodeid if alone else nodeid.split("::", 1)[0]


def _is_in(nodeid: str, file: str) -> bool:
    return nodeid.split("::", 1)[0].endswith(f"crypto_assets_tests/{file}")
