"""The process that runs are forked from: it has imported what a run needs, and nothing in it is lost by a fork."""

from __future__ import annotations

import json
import os
from pathlib import Path

from crypto_assets.runtime import run_template
from crypto_assets_tests import warm

LOADED = """
import json, os, sys, threading
import crypto_assets.runtime.run_template
sockets = [one for one in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{one}")
           and os.readlink(f"/proc/self/fd/{one}").startswith("socket:")]
print(json.dumps([sorted(sys.modules), threading.active_count(), len(sockets)]))
"""
BROKEN = """
import sys
sys.modules["crypto_assets.definitions"] = None  # as with an error in it: an import fails
import crypto_assets.runtime.run_template
print("imported")
"""


def test_it_has_what_a_run_needs_and_neither_threads_nor_connections(tmp_path: Path) -> None:
    done = warm.python({**os.environ, "CRYPTO_ASSETS_HOME": str(tmp_path / "home")}, "-c", LOADED)
    assert done.returncode == 0, done.stderr
    modules, threads, sockets = json.loads(done.stdout)
    assert set(run_template.NEEDED) <= set(modules)
    assert threads == 1
    assert sockets == 0
    assert not (tmp_path / "home").exists()


def test_code_that_cannot_be_imported_is_left_to_the_run() -> None:
    done = warm.python(dict(os.environ), "-c", BROKEN)
    assert done.stdout == "imported\n", done.stderr
