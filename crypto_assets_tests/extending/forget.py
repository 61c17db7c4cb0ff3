"""In a copy in which docs/how-to was carried out: forget one step after the other, and print what the guards say.

Reads cases as JSON from stdin, ``[{"name", "edits": {file: text or null}, "guard"}]``, and prints ``{name: output}``. Each case
runs in a fork of this process, which has imported the libraries once: alone each would take eight seconds more.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from crypto_assets_tests.libraries import OF_ITS_TESTS, OF_THE_PACKAGE, load


def said_without(edits: dict[str, str | None], guard: str, output: Path) -> str:
    """What the guard prints while the files have these texts (None: they are absent); then they are as they were."""
    before = {name: Path(name).read_text(encoding="utf-8") for name in edits}
    try:
        for name, text in edits.items():
            if text is None:
                Path(name).unlink()
            else:
                Path(name).write_text(text, encoding="utf-8")
        child = os.fork()
        if child == 0:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            ended = pytest.main(["-q", "-p", "no:cacheprovider", "--tb=short", guard])
            sys.stdout.flush()
            os._exit(int(ended))
        _, status = os.waitpid(child, 0)
    finally:
        for name, text in before.items():
            Path(name).write_text(text, encoding="utf-8")
    passed = "PASSED\n" if os.waitstatus_to_exitcode(status) == 0 else ""
    return passed + output.read_text(encoding="utf-8")


if __name__ == "__main__":
    load(*OF_THE_PACKAGE, *OF_ITS_TESTS)
    cases = json.load(sys.stdin)
    print(json.dumps({c["name"]: said_without(c["edits"], c["guard"], Path("said.txt")) for c in cases}))
