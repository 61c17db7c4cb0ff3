"""Small line charts for metadata: Markdown that contains the picture, so that the UI loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime


def line_chart(
    series: Mapping[str, tuple[Sequence[date | datetime], Sequence[float | None]]], *, title: str, unit: str
) -> str:
    """Draw a line chart.

    Args:
        series: Label -> (times, values); None leaves a gap.
        title: The title.
        unit: The label of the value axis; ``"%"`` expects fractions and shows percent.

    Returns:
        A Markdown image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, (times, values) in series.items():
        numbers = [float("nan") if value is None else value for value in values]
        axes.plot(times, numbers, label=name, linewidth=1.4, marker="." if len(numbers) < 40 else "")  # type: ignore[arg-type]
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    if unit == "%":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        axes.set_ylabel(unit)
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if series:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return f"![{title}](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})"
