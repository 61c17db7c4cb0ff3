"""The quality report as one HTML page: no script, nothing loaded, light and dark, charts with their numbers in words.

This module decides what the page says; ``page.html`` how it is laid out. The template escapes every text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import polars as pl
from markupsafe import Markup

from crypto_assets.monitoring import history_report
from crypto_assets.monitoring import svg_charts as draw
from crypto_assets.monitoring.quality import Quality
from crypto_assets.transforms import service_level

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "page.css").read_text(encoding="utf-8")
HOUR = timedelta(hours=1)
LOWEST = 5  # the number of tables whose course is drawn


class Tile(NamedTuple):
    """A number at the top of the page. ``state``: good, warn, bad or none, a class of the style."""

    name: str
    value: str
    state: str


class Cell(NamedTuple):
    """A coloured cell of a table."""

    text: str
    state: str


class Table(NamedTuple):
    """Numbers in rows; the first cell of a row names it."""

    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True)
class Body:
    """What a card shows, in the order of the page; what is empty is left out."""

    missing: str = ""  # why there is no picture
    legend: Sequence[tuple[str, str]] = ()  # (colour of the style, its meaning)
    picture: Markup = field(default_factory=Markup)
    pair: Mapping[str, Markup] = field(default_factory=dict)  # title -> picture, side by side
    table: Table | None = None
    folded: str = ""  # the line that unfolds the table; empty: the table is shown
    note: str = ""


class Card(NamedTuple):
    """One card of the page."""

    title: str
    text: str
    body: Body
    wide: bool


def render(found: Quality) -> str:
    """Render the report as one HTML document."""
    cards = [
        _card(found, "Coverage by asset and month", "Days with rows ÷ days due, every stored month. Empty: nothing was due, or the provider does not show it.", _coverage, wide=True),
        _card(found, "History over time", "Share of the expected history, from CRYPTO_ASSETS_START to the day of each observation, that is there.", _history, "history_report", wide=True),
        _card(found, "Freshness", "Age of the newest row against the table's limit (dashed).", _freshness),
        _card(found, "Service level", f"Share of 15-minute slots in which the table was fresh; promised: {_target(found):.0%}. Slots that were not observed are not fresh.", _level, "freshness_observations"),
        _card(found, "Population by feature group", f"Cells of ml_features that a source gave, {found.feature_rows:,} rows.", _population, "ml_features"),
        _card(found, "Source agreement", found.agreement.description + ".", _agreement, "prices", "kraken_ohlc", "quarantine"),
        _card(found, "API calls", _budget_text(found), _calls, "api_usage"),
        _card(found, "Narratives", "Articles by who judged them.", _narratives, "news_articles", "article_narratives"),
    ]  # fmt: skip
    return document(
        "Data quality", "recent figures", found=found, tiles=_tiles(found), cards=cards, footer=_footer(found)
    )


def document(title: str, figures_of: str, *, notices: Mapping[str, Sequence[str]] | None = None, **parts: Any) -> str:
    """Lay a report out as one HTML document.

    Args:
        title: of the page.
        figures_of: what the range of days under the title is about.
        notices: title -> lines that stand in red above the cards.
        parts: ``found`` with ``made_at``, ``start`` and ``end``; ``tiles``, ``cards`` and ``footer``.
    """
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return templates.get_template("page.html").render(
        title=title, figures_of=figures_of, notices=notices or {}, style=Markup(STYLE), **parts
    )


def _card(
    found: Quality, title: str, text: str, draw_it: Callable[[Quality], Body], *tables: str, wide: bool = False
) -> Card:
    """Make one card. ``tables``: the tables without which the card would be wrong."""
    broken = [table for table in tables if table in found.not_readable]
    if broken:
        return Card(title, "", Body(missing=f"Not known: {' and '.join(broken)} cannot be read."), wide)
    return Card(title, text, draw_it(found), wide)


def _tiles(found: Quality) -> list[Tile]:
    fresh, judged = (sum(seen.fresh in wanted for seen in found.fresh) for wanted in ((True,), (True, False)))
    covered = found.mean_covered
    month = _share(found, service_level.ALL, "30d")
    return [
        Tile("Tables fresh", f"{fresh} of {judged}" if judged else "recorded data", "none" if not judged else "good" if fresh == judged else "bad"),
        Tile("Coverage, 30 days", "none due" if covered is None else _percent(covered), _grade(covered, 0.98, 0.9)),
        Tile("Service level, 30 days", "not observed" if month is None else f"{month:.2%}", _grade(month, _target(found), 0.95)),
        Tile("Features populated", f"{found.populated:.1%}", _grade(found.populated, 0.6, 0.4)),
        Tile("Enhanced ÷ base", f"{found.enhanced:.1%}", _grade(found.enhanced, 1.0, 0.98)),
        Tile("Partitions left failed", _failed_count(found), "none" if found.failed is None else "bad" if found.failed else "good"),
        Tile("Open incidents", _count(found), "none" if found.incidents is None else "bad" if found.incidents else "good"),
    ]  # fmt: skip


def _count(found: Quality) -> str:
    return "unknown" if found.incidents is None else str(len(found.incidents))


def _failed_count(found: Quality) -> str:
    return "unknown" if found.failed is None else f"{sum(len(days) for days in found.failed.values()):,}"


def _grade(value: float | None, good: float, warn: float) -> str:
    if value is None:
        return "none"
    return "good" if value >= good - 1e-9 else "warn" if value >= warn else "bad"


def _coverage(found: Quality) -> Body:
    months = found.by_month["month"].unique().sort().to_list()
    names = list(found.covered)
    shares = {(a, m): s for a, m, s in found.by_month.rows()}
    rows = [[name, *("–" if (s := shares.get((name, m))) is None else f"{s:.0%}" for m in months)] for name in names]
    return Body(
        legend=[*((f"heat-{n}", text) for n, text in enumerate(draw.STEP_NAMES)), ("none", "not due")],
        picture=draw.heat_map("Coverage by asset and month", names, months, shares),
        table=Table(["asset", *(f"{m:%Y-%m}" for m in months)], rows),
        folded="The numbers",
    )


def _history(found: Quality) -> Body:
    newest = history_report.newest(found.history)
    if not newest:
        return Body(missing="Not looked at yet: the schedule report_four_times_a_day notes the first look.")
    there = {name: row["share_with_rows"] for name, row in newest.items() if name != history_report.ALL}
    low = sorted((name for name, share in there.items() if share is not None), key=there.__getitem__)[:LOWEST]
    whole = draw.lines("Share of the expected history that is there, all tables", history_report.lines(found.history))
    single = {name: history_report.series(found.history, name, "share_with_rows") for name in low}
    tables = draw.lines(f"Share of days with rows, the {LOWEST} lowest tables", single)
    head = ["asset", "days due", "materialised", "with rows", "rows due", "rows there"]
    rows = [
        [
            "all tables" if name == history_report.ALL else name, f"{row['partitions_expected']:,}",
            _percent(row["share_materialized"]), _percent(row["share_with_rows"]),
            "–" if row["rows_expected"] is None else f"{row['rows_expected']:,}", _percent(row["share_rows"]),
        ]
        for name in [history_report.ALL, *found.covered] if (row := newest.get(name))
    ]  # fmt: skip
    pair = {"All tables": whole, f"Days with rows, the {LOWEST} lowest tables": tables}
    return Body(pair=pair, table=Table(head, rows), folded="The numbers of the newest look")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{int(share * 1000) / 10:.1f} %"  # only a complete table shows 100 %


def _freshness(found: Quality) -> Body:
    seen = sorted(
        found.fresh, key=lambda s: (s.fresh is not False, -(s.age / s.late_after if s.age is not None else 99))
    )
    ratios = [s.age / s.late_after if s.age is not None else 0.0 for s in seen]
    colors = [draw.NONE if s.age is None or s.fresh is None else draw.GOOD if s.fresh else draw.BAD for s in seen]
    labels = [
        "cannot be read"
        if s.table in found.not_readable
        else "no rows"
        if s.age is None
        else f"{_span(s.age)} of {_span(s.late_after)}" + ("" if s.fresh else f", {s.status}")
        for s in seen
    ]
    title = "Age of the newest row by table, in shares of its limit"
    names = [s.table for s in seen]
    return Body(picture=draw.bars(title, names, ratios, colors, labels, limit=1.0, top=1.5, ticks="limit"))


def _span(age: timedelta) -> str:
    hours = age / HOUR
    return (
        f"{age.total_seconds() / 60:.0f} min"
        if hours < 3
        else f"{hours:.1f} h"
        if hours < 48
        else f"{hours / 24:.0f} d"
    )


def _level(found: Quality) -> Body:
    if found.level.is_empty():
        return Body(missing="Not observed yet: the schedule observe_every_15_minutes writes the first slot.")
    rows: list[list[str | Cell]] = []
    for asset in [service_level.ALL, *(name for name in found.covered if name in set(found.level["asset"]))]:
        shares = [_share(found, asset, window) for window in service_level.WINDOWS]
        left = found.level.row(by_predicate=(pl.col("asset") == asset) & (pl.col("window") == "30d"), named=True)
        cells = [Cell(f"{s:.2%}", _grade(s, _target(found), 0.95)) if s is not None else "–" for s in shares]
        budget = left["error_budget_left"]
        said = f"{budget:.0%}" if budget >= 0 else f"spent {1 - budget:,.1f}×"
        name = "all tables" if asset == service_level.ALL else asset
        rows.append([name, *cells, Cell(said, _grade(budget, 0.25, 0.0)), f"{left['unobserved_slots']:,}"])
    return Body(table=Table(["asset", *service_level.WINDOWS, "budget left", "unseen"], rows))


def _population(found: Quality) -> Body:
    shares = list(found.groups.values())
    colors = [draw.SERIES[0] if share >= 0.05 else draw.BAD for share in shares]
    labels = [f"{share:.1%}" for share in shares]
    title = "Share of populated feature cells by group"
    return Body(picture=draw.bars(title, list(found.groups), shares, colors, labels))


def _agreement(found: Quality) -> Body:
    held = f"Quarantine: {found.held.description}."
    if found.agreeing.is_empty():
        return Body(missing="No hour is stored from both sources in this range.", note=held)
    title = "Share of coin-hours in which CoinGecko and Kraken agree within 1 %"
    days, shares = found.agreeing["date"].to_list(), found.agreeing["share"].to_list()
    return Body(picture=draw.line(title, days, shares, limit=0.99, lowest=0.97), note=held)


def _budget_text(found: Quality) -> str:
    errors, calls = int(found.calls["errors"].sum()), int(found.calls["calls"].sum())
    text = f"{calls:,} calls, {errors:,} without a good answer."
    return text if found.budget is None else f"{text} Of the month, {found.budget.description}."


def _calls(found: Quality) -> Body:
    if found.calls.is_empty():
        return Body(missing="No calls in this range.")
    return _by_day("Calls to providers by day", found.calls, "provider", "calls", {})


def _narratives(found: Quality) -> Body:
    if found.articles.is_empty():
        return Body(missing="No articles in this range.")
    colors = {"model": draw.SERIES[0], "lexicon": draw.SERIES[1], "nobody": draw.BAD}
    return _by_day("Articles by day and by who judged them", found.articles, "outcome", "articles", colors)


def _by_day(title: str, frame: pl.DataFrame, by: str, value: str, colors: dict[str, str]) -> Body:
    """Draw stacked bars by day: the largest five layers by name, the rest together."""
    totals = dict(frame.group_by(by).agg(pl.col(value).sum()).sort([value, by], descending=[True, False]).rows())
    top = list(totals)[:5]
    named = frame.with_columns(pl.when(pl.col(by).is_in(top)).then(by).otherwise(pl.lit("others")).alias(by))
    days = named["date"].unique().sort().to_list()
    sums = {(d, n): v for d, n, v in named.group_by("date", by).agg(pl.col(value).sum()).rows()}
    names = [*top, *(["others"] if len(totals) > 5 else [])]
    layers: dict[str, Sequence[float]] = {name: [float(sums.get((day, name), 0)) for day in days] for name in names}
    chosen = {name: colors.get(name, draw.SERIES[n % len(draw.SERIES)]) for n, name in enumerate(names)}
    numbers = Table([by, value], [[name, f"{totals[name]:,}"] for name in totals])
    return Body(picture=draw.stacked(title, days, layers, chosen), table=numbers, folded="The numbers")


def _share(found: Quality, asset: str, window: str) -> float | None:
    rows = found.level.filter(pl.col("asset") == asset, pl.col("window") == window)
    return float(rows["share_fresh"][0]) if rows.height else None


def _target(found: Quality) -> float:
    return float(found.level["target"][0]) if found.level.height else service_level.SLO_TARGET


def _footer(found: Quality) -> str:
    said = ["Read from the tables when this page was made.", *(f"{note}." for note in found.notes)]
    return " ".join(said)
