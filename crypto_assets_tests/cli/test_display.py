"""Progress and results on terminals of any width, and as lines elsewhere; what a demo says at its end."""

from __future__ import annotations

import io
import shlex
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest
from rich.console import Console

from crypto_assets.cli import display
from crypto_assets.cli.display import next_steps, progress, progress_bar, result_table
from crypto_assets.cli.main import cli


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_progress_is_one_line_at_any_width_and_leaves_nothing_behind(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with progress_bar(console) as bar:
        task = bar.add_task("2021-01-01 to 2021-12-31: article_narratives", total=12_775)
        bar.update(task, completed=1_234)
        shown = [line for line in console.render_lines(bar.get_renderable()) if line]
        text = "".join(segment.text for segment in shown[0])
        assert len(shown) == 1
        assert len(text) <= width
        assert "1234/12775" in text
        assert text.startswith("2021-01-01")
    assert out.getvalue().rstrip().endswith("\x1b[2K"), "the last thing that is written clears the line"


def test_elsewhere_each_thing_that_begins_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as update:
        update("2021-01-01: prices", 0, 4)
        update("2021-01-01: prices", 2, 4)
        update("2021-01-01: ohlc", 2, 4)
        update("done", 4, 4)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("] ")[2] for line in lines] == ["2021-01-01: prices", "2021-01-01: ohlc", "done"]
    assert lines[0].startswith("[0/4 partitions]")
    assert lines[1].startswith("[2/4 partitions, about ")


def test_a_result_that_is_too_wide_is_printed_row_by_row_with_whole_names_and_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = pl.DataFrame({f"a_feature_{n}": [n + 0.123456789, None] for n in range(60)})
    result_table(frame.select(frame.columns[:3]), "table")
    assert "┃ a_feature_0 " in capsys.readouterr().out
    result_table(frame, "table")
    shown = capsys.readouterr()
    assert [line for line in shown.out.splitlines() if line.startswith("row")] == ["row 1", "row 2"]
    for n in range(60):
        assert f"  a_feature_{n} " in shown.out
        assert f"{n}.123456789\n" in shown.out
    assert "--format csv" in shown.err


@pytest.mark.parametrize(("days", "labelled"), [(7, True), (1, False)])
def test_the_end_of_a_demo_says_commands_that_the_command_line_understands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, days: int, labelled: bool
) -> None:
    end = date(2026, 11, 28)
    next_steps(tmp_path / "a home", end - timedelta(days=days - 1), end)
    said = capsys.readouterr().err
    commands = [shlex.split(line)[1:] for line in said.splitlines() if line.startswith("  crypto-assets ")]
    assert {command[0] for command in commands} == {"dev", "sql", "report"} | ({"dataset"} if labelled else set())
    for name, *arguments in commands:
        cli.commands[name].make_context(name, [*arguments], click.Context(cli))  # reads the arguments, runs nothing
        assert arguments[-2:] == ["--home", str(tmp_path / "a home")]


def status_document(failing: int) -> dict[str, Any]:
    checks = {f"check_{n}": {"passed": n >= failing, "severity": "WARN", "description": "late"} for n in range(5)}
    asset = {
        "state": "not shown", "partitions": {"materialized": 6, "expected": 6, "failed": 0}, "coverage": None, "rows": 3340,
        "newest_available_at": "2026-11-28T22:36:00", "fresh": True, "checks": checks,
    }  # fmt: skip
    population = {"overall": 0.8, "rows": 3340, "columns": {}}
    document = {"start": "2026-11-22", "end": "2026-11-28", "population": population, "enhanced_over_base": 1.0}
    document["delisted"] = {"SRM": {"on": "2022-11-28", "why": "binance delisted SRM (SRMUSDT)"}}
    return {**document, "assets": {"freshness_observations": asset, "prices": asset}}


@pytest.mark.parametrize("width", [60, 80, 120, 160])
@pytest.mark.parametrize("failing", [0, 5])
def test_status_cuts_no_word_at_any_width_and_names_what_it_leaves_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, failing: int
) -> None:
    monkeypatch.setattr(display, "_console", lambda: Console(width=width))
    display.status_table(status_document(failing))
    shown = capsys.readouterr().out
    assert "…" not in shown
    lines = [
        line for line in shown.splitlines() if "freshness_observations" in line and "check_" not in line.split()[0]
    ]
    assert "not shown" in lines[0]
    every = {"asset", "state", "partitions", "coverage", "failed", "rows", "newest known", "fresh", "checks"}
    lacking = next((line for line in shown.splitlines() if line.startswith("Left out")), "")
    header = next(line for line in shown.splitlines() if "asset" in line and "state" in line)
    assert {name for name in every if name not in header} == {name for name in every if name in lacking}
    assert "not shown: the provider" in shown, "the state is explained"
    assert "SRM was delisted on 2022-11-28: binance delisted SRM (SRMUSDT)." in shown
