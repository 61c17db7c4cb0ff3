"""Charts as inline SVG in the page's own colours: one picture for light and dark, sharp at any size, with a title.

matplotlib draws with stand-in colours. They become CSS variables, so that the page's colour scheme decides.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PolyCollection
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Stand-in colour -> CSS variable. matplotlib writes these colours nowhere else.
INK, MUTED, GRID, SURFACE = "#010203", "#040506", "#070809", "#0a0b0c"
GOOD, WARN, BAD, NONE = "#0d0e0f", "#101112", "#131415", "#161718"
HEAT = ("#191a1b", "#1c1d1e", "#1f2021", "#222324", "#252627")
SERIES = ("#28292a", "#2b2c2d", "#2e2f30", "#313233", "#343536", "#373839")
_VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", SURFACE: "surface", GOOD: "good", WARN: "warn", BAD: "bad", NONE: "none",
    **{color: f"heat-{n}" for n, color in enumerate(HEAT)}, **{color: f"series-{n}" for n, color in enumerate(SERIES)},
}  # fmt: skip
_STYLE: Any = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 10, "text.color": INK, "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": MUTED, "ytick.labelcolor": INK,
    "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none", "grid.color": GRID,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "ytick.major.size": 0,
    "xtick.major.size": 3, "legend.frameon": False, "legend.fontsize": 9, "svg.hashsalt": "crypto_assets",
}  # fmt: skip
# The lowest share of each step of the heat map. The top step means that nothing at all is missing.
STEPS = (0.0, 0.5, 0.9, 0.98, 1.0)
WEEK = timedelta(days=6)
Size = tuple[float, float]
Cell = list[tuple[float, float]]  # its corners
STEP_NAMES = ("under 50 %", "50 to 90 %", "90 to 98 %", "98 % and more", "complete")


def drawn(title: str, draw: Callable[[Axes], None], size: Size) -> Markup:
    """Draw a chart.

    Args:
        title: the accessible title.
        draw: fills the axes.
        size: width and height in inches, at 72 px per inch.

    Returns:
        An ``<svg>`` element.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, dpi=72)
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        ConstrainedLayoutEngine().execute(figure)  # as layout="constrained" does, with a second drawing of the figure
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(out.getvalue(), title)


def _inline(svg: str, title: str) -> Markup:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # several pictures share a page, and ids would repeat
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    for color, name in _VARIABLES.items():
        svg = svg.replace(color, f"var(--{name})")
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    return Markup(re.sub(r"\n\s*", "\n", svg))  # matplotlib escaped the texts


def step(share: float) -> int:
    """Return the step of the heat map that a share belongs to."""
    return max(n for n, lowest in enumerate(STEPS) if share >= lowest - 1e-9)


def heat_map(
    title: str, names: Sequence[str], months: Sequence[date], shares: dict[tuple[str, date], float | None]
) -> Markup:
    """Draw shares by name and month; a cell that is not expected stays empty.

    Args:
        title: the accessible title.
        names: one row each.
        months: one column each, as the first day of the month.
        shares: (name, month) -> share; None where nothing is expected.

    Returns:
        An ``<svg>`` element.
    """

    def draw(axes: Axes) -> None:
        cells = {n: list[Cell]() for n in (*range(len(HEAT)), None)}
        for row, name in enumerate(names):
            for column, month in enumerate(months):
                cells[_step(shares.get((name, month)))].append(_cell(column, row))
        # A collection for each colour: one for each row as well takes as long as the rest of the picture.
        for n, found in cells.items():
            color = NONE if n is None else HEAT[n]
            axes.add_collection(PolyCollection(found, facecolors=color, linewidth=0), autolim=False)
        every = max(1, -(-len(months) // 12))
        axes.set_xticks([n + 0.5 for n in range(0, len(months), every)])
        axes.set_xticklabels([_month(months[n], first=n == 0) for n in range(0, len(months), every)])
        axes.set_yticks([n + 0.5 for n in range(len(names))], names)
        axes.set_ylim(len(names), 0)
        axes.set_xlim(0, max(len(months), 6))
        axes.spines[["bottom"]].set_visible(False)
        axes.tick_params(axis="x", length=0)

    return drawn(title, draw, (11, 0.29 * len(names) + 0.5))


def _cell(column: int, row: int) -> Cell:
    left, right, top, bottom = column + 0.04, column + 0.96, row + 0.08, row + 0.92
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _step(share: float | None) -> int | None:
    return None if share is None else step(share)


def _month(month: date, *, first: bool) -> str:
    return f"{month:%b}\n{month:%Y}" if first or month.month == 1 else f"{month:%b}"


def bars(
    title: str, names: Sequence[str], values: Sequence[float], colors: Sequence[str], labels: Sequence[str],
    *, limit: float | None = None, top: float = 1.0, ticks: str = "%", width: float = 5.4,
) -> Markup:  # fmt: skip
    """Draw horizontal bars, each with its value beside it.

    Args:
        title: the accessible title.
        names: one bar each.
        values: the lengths.
        colors: the colours.
        labels: the texts of the values.
        limit: where to draw a line that the bars should not cross; None for none.
        top: the end of the scale.
        ticks: the unit of the scale.
        width: the width in inches.

    Returns:
        An ``<svg>`` element.
    """

    def draw(axes: Axes) -> None:
        axes.barh(list(names), [top] * len(names), color=NONE, height=0.56)
        axes.barh(list(names), [min(v, top) for v in values], color=list(colors), height=0.56)
        for n, (text, color) in enumerate(zip(labels, colors, strict=True)):
            axes.text(top * 1.02, n, text, va="center", ha="left", fontsize=9.5, color=INK if color != BAD else BAD)
        if limit is not None:
            axes.axvline(limit, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.invert_yaxis()
        axes.set_xlim(0, top)
        axes.margins(y=0.01)
        axes.spines[["bottom"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        if ticks == "%":
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
            axes.xaxis.set_major_locator(MaxNLocator(4))
        else:
            axes.set_xticks([0, limit or top], ["0", ticks])

    return drawn(title, draw, (width, 0.27 * max(len(names), 2) + 0.55))


def stacked(title: str, days: Sequence[date], layers: dict[str, Sequence[float]], colors: dict[str, str]) -> Markup:
    """Draw one stacked bar per day.

    Args:
        title: the accessible title.
        days: one bar each.
        layers: name -> value per day; the first is at the bottom.
        colors: name -> colour.

    Returns:
        An ``<svg>`` element.
    """

    def draw(axes: Axes) -> None:
        base = [0.0] * len(days)
        for name, values in layers.items():
            axes.bar(days, values, bottom=base, width=0.8, color=colors[name], label=name, linewidth=0)  # type: ignore[arg-type]
            base = [a + b for a, b in zip(base, values, strict=True)]
        _time_axis(axes, days)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=4, handlelength=1, handleheight=0.9, columnspacing=1.2
        )

    return drawn(title, draw, (5.4, 2.5))


def line(title: str, days: Sequence[date], values: Sequence[float], *, limit: float, lowest: float) -> Markup:
    """Draw one share over days, with the line that it should stay above.

    Args:
        title: the accessible title.
        days: the days.
        values: the shares.
        limit: where to draw the line.
        lowest: the beginning of the scale.

    Returns:
        An ``<svg>`` element.
    """

    def draw(axes: Axes) -> None:
        axes.plot(days, values, color=SERIES[0], linewidth=1.8, marker="o", markersize=3.5)  # type: ignore[arg-type]
        axes.axhline(limit, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_ylim(min(lowest, min(values, default=1.0)) - 0.002, 1.002)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        _time_axis(axes, days)

    return drawn(title, draw, (5.4, 2.2))


def lines(
    title: str, series: Mapping[str, tuple[Sequence[date], Sequence[float | None]]], *, size: Size = (5.4, 2.5)
) -> Markup:
    """Draw several shares over days; None leaves a gap. The scale begins a tenth below the lowest.

    Args:
        title: the accessible title.
        series: name -> (days, shares).
        size: width and height in inches.

    Returns:
        An ``<svg>`` element.
    """

    def draw(axes: Axes) -> None:
        for n, (name, (days, values)) in enumerate(series.items()):
            numbers = [float("nan") if value is None else value for value in values]
            style: Any = {"color": SERIES[n % len(SERIES)], "linewidth": 1.8, "markersize": 3.5}
            axes.plot(days, numbers, label=name, marker="o" if len(numbers) < 40 else "", **style)  # type: ignore[arg-type]
        known = [value for _, values in series.values() for value in values if value is not None]
        lowest = int(min(known, default=0.9) * 10 - 1e-9) / 10
        axes.set_ylim(max(0.0, lowest) - 0.01, max([1.0, *known]) + 0.01)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        _time_axis(axes, [day for days, _ in series.values() for day in days])
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handlelength=1.4, columnspacing=1.2)

    return drawn(title, draw, size)


def curves(
    title: str, series: Mapping[str, tuple[Sequence[Any], Sequence[float | None]]], *,
    band: tuple[float, float] | None = None, marks: Sequence[float] = (), unit: str = "", size: Size = (5.4, 2.5),
) -> Markup:  # fmt: skip
    """Draw lines around zero.

    Args:
        title: the accessible title.
        series: name -> (days or numbers, values); None leaves a gap.
        band: lowest and highest value of a shaded band; None for none.
        marks: positions of the ticks where the horizontal axis is one of numbers.
        unit: ``%`` for fractions.
        size: width and height in inches.

    Returns:
        An ``<svg>`` element.
    """

    def draw(axes: Axes) -> None:
        for n, (name, (places, values)) in enumerate(series.items()):
            numbers = [float("nan") if value is None else value for value in values]
            color = SERIES[n % len(SERIES)]
            axes.plot(
                places,
                numbers,
                label=name,
                color=color,
                linewidth=1.8,
                marker="o" if len(numbers) < 40 else "",
                markersize=3.5,
            )  # type: ignore[arg-type]
        axes.axhline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        if band is not None:
            axes.axhspan(*band, color=NONE, zorder=0)
        if unit == "%":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if marks:
            axes.set_xscale("log")
            axes.set_xticks(list(marks), [f"{mark:g}" for mark in marks])
            axes.minorticks_off()
            axes.grid(axis="y", linewidth=0.8)
            axes.set_axisbelow(True)
        else:
            _time_axis(axes, [day for days, _ in series.values() for day in days])
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handlelength=1.4, columnspacing=1.2)

    return drawn(title, draw, size)


def _time_axis(axes: Axes, days: Sequence[date]) -> None:
    first, last = min(days), max(days)
    edge = timedelta(hours=16)
    low, high = (datetime.combine(day, time()) for day in (min(first, last - WEEK), last))  # at least a week
    axes.set_xlim(low - edge, high + edge)  # type: ignore[arg-type]
    locator: Any = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.grid(axis="y", linewidth=0.8)
    axes.set_axisbelow(True)
