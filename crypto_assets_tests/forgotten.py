"""How a guard says that a step was forgotten: sentences alone, without the guard's own code around them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def nothing_forgotten(sentences: Iterable[str]) -> None:
    """Fail with the sentences; each names the table, feature, source or alert, and the file to edit."""
    found = list(sentences)
    if found:
        pytest.fail("\n".join(found), pytrace=False)
