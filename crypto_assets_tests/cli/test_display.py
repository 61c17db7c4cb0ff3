"""Progress on terminals of any width, and as lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from crypto_assets.cli.display import progress, progress_bar


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
