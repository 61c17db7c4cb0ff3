"""The quality report as one HTML page: no script, nothing loaded, light and dark, charts with their numbers in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from html import escape
from pathlib import Path

import polars as pl

from crypto_assets.monitoring import history_report
from crypto_assets.monitoring import svg_charts as draw
from crypto_assets.monitoring.quality import Quality
from crypto_assets.transforms import service_level

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
HOUR = timedelta(hours=1)
LOWEST = 5  # the number of tables whose course is drawn


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
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>Data quality, {found.made_at:%Y-%m-%d %H:%M} UTC</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>Data quality</h1><p>{found.made_at:%A %d %B %Y, %H:%M} UTC · recent figures: "
        f"{found.start} to {found.end}</p></header>{_tiles(found)}{_not_readable(found)}{_failed(found)}{_incidents(found)}"
        f'<div class="cards">{"".join(cards)}</div><footer>{_footer(found)}</footer></main></body></html>\n'
    )


def _card(
    found: Quality, title: str, text: str, draw_it: Callable[[Quality], str], *tables: str, wide: bool = False
) -> str:
    """Render one card. ``tables``: the tables without which the card would be wrong."""
    broken = [table for table in tables if table in found.not_readable]
    body = f'<p class="empty">Not known: {" and ".join(broken)} cannot be read.</p>' if broken else draw_it(found)
    said = "" if broken else f"<p>{escape(text)}</p>"
    return f'<section class="card{" wide" if wide else ""}"><h2>{escape(title)}</h2>{said}{body}</section>'


def _tiles(found: Quality) -> str:
    fresh, judged = (sum(seen.fresh in wanted for seen in found.fresh) for wanted in ((True,), (True, False)))
    covered = found.mean_covered
    month = _share(found, service_level.ALL, "30d")
    tiles = [
        ("Tables fresh", f"{fresh} of {judged}" if judged else "recorded data", "none" if not judged else "good" if fresh == judged else "bad"),
        ("Coverage, 30 days", "none due" if covered is None else _percent(covered), _grade(covered, 0.98, 0.9)),
        ("Service level, 30 days", "not observed" if month is None else f"{month:.2%}", _grade(month, _target(found), 0.95)),
        ("Features populated", f"{found.populated:.1%}", _grade(found.populated, 0.6, 0.4)),
        ("Enhanced ÷ base", f"{found.enhanced:.1%}", _grade(found.enhanced, 1.0, 0.98)),
        ("Partitions left failed", _failed_count(found), "none" if found.failed is None else "bad" if found.failed else "good"),
        ("Open incidents", _count(found), "none" if found.incidents is None else "bad" if found.incidents else "good"),
    ]  # fmt: skip
    cells = "".join(f'<li class="{state}"><b>{value}</b><span>{name}</span></li>' for name, value, state in tiles)
    return f'<ul class="tiles">{cells}</ul>'


def _count(found: Quality) -> str:
    return "unknown" if found.incidents is None else str(len(found.incidents))


def _failed_count(found: Quality) -> str:
    return "unknown" if found.failed is None else f"{sum(len(days) for days in found.failed.values()):,}"


def _failed(found: Quality) -> str:
    if not found.failed:
        return ""
    items = "".join(
        f"<li><b>{escape(table)}</b>: {len(days):,} day(s), {days[0]} to {days[-1]}. "
        f"crypto-assets backfill --start {days[0]} --end {days[-1]} --missing tries again.</li>"
        for table, days in found.failed.items()
    )
    return f'<section class="card wide alert"><h2>Partitions left failed</h2><ul>{items}</ul></section>'


def _grade(value: float | None, good: float, warn: float) -> str:
    if value is None:
        return "none"
    return "good" if value >= good - 1e-9 else "warn" if value >= warn else "bad"


def _not_readable(found: Quality) -> str:
    items = "".join(f"<li>{escape(why[:400])}</li>" for why in found.not_readable.values())  # each names its table
    title = "Tables that cannot be read, shown as if they had no rows"
    return f'<section class="card wide alert"><h2>{title}</h2><ul>{items}</ul></section>' if items else ""


def _incidents(found: Quality) -> str:
    if not found.incidents:
        return ""
    items = "".join(
        f"<li><b>{escape(i.kind.replace('_', ' '))}: {escape(i.subject)}</b> since {i.since:%Y-%m-%d %H:%M} UTC. "
        f"{escape(i.what[:300])}</li>"
        for i in found.incidents
    )
    return f'<section class="card wide alert"><h2>Open incidents</h2><ul>{items}</ul></section>'


def _coverage(found: Quality) -> str:
    months = found.by_month["month"].unique().sort().to_list()
    names = list(found.covered)
    shares = {(a, m): s for a, m, s in found.by_month.rows()}
    legend = "".join(f'<li><i style="background:var(--heat-{n})"></i>{t}</li>' for n, t in enumerate(draw.STEP_NAMES))
    legend += '<li><i style="background:var(--none)"></i>not due</li>'
    rows = [[name, *("–" if (s := shares.get((name, m))) is None else f"{s:.0%}" for m in months)] for name in names]
    numbers = _table(["asset", *(f"{m:%Y-%m}" for m in months)], rows)
    picture = draw.heat_map("Coverage by asset and month", names, months, shares)
    return f'<ul class="legend">{legend}</ul>{picture}{_details("The numbers", numbers)}'


def _history(found: Quality) -> str:
    newest = history_report.newest(found.history)
    if not newest:
        return '<p class="empty">Not looked at yet: the schedule report_four_times_a_day notes the first look.</p>'
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
    titles = ("All tables", f"Days with rows, the {LOWEST} lowest tables")
    pair = "".join(f"<div><h3>{t}</h3>{p}</div>" for t, p in zip(titles, (whole, tables), strict=True))
    return f'<div class="pair">{pair}</div>{_details("The numbers of the newest look", _table(head, rows))}'


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{int(share * 1000) / 10:.1f} %"  # only a complete table shows 100 %


def _freshness(found: Quality) -> str:
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
    return draw.bars(title, [s.table for s in seen], ratios, colors, labels, limit=1.0, top=1.5, ticks="limit")


def _span(age: timedelta) -> str:
    hours = age / HOUR
    return (
        f"{age.total_seconds() / 60:.0f} min"
        if hours < 3
        else f"{hours:.1f} h"
        if hours < 48
        else f"{hours / 24:.0f} d"
    )


def _level(found: Quality) -> str:
    if found.level.is_empty():
        return '<p class="empty">Not observed yet: the schedule observe_every_15_minutes writes the first slot.</p>'
    rows = []
    for asset in [service_level.ALL, *(name for name in found.covered if name in set(found.level["asset"]))]:
        shares = [_share(found, asset, window) for window in service_level.WINDOWS]
        left = found.level.row(by_predicate=(pl.col("asset") == asset) & (pl.col("window") == "30d"), named=True)
        cells = [
            f'<span class="{_grade(s, _target(found), 0.95)}">{s:.2%}</span>' if s is not None else "–" for s in shares
        ]
        budget = left["error_budget_left"]
        said = f"{budget:.0%}" if budget >= 0 else f"spent {1 - budget:,.1f}×"
        cells.append(f'<span class="{_grade(budget, 0.25, 0.0)}">{said}</span>')
        rows.append(
            [escape("all tables" if asset == service_level.ALL else asset), *cells, f"{left['unobserved_slots']:,}"]
        )
    return _table(["asset", *service_level.WINDOWS, "budget left", "unseen"], rows, plain=False)


def _population(found: Quality) -> str:
    shares = list(found.groups.values())
    colors = [draw.SERIES[0] if share >= 0.05 else draw.BAD for share in shares]
    labels = [f"{share:.1%}" for share in shares]
    return draw.bars("Share of populated feature cells by group", list(found.groups), shares, colors, labels)


def _agreement(found: Quality) -> str:
    held = f"<p>Quarantine: {escape(found.held.description)}.</p>"
    if found.agreeing.is_empty():
        return f'<p class="empty">No hour is stored from both sources in this range.</p>{held}'
    title = "Share of coin-hours in which CoinGecko and Kraken agree within 1 %"
    days, shares = found.agreeing["date"].to_list(), found.agreeing["share"].to_list()
    return draw.line(title, days, shares, limit=0.99, lowest=0.97) + held


def _budget_text(found: Quality) -> str:
    errors, calls = int(found.calls["errors"].sum()), int(found.calls["calls"].sum())
    text = f"{calls:,} calls, {errors:,} without a good answer."
    return text if found.budget is None else f"{text} Of the month, {found.budget.description}."


def _calls(found: Quality) -> str:
    if found.calls.is_empty():
        return '<p class="empty">No calls in this range.</p>'
    return _by_day("Calls to providers by day", found.calls, "provider", "calls", {})


def _narratives(found: Quality) -> str:
    if found.articles.is_empty():
        return '<p class="empty">No articles in this range.</p>'
    colors = {"model": draw.SERIES[0], "lexicon": draw.SERIES[1], "nobody": draw.BAD}
    return _by_day("Articles by day and by who judged them", found.articles, "outcome", "articles", colors)


def _by_day(title: str, frame: pl.DataFrame, by: str, value: str, colors: dict[str, str]) -> str:
    """Draw stacked bars by day: the largest five layers by name, the rest together."""
    totals = dict(frame.group_by(by).agg(pl.col(value).sum()).sort(value, descending=True).rows())
    top = list(totals)[:5]
    named = frame.with_columns(pl.when(pl.col(by).is_in(top)).then(by).otherwise(pl.lit("others")).alias(by))
    days = named["date"].unique().sort().to_list()
    sums = {(d, n): v for d, n, v in named.group_by("date", by).agg(pl.col(value).sum()).rows()}
    names = [*top, *(["others"] if len(totals) > 5 else [])]
    layers: dict[str, Sequence[float]] = {name: [float(sums.get((day, name), 0)) for day in days] for name in names}
    chosen = {name: colors.get(name, draw.SERIES[n % len(draw.SERIES)]) for n, name in enumerate(names)}
    numbers = _table([by, value], [[name, f"{totals[name]:,}"] for name in totals])
    return draw.stacked(title, days, layers, chosen) + _details("The numbers", numbers)


def _table(head: list[str], rows: list[list[str]], *, plain: bool = True) -> str:
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0]) if plain else row[0]}</th>'
        + "".join(f"<td>{escape(cell) if plain else cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>'


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>{body}</details>"


def _share(found: Quality, asset: str, window: str) -> float | None:
    rows = found.level.filter(pl.col("asset") == asset, pl.col("window") == window)
    return float(rows["share_fresh"][0]) if rows.height else None


def _target(found: Quality) -> float:
    return float(found.level["target"][0]) if found.level.height else service_level.SLO_TARGET


def _footer(found: Quality) -> str:
    said = ["Read from the tables when this page was made.", *(f"{note}." for note in found.notes)]
    return escape(" ".join(said))
