"""A picture of a column over time, drawn by matplotlib and shown by a notebook."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from crypto_assets.errors import UsageError
from crypto_assets.tables.contract import Contract

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = 8  # more cannot be distinguished
POINTS = 2_000  # of a line; a screen shows no more


class Plot:
    """A picture. A notebook shows it; ``figure`` is matplotlib's own, to be changed or saved."""

    def __init__(self, figure: Figure, said: str) -> None:
        self.figure = figure
        self._said = said

    def save(self, path: str | Path) -> None:
        """Write the picture; the name's ending decides the format (png, svg, pdf)."""
        self.figure.savefig(path, dpi=150)

    def __repr__(self) -> str:
        return f"Plot({self._said})"

    def _repr_png_(self) -> bytes:
        into = io.BytesIO()
        self.figure.savefig(into, format="png", dpi=110)
        return into.getvalue()


def line_plot(contract: Contract, rows: pl.DataFrame, column: str) -> Plot:
    """Draw a column over time.

    Args:
        contract: the table of the rows.
        rows: the key and the column, in key order.
        column: a column of numbers.

    Returns:
        The picture: a line for each of the first :data:`LINES` things that the key names.

    Raises:
        UsageError: no row has a value.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    time = contract.time_column or "date"
    rows = rows.filter(pl.col(column).is_not_null())
    if rows.is_empty():
        raise UsageError(
            f"no row of {contract.table} has {column} there, so there is nothing to draw; choose other days"
        )
    names = [name for name in contract.key if name != time] if time in contract.key else []
    lines = rows.with_columns(
        pl.concat_str([pl.col(name).cast(pl.String) for name in names] or [pl.lit(column)], separator=" ").alias(
            "_line"
        )
    )
    drawn = lines["_line"].unique(maintain_order=True)[:LINES].to_list()
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name in drawn:
        line = lines.filter(pl.col("_line") == name).sort(time)
        line = line.gather_every(max(1, line.height // POINTS))
        axes.plot(line[time].to_list(), line[column].to_list(), label=name, linewidth=1.3)  # type: ignore[arg-type]
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_ylabel(contract.by_name[column].unit)
    rest = lines["_line"].n_unique() - len(drawn)
    title = f"{contract.table}.{column}" + (f"   ({rest} more not drawn)" if rest else "")
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    return Plot(figure, f"{title}: {', '.join(drawn)}")
