"""What a demo's home remembers: written once, read everywhere, refused in one sentence when it is damaged."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from crypto_assets import demo_home
from crypto_assets.demo_home import DemoHome
from crypto_assets.errors import InstanceError
from crypto_assets.settings import Settings

GENERATED = DemoHome(7, None, "BTC,ETH", date(2026, 1, 5))
RECORDED = DemoHome(None, Path("/srv/recorded data"), "top:5", date(2024, 3, 1), date(2024, 3, 7))


@pytest.mark.parametrize("kept", [GENERATED, RECORDED])
def test_what_is_written_is_what_is_read(tmp_path: Path, kept: DemoHome) -> None:
    kept.write(tmp_path / "a home" / "inside")
    assert demo_home.read(tmp_path / "a home" / "inside") == kept
    assert [path.name for path in (tmp_path / "a home" / "inside").iterdir()] == [demo_home.FILE], (
        "nothing half written"
    )


def test_an_ordinary_home_remembers_no_demo(tmp_path: Path) -> None:
    assert demo_home.read(tmp_path) is None
    assert demo_home.read(tmp_path / "absent") is None


def test_the_settings_of_a_demos_home_are_its_own(tmp_path: Path) -> None:
    RECORDED.write(tmp_path)
    found = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path)})
    assert (found.start, found.last_day, found.coins, found.demo) == (
        date(2024, 3, 1), date(2024, 3, 7), "top:5", RECORDED,
    )  # fmt: skip


def test_a_variable_goes_before_what_the_home_remembers(tmp_path: Path) -> None:
    GENERATED.write(tmp_path)
    env = {"CRYPTO_ASSETS_HOME": str(tmp_path), "CRYPTO_ASSETS_START": "2025-01-01", "CRYPTO_ASSETS_COINS": "SOL"}
    found = Settings.from_env(env)
    assert (found.start, found.coins) == (date(2025, 1, 1), "SOL")


def test_an_ordinary_home_has_no_last_day(tmp_path: Path) -> None:
    found = Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path)})
    assert (found.demo, found.last_day, found.start) == (None, None, date(2017, 1, 1))


def changed(**values: Any) -> str:
    document = {
        "format": 1,
        "sandbox": {"seed": 7},
        "coins": "BTC",
        "first_day": "2026-01-05",
        "last_day": None,
    }
    return json.dumps({name: value for name, value in {**document, **values}.items() if value != "absent"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ('{"format": 1, "sand', "no JSON"),
        ("[1]", "format is not 1"),
        (changed(format="1"), "format is not 1"),
        (changed(format=0), "format is not 1"),
        (changed(sandbox="absent"), "'sandbox' is missing"),
        (changed(sandbox={}), "neither a seed nor a data folder"),
        (changed(sandbox={"seed": 7, "data": "/x"}), "neither a seed nor a data folder"),
        (changed(sandbox={"seed": "7"}), "seed is no whole number"),
        (changed(sandbox={"seed": True}), "seed is no whole number"),
        (changed(sandbox={"data": "relative"}), "no absolute path"),
        (changed(coins=" "), "coins is no text"),
        (changed(first_day="soon"), "not a calendar date"),
        (changed(last_day="2026-01-04"), "last_day is before first_day"),
    ],
)
def test_a_damaged_file_is_one_sentence_with_the_way_out(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / demo_home.FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InstanceError, match=f"damaged .*{reason}.*delete the file and run the same crypto-assets demo"):
        Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path)})


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    (tmp_path / demo_home.FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InstanceError, match="damaged"):
        demo_home.read(tmp_path)


def test_the_file_of_a_newer_version_is_refused_and_kept(tmp_path: Path) -> None:
    text = changed(format=2, more="unknown")
    (tmp_path / demo_home.FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InstanceError, match=r"newer version of crypto_assets \(format 2.*another home with --home"):
        demo_home.read(tmp_path)
    assert (tmp_path / demo_home.FILE).read_text(encoding="utf-8") == text
