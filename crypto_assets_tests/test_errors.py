"""Sentences that help: the word that was meant, and the space that is left."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from crypto_assets.catalog import select
from crypto_assets.errors import UsageError, free_space_note, suggestion
from crypto_assets.operate import graph


def test_a_word_that_is_nearly_known_is_suggested_in_its_own_spelling() -> None:
    assert suggestion(["prces"], ["prices", "ohlc"]) == " (did you mean prices?)"
    assert suggestion(["btcc", "ehtt"], ["BTC", "ETH"]) == " (did you mean BTC?)"
    assert suggestion(["qqqq"], ["prices"]) == ""
    assert suggestion([], ["prices"]) == ""


def test_coins_and_assets_that_are_misspelt_name_the_right_one() -> None:
    with pytest.raises(UsageError, match=r"AVAAX.*did you mean AVAX\?"):
        select("BTC,AVAAX")
    with pytest.raises(UsageError, match=r"did you mean ml_features\?"):
        graph.select('key:"ml_feature"')
    with pytest.raises(UsageError, match=r"did you mean onchain\?"):
        graph.select('group:"onchian"')


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("io: No space left on device (os error 28)")],
)
def test_no_space_says_how_much_is_left_and_where(error: Exception, tmp_path: Path) -> None:
    note = free_space_note(error, tmp_path / "not" / "there" / "yet.parquet")
    assert note.endswith(f"at {tmp_path})")
    total = shutil.disk_usage(tmp_path).total / 1e9
    assert f"of {total:.1f} GB" in note


def test_other_errors_say_nothing_of_space(tmp_path: Path) -> None:
    assert free_space_note(PermissionError(errno.EACCES, "denied"), tmp_path) == ""
