"""Small charts for metadata: Markdown that contains the picture, so that the UI loads nothing.

A run has one picture, with its last day: a picture for every day would make the event log large.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import TypeAlias

import dagster as dg
import pandas as pd

from crypto_assets.settings import Settings

LINES, POINTS = 6, 240  # of a chart: more cannot be distinguished
TICKS = 6  # of an axis, at most: each takes as long to place and draw as all the lines
_DRAWING = threading.Lock()  # matplotlib draws in one thread at a time, and steps that ask providers run in several
Series: TypeAlias = Mapping[str, tuple[Sequence[date | datetime], Sequence[float | None]]]


def show(context: dg.AssetExecutionContext, name: str, markdown: Callable[[], str]) -> None:
    """Put a picture or a text into the metadata of the run's last day.

    Ticks of the day in progress show none, and neither does a dry run: drawing takes longer than they do. Nor does the
    history of a demo, which lies before the first partition that the UI shows.

    Args:
        context: the asset's.
        name: the entry's name.
        markdown: makes it; called only where it is shown.
    """
    keys = context.partition_key_range
    today = datetime.now(timezone.utc).date().isoformat()
    if keys.start == keys.end == today or not hasattr(context, "_step_execution_context"):
        return
    if date.fromisoformat(keys.end) < Settings.from_env().start:
        return
    with _DRAWING:
        text = markdown()
    context.add_asset_metadata({name: dg.MetadataValue.md(text)}, partition_key=keys.end)


def prices(frame: pd.DataFrame) -> str:
    """The course of the largest coins over the run's days, each as a share of its first price.

    Args:
        frame: symbol, ts, price_usd and market_cap_usd.

    Returns:
        Markdown.
    """
    by_size = frame.groupby("symbol")["market_cap_usd"].max().sort_values(ascending=False, na_position="last")
    first = frame.sort_values("ts").groupby("symbol")["price_usd"].transform("first")
    shares = frame.assign(share=frame["price_usd"] / first - 1)
    return line_chart(
        _series(shares, [str(symbol) for symbol in by_size.index[:LINES]], "share"),
        title="Price, change since the first hour",
        unit="%",
    )


def sentiment(frame: pd.DataFrame) -> str:
    """The tone of the news of the coins that are most written about, hour by hour.

    Args:
        frame: symbol, ts, sentiment_24h and article_count_24h.

    Returns:
        Markdown.
    """
    by_count = frame.groupby("symbol")["article_count_24h"].sum().sort_values(ascending=False)
    lines = _series(frame, [str(symbol) for symbol in by_count.index[:LINES]], "sentiment_24h")
    return line_chart(lines, title="Sentiment of the last 24 hours' news", unit="-1 to 1")


def _series(frame: pd.DataFrame, symbols: Sequence[str], column: str) -> Series:
    """The column by symbol, of at most ``POINTS`` points each."""
    found: dict[str, tuple[Sequence[date | datetime], Sequence[float | None]]] = {}
    for symbol in symbols:
        rows = frame[frame["symbol"] == symbol].sort_values("ts")
        rows = rows.iloc[:: max(1, len(rows) // POINTS)]
        found[symbol] = list(rows["ts"]), list(rows[column].astype(float))
    return found


def line_chart(series: Series, *, title: str, unit: str, marks: Sequence[tuple[datetime, float, float]] = ()) -> str:
    """Draw a line chart.

    Args:
        series: Label -> (times, values); None leaves a gap.
        title: The title.
        unit: The label of the value axis; ``"%"`` expects fractions and shows percent.
        marks: Points over the lines, numbered from 1: time, value and size.

    Returns:
        A Markdown image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(8, 3.2), dpi=90)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, (times, values) in series.items():
        numbers = [float("nan") if value is None else value for value in values]
        axes.plot(times, numbers, label=name, linewidth=1.4, marker="." if len(numbers) < 40 else "")  # type: ignore[arg-type]
    for number, (at, mark, size) in enumerate(marks, start=1):
        axes.scatter([at], [mark], s=20 * size, color="tab:red", alpha=0.7, zorder=3)  # type: ignore[arg-type]
        axes.annotate(str(number), (at, mark), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8)  # type: ignore[arg-type]
    locator = AutoDateLocator(minticks=3, maxticks=TICKS)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.yaxis.set_major_locator(MaxNLocator(TICKS))
    if unit == "%":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        axes.set_ylabel(unit)
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if series:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    ConstrainedLayoutEngine().execute(
        figure
    )  # as layout="constrained" does, which draws the whole figure once more for it
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return f"![{title}](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})"
