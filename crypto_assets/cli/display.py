"""Show results: tables and progress bars on a terminal, plain lines elsewhere. Nothing is measured here."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl
import polars.selectors as cs
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from crypto_assets.monitoring.model_quality import ModelQuality
    from crypto_assets.operate.backfill import BackfillReport
    from crypto_assets.operate.doctor import Finding


_ANY_WIDTH = 100_000  # to measure what a table needs


def _console() -> Console:
    # Without a terminal there is no width to fit, and tables must not be cut.
    return Console(width=None if sys.stdout.isatty() else 160)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show progress on stderr.

    Yields:
        A function (what, done, total) that moves a bar on a terminal, or prints a line elsewhere.
    """
    if not sys.stderr.isatty():
        yield _line_by_line(time.monotonic())
        return
    with progress_bar(Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def progress_bar(console: Console) -> Progress:
    """Return a progress bar of one line at any width: what is long is cut, and narrow terminals have no bar."""
    what = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
    numbers = (MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    columns = (what, BarColumn(20), *numbers, TimeElapsedColumn()) if console.width >= 100 else (what, *numbers)
    return Progress(*columns, console=console, transient=True, expand=True)


def _line_by_line(began: float) -> Callable[[str, int, int], None]:
    """Print a line when something else begins; what only moves on is not worth one."""
    shown = ""

    def line(what: str, done: int, total: int) -> None:
        nonlocal shown
        if what != shown:
            shown = what
            took = time.monotonic() - began
            # The first partitions may be trainings, which take a hundred times as long as days.
            left = f", about {took * (total - done) / done:.0f} s left" if total / 10 <= done < total else ""
            print(f"[{done}/{total} partitions{left}] {what}", file=sys.stderr, flush=True)

    return line


def backfill_table(report: BackfillReport) -> None:
    """Print the result of a backfill: partitions and rows by asset."""
    table = Table(title=f"Backfill: {report.seconds:.1f} s", title_justify="left")
    for name in ("asset", "requested", "materialized", "failed", "rows in range"):
        table.add_column(name, justify="left" if name == "asset" else "right")
    for asset, counts in report.partitions.items():
        cells = [f"{counts[name]:,}" for name in ("requested", "materialized", "failed")]
        table.add_row(asset, *cells, f"{report.rows[asset]:,}")
    _console().print(table)


# Columns of ``status`` that a narrow terminal does without, in this order.
_LEFT_OUT_FIRST = ("newest known", "failed", "partitions", "rows", "coverage")

# States that do not say by themselves what they mean, as in docs/operations.md. Neither is trouble.
_MEANINGS = {
    "not shown": "the provider shows no days before the table's first row, so none is due and there is no coverage",
    "none due": "no day of the range is over, or the provider lists no configured coin",
}


def status_table(document: dict[str, Any]) -> None:
    """Print the document of ``status``: one line per asset. A narrow terminal gets fewer columns and the names of the others."""
    rows = [_status_row(asset, found) for asset, found in document["assets"].items()]
    console, title, left_out = _console(), f"Status {document['start']} to {document['end']}", 0
    table = _fitting(title, rows, ())
    while Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).maximum > console.width:
        if left_out == len(_LEFT_OUT_FIRST):
            break
        left_out += 1
        table = _fitting(title, rows, _LEFT_OUT_FIRST[:left_out])
    console.print(table)
    if left_out:
        lacking = ", ".join(_LEFT_OUT_FIRST[:left_out])
        console.print(f"Left out at this width: {lacking}. A wider terminal or --json shows them.", soft_wrap=True)
    states = {found["state"] for found in document["assets"].values()}
    for state, meaning in _MEANINGS.items():
        if state in states:
            console.print(f"{state}: {meaning}.", soft_wrap=True)
    for asset, found in document["assets"].items():
        for name, check in found["checks"].items():
            if not check["passed"]:
                console.print(_as_it_is(f"{check['severity']} {asset}.{name}: {check['description']}"), soft_wrap=True)
    for symbol, end in document["delisted"].items():  # no fault, and what a reader of the table must know
        console.print(_as_it_is(f"{symbol} was delisted on {end['on']}: {end['why']}."), soft_wrap=True)
    population = document["population"]
    empty = [name for name, share in population["columns"].items() if share == 0]
    console.print(
        f"Population of ml_features: {population['overall']:.1%} of cells over {population['rows']:,} rows"
        + (f" (empty: {', '.join(empty)})" if empty else "")
        + f". Enhanced over base: {document['enhanced_over_base']:.1%}.",
        soft_wrap=True,
    )


def _status_row(asset: str, found: dict[str, Any]) -> dict[str, str]:
    """Return what ``status`` shows of an asset, by column."""
    partitions, newline = found["partitions"], "\n"
    broken = [f"{name} ({check['severity']})" for name, check in found["checks"].items() if not check["passed"]]
    return {
        "asset": asset,
        "state": found["state"],
        "partitions": f"{partitions['materialized']}/{partitions['expected']}",
        "coverage": _covered(found),
        "failed": str(partitions["failed"]),
        "rows": f"{found['rows']:,}",
        "newest known": (found["newest_available_at"] or "-")[:16].replace("T", " "),
        "fresh": {True: "yes", False: "[red]no[/red]", None: "-"}[found["fresh"]],
        "checks": f"[yellow]{newline.join(broken)}[/yellow]"
        if broken
        else "all pass"
        if found["rows"]
        else "none fails; no rows",
    }


def _fitting(title: str, rows: list[dict[str, str]], without: Sequence[str]) -> Table:
    """Make the table of ``status`` without some columns; a table that lacks some has no lines."""
    table = Table(title=title, title_justify="left", box=None if without else box.HEAVY_HEAD, pad_edge=not without)
    names = [name for name in rows[0] if name not in without] if rows else ["asset"]
    for name in names:
        left = name in ("asset", "state", "checks", "newest known")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "checks")
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def next_steps(home: Path, start: date, end: date) -> None:
    """Say on stderr what can be done with a home after its demo.

    Args:
        home: the home folder.
        start: the first day that it holds.
        end: the last one.
    """
    where = "" if home == Path(".crypto_assets").resolve() else f" --home {shlex.quote(str(home))}"
    query = "select symbol, ts, price_usd, rsi_14 from ml_features order by ts desc, symbol limit 5"
    steps = {
        "the graph, its partitions and checks in a browser": "dev",
        "the tables in SQL": f'sql "{query}"',
        "features and labels for a notebook (pandas.read_parquet)": f"dataset --start {start} --end {end} --out train.parquet",
        "the data quality page": "report",
    }
    if end - start < timedelta(days=2):  # no row has its label yet
        del steps["features and labels for a notebook (pandas.read_parquet)"]
    lines = ["", "What next:", *(f"  crypto-assets {step}{where}\n      {what}" for what, step in steps.items())]
    if shutil.which("crypto-assets") is None:
        lines.append(
            f"The command is not on your PATH: export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
        )
    click.echo("\n".join(lines), err=True)


def _covered(found: dict[str, Any]) -> str:
    """Show days with rows ÷ days due, nothing where none is due. Only a complete table shows 100 %."""
    share = found["coverage"]
    return "-" if share is None else f"{int(share * 1000) / 10:.1f}%"


def result_table(frame: pl.DataFrame, form: str) -> None:
    """Print a query's result.

    Args:
        frame: the rows.
        form: ``json``: an array of objects. Numbers are numbers (decimals and 128-bit integers too; those that are not
            finite are null), times are ISO 8601 (with their zone where they have one), lists and structs are arrays and
            objects. ``csv``: the items of a list are joined by a bar. Otherwise a table; where its words would not fit into
            the width, one line a cell, row by row.
    """
    if form == "json":
        click.echo(
            json.dumps([{name: plain(cell) for name, cell in row.items()} for row in frame.iter_rows(named=True)])
        )
    elif form == "csv":
        flat = frame.with_columns(
            pl.col(name).cast(pl.List(pl.String)).list.join("|")
            if isinstance(kind, pl.List) and not kind.inner.is_nested()  # type: ignore[union-attr]
            else pl.Series(
                name, [None if c is None else json.dumps(plain(c)) for c in frame[name].to_list()], pl.String
            )
            for name, kind in frame.schema.items()
            if kind.is_nested()
        ).with_columns(cs.binary().bin.encode("hex"))
        click.echo(flat.write_csv(), nl=False)
    else:
        table = Table()
        for name in frame.columns:
            table.add_column(_as_it_is(name))
        for row in frame.iter_rows():
            table.add_row(*("" if value is None else _as_it_is(str(value)) for value in row))
        console = _console()
        if Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).minimum <= console.width:
            console.print(table)
        else:
            _row_by_row(console, frame)


def _row_by_row(console: Console, frame: pl.DataFrame) -> None:
    """Print each row as lines of name and value, for results that are too wide for a table."""
    widest = max(map(len, frame.columns))
    for number, row in enumerate(frame.iter_rows(named=True), 1):
        console.print(f"[bold]row {number}[/bold]")
        for name, value in row.items():
            shown = _as_it_is("" if value is None else str(value))
            console.print(Text.assemble(_as_it_is(f"  {name:{widest}}  "), shown), soft_wrap=True)
    if frame.is_empty():
        console.print(_as_it_is(f"no rows of {', '.join(frame.columns)}"), soft_wrap=True)
    click.echo(
        f"{len(frame.columns)} columns are too wide for a table here; --format csv and json are for programs", err=True
    )


def plain(cell: Any) -> Any:
    """Convert a cell of a result for JSON (see :func:`result_table`)."""
    if isinstance(cell, dict):
        return {str(name): plain(value) for name, value in cell.items()}
    if isinstance(cell, list | tuple | pl.Series):
        return [plain(value) for value in cell]
    if isinstance(cell, Decimal):  # DuckDB's sum of integers is a Decimal
        return int(cell) if cell == cell.to_integral_value() else float(cell)
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    if isinstance(cell, date | clock):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    if isinstance(cell, bytes):
        return cell.hex()
    return cell if cell is None or isinstance(cell, bool | int | str) else str(cell)


def _as_it_is(text: str) -> Text:
    """Escape markup and control sequences in text that was written by others."""
    return Text("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))


def evaluation_table(judged: ModelQuality) -> None:
    """Print models, rules and holding side by side, then what is left of each model."""
    found = judged.comparison
    table = Table(
        "",
        *(
            Column(title, justify="right")
            for title in ("rank IC", "t NW", "net a year", "Sharpe a year", "turnover a day", "drawdown")
        ),
        box=box.SIMPLE_HEAD,
    )
    names = (
        ("rank_ic", ".4f"),
        ("t_newey_west", ".1f"),
        ("net_a_year", ".1%"),
        ("sharpe_a_year", ".2f"),
        ("turnover_a_day", ".2f"),
        ("drawdown", ".1%"),
    )
    beaten = {verdict.model for verdict in found.verdicts if verdict.beats is False}
    rows = [(one.name, one.figures) for one in (*found.models, *found.features)] + [("equal-weight hold", found.hold)]
    for name, figures in rows:
        cells = [figures.get(key, math.nan) for key, _ in names]
        shown = ["–" if math.isnan(cell) else format(cell, form) for cell, (_, form) in zip(cells, names, strict=True)]
        table.add_row(_as_it_is(name), *shown, style="red" if name in beaten else None)
    _console().print(table)
    for verdict in found.verdicts:
        chance = (
            ""
            if math.isnan(verdict.deflated)
            else f"; deflated Sharpe probability {verdict.deflated:.1%} of {found.trials:,} trials"
        )
        _console().print(_as_it_is(f"{verdict.sentence}{chance}"), style="red" if verdict.beats is False else None)


def doctor_line(finding: Finding) -> None:
    """Print a finding as one line, at once."""
    style = {"ok": "green", "warn": "yellow", "fail": "red"}[finding.state]
    line = Text.assemble((f"{finding.state:4}", style), f" {finding.name}: ", _as_it_is(finding.text))
    _console().print(line, soft_wrap=True)
    sys.stdout.flush()
