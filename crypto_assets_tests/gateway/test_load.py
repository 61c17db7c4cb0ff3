"""A few seconds of what ``python -m crypto_assets_tests.gateway_load`` does for half an hour."""

from __future__ import annotations

import shutil
from pathlib import Path

from crypto_assets_tests import gateway_load

FORMS = {
    "rows json", "rows application/vnd.apache.arrow.stream", "rows application/vnd.apache.parquet", "latest",
    "historical", "others",
}  # fmt: skip


def test_no_answer_is_wrong_while_everything_under_it_moves(home: Path, tmp_path: Path) -> None:
    for seconds in (13, 60):  # a busy machine may do too little in the first
        shutil.copytree(home, tmp_path / f"home_{seconds}")
        load = gateway_load.run(tmp_path / f"home_{seconds}", seconds=seconds, restart_s=1.5)
        assert load.wrong == []
        answered = {name.rsplit(" ", 1)[0] for name, count in load.counts.items() if name.endswith(" 200") and count}
        moved = len(load.states) > 2 and (load.warehouse.version("prices") or 0) > 3
        if moved and answered == FORMS:
            break
    assert moved and answered == FORMS
    assert load.away
