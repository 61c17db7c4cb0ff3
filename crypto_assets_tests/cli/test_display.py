"""Progress and results on terminals of any width, and as lines elsewhere; what a demo says at its end."""

from __future__ import annotations

import io
import shlex
from datetime import date, timedelta
from pathlib import Path

import click
import polars as pl
import pytest
from rich.console import Console

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
        cli.commands[name].make_context(name, arguments, click.Context(cli))  # reads the arguments, runs nothing
        assert arguments[-2:] == ["--home", str(tmp_path / "a home")]
