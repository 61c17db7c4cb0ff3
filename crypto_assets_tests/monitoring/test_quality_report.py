"""The quality page: true to the tables, whole in one file, readable in light and dark, safe with any text."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from crypto_assets.assets.providers import Providers
from crypto_assets.automation.schedules import FRESHNESS
from crypto_assets.cli.main import cli
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import WarehouseError
from crypto_assets.features.all_features import GROUPS
from crypto_assets.monitoring import svg_charts as draw
from crypto_assets.monitoring.alerts.incidents import Incident
from crypto_assets.monitoring.page import STYLE, render
from crypto_assets.monitoring.quality import Quality, figures, gather
from crypto_assets.monitoring.quality_report import ASSETS, path_of
from crypto_assets.settings import Settings
from crypto_assets.storage import opened as opened_tables
from crypto_assets.storage.warehouse import Warehouse

NOW = datetime(2024, 5, 4, 12, 8, tzinfo=timezone.utc)
TODAY = NOW.date()
HOUR = timedelta(hours=1)


@pytest.fixture
def found(warehouse: Warehouse, put) -> Quality:
    """Prices of ten days before today, one of them missing; a little of everything else."""
    for n in range(1, 11):
        day = TODAY - DAY * n
        at = datetime(day.year, day.month, day.day, 3, tzinfo=timezone.utc)
        if n != 4:
            put("prices", symbol="BTC", ts=at, date=day, available_at=at, price_usd=100.0)
        close = 100.0 if n < 6 else 150.0
        bar = {"open": close, "high": close, "low": close, "close": close, "volume": 1.0}
        put("kraken_ohlc", symbol="BTC", ts=at - HOUR, date=day, available_at=at, **bar)
        counts = {"calls": 50, "premium_calls": 0, "retries": 0, "rate_limited": 0, "errors": 2, "bytes": 9}
        put("api_usage", provider="coingecko", endpoint="/x", ts=at, date=day, available_at=at, **counts)
    at = NOW - HOUR
    put("ml_features", symbol="BTC", ts=at, date=TODAY, available_at=at, price_usd=1.0)
    return gather(Settings.from_env(), NOW)


def test_the_figures_are_what_the_tables_hold(found: Quality) -> None:
    numbers = figures(found)
    assert found.covered["prices"] == pytest.approx(9 / 29), "30 days up to today, whose day is not over"
    assert found.covered["api_usage"] == 1.0, "nothing is due before its first row"
    assert dict(found.agreeing.rows())[TODAY - DAY] == 1.0
    assert numbers["sources_agreeing"] == pytest.approx(4 / 9, abs=1e-5), "five of nine hours are off by half"
    assert (numbers["api_calls_30d"], numbers["api_errors_30d"]) == (500, 20)
    assert numbers["population/price"] > 0 and numbers["population/news"] == 0
    assert set(found.groups) == set(GROUPS)
    assert all(isinstance(value, int | float) for value in numbers.values()), "the UI plots numbers"


def test_a_report_opens_each_log_once_and_asks_dagster_once(
    found: Quality, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So all its figures are of one version of each table and of one instant."""
    opened: Counter[str] = Counter()

    def counting(path: str, *args: object, **named: object) -> DeltaTable:
        opened[Path(path).name] += 1
        return DeltaTable(path, *args, **named)

    monkeypatch.setattr("crypto_assets.storage.warehouse.DeltaTable", counting)
    monkeypatch.setattr(opened_tables, "newest", lambda path, mark, open_table: open_table())  # each opening counts
    with dg.DagsterInstance.ephemeral() as instance:
        storage = instance.event_log_storage
        with patch.object(storage, "get_asset_records", wraps=storage.get_asset_records) as asked:
            again = gather(Settings.from_env(), NOW, instance)
    assert again.covered == found.covered
    assert opened["prices"] == 1 and set(opened.values()) == {1}, opened
    assert asked.call_count == 1


def test_months_count_closed_days_only(found: Quality) -> None:
    shares = {(asset, month): share for asset, month, share in found.by_month.rows()}
    april, may = TODAY.replace(month=4, day=1), TODAY.replace(day=1)
    assert shares["prices", may] == 1.0, "May 1 to 3"
    assert shares["prices", april] == pytest.approx(6 / 7), "due from April 24 on, April 30 is missing"
    assert shares["ohlc", april] == 0.0
    assert shares["derivatives", may] is None, "its past cannot be fetched"


def test_old_rows_are_rows_and_their_months_are_drawn(warehouse: Warehouse, put) -> None:
    """More than three years back: neither "no rows" nor a heat map of later, empty months alone."""
    for day in (date(2020, 2, 3), date(2020, 2, 4), date(2020, 3, 1)):
        put("market_sentiment", date=day, available_at=midnight(day + DAY), fear_greed_index=50)
    found = gather(Settings.from_env(), NOW)
    shares = {(asset, month): share for asset, month, share in found.by_month.rows()}
    assert shares["market_sentiment", date(2020, 2, 1)] == pytest.approx(2 / 27), "due from the first stored day on"
    assert shares["market_sentiment", date(2020, 3, 1)] == pytest.approx(1 / 31)
    assert len({month for _, month in shares}) == 52
    seen = {one.table: one for one in found.fresh}["market_sentiment"]
    assert (seen.status, seen.newest) == ("not kept up", midnight(date(2020, 3, 2)))
    html = render(found)
    assert "not kept up" in html
    assert html.count("no rows") == len(FRESHNESS) - 1, "of the other tables"
    assert (found.start, found.end) == (date(2020, 2, 1), date(2020, 3, 1)), "recent is up to the newest day with rows"
    assert found.covered["market_sentiment"] == 3 / 30


class _Page(HTMLParser):
    VOID = ("meta", "br", "path", "use", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.stack.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(found: Quality) -> None:
    html = render(found)
    page = _Page()
    page.feed(html)
    assert page.stack == []
    assert "<script" not in html and "@import" not in html and "url(http" not in html
    fetched = [
        (t, n, v) for t, n, v in page.attributes if n in ("src", "href", "xlink:href") and not (v or "").startswith("#")
    ]
    assert fetched == []
    ids = [value for tag, name, value in page.attributes if name == "id" and tag != "path"]
    assert len(ids) == len(set(ids))
    for table in FRESHNESS:
        assert table in html
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(pictures) == html.count("<svg ") >= 4 and all(pictures)


def test_every_color_is_there_in_light_and_dark(found: Quality) -> None:
    html = render(found)
    light, dark = (set(re.findall(r"--([\w-]+):#", part)) for part in STYLE.split("prefers-color-scheme:dark"))
    assert light == dark
    assert set(re.findall(r"var\(--([\w-]+)\)", html)) <= light
    assert set(draw._VARIABLES.values()) <= light
    assert not [color for color in draw._VARIABLES if color in html], "a stand-in was left"


def test_text_from_elsewhere_stays_text(found: Quality) -> None:
    hostile = Incident(1, "run_failure", "<script>alert(1)</script>", 'a "b" & <i>', NOW, NOW)
    html = render(replace(found, incidents=[hostile]))
    assert "<script" not in html and "&lt;script&gt;" in html and "&amp; &lt;i&gt;" in html


def test_text_from_the_tables_stays_text(found: Quality, put) -> None:
    """A provider's name goes through a stored row into a chart and a table; names and notes into every other place."""
    hostile = "<script>alert('x')</script>"
    counts = {"calls": 7, "premium_calls": 0, "retries": 0, "rate_limited": 0, "errors": 0, "bytes": 9}
    put("api_usage", provider=hostile, endpoint="/x", ts=NOW - HOUR, date=TODAY, available_at=NOW, **counts)
    html = render(gather(Settings.from_env(), NOW))
    assert "<script" not in html
    assert html.count("&lt;script") == 2, "the legend of the chart and the numbers below it"
    named = {
        "states": found.states | {hostile: found.states["prices"]},
        "groups": found.groups | {hostile: 0.5},
        "failed": {hostile: [TODAY]},
        "not_readable": {hostile: hostile},
        "notes": [hostile],
        "agreement": replace(found.agreement, description=hostile),
        "held": replace(found.held, description=hostile),
    }
    for field, value in named.items():
        html = render(replace(found, **{field: value}))
        assert "<script" not in html and "&lt;script" in html, field


def test_an_empty_warehouse_has_a_page_too(warehouse: Warehouse) -> None:
    html = render(gather(Settings.from_env(), NOW))
    assert "Not observed yet" in html and "No calls in this range" in html
    not_due = {"social_sentiment", "trained_models", "predictions", "signals"}  # they begin with their first row
    assert f"0 of {len(FRESHNESS.keys() - not_due)}" in html


def test_a_broken_table_is_named_and_hides_no_other(found: Quality, warehouse: Warehouse, put) -> None:
    """One whose commit log was cut off, one that lost a day's file: counted as without rows, and said so."""
    at = NOW - DAY
    put("ml_features", symbol="BTC", ts=at, date=at.date(), available_at=at, price_usd=1.0)
    put("prices", symbol="BTC", ts=NOW - HOUR, date=TODAY, available_at=NOW - HOUR, price_usd=1.0)
    found = gather(Settings.from_env(), NOW)
    log = max(Path(warehouse.path("kraken_ohlc")).glob("_delta_log/*.json"))
    log.write_bytes(log.read_bytes()[:-40])
    next(Path(warehouse.path("ml_features")).glob(f"date={at.date()}/*.parquet")).unlink()
    broken = gather(Settings.from_env(), NOW)
    assert set(broken.not_readable) == {"kraken_ohlc", "ml_features"}
    numbers, before = figures(broken), figures(found)
    assert numbers["tables_not_readable"] == 2
    assert (numbers["coverage_30d/kraken_ohlc"], numbers["population"]) == (0, 0)
    assert before["coverage_30d/ml_features"] > numbers["coverage_30d/ml_features"] == 0, "although its log is whole"
    assert numbers["tables_fresh"] == before["tables_fresh"] - 1
    shares = {(asset, month): share for asset, month, share in broken.by_month.rows()}
    assert shares["kraken_ohlc", TODAY.replace(day=1)] == 0.0, "not 'nothing was due'"
    for name in ("coverage_30d/prices", "coverage_30d/api_usage", "api_calls_30d"):
        assert numbers[name] == before[name]
    html = render(broken)
    for table in ("kraken_ohlc", "ml_features"):
        assert f"<li>{table} in " in html
    assert html.count("Not known: ") == 2, "agreement and population"
    assert "cannot be read" not in render(found)
    for table in ("prices", "api_usage", "ml_features"):
        (Path(warehouse.path(table)) / "_delta_log").rename(Path(warehouse.path(table)) / "away")
    with pytest.raises(WarehouseError, match="cannot be read"):
        gather(Settings.from_env(), NOW)


def test_what_cannot_be_counted_is_no_zero(found: Quality, warehouse: Warehouse) -> None:
    """None held and no errors are good news, which nobody has."""
    for table in ("quarantine", "api_usage", "news_articles", "freshness_observations", "history_report"):
        shutil.rmtree(warehouse.path(table), ignore_errors=True)
        Path(warehouse.path(table)).write_text("not a table")
    broken = gather(Settings.from_env(), NOW)
    numbers = figures(broken)
    gone = {"quarantined", "api_calls_30d", "api_errors_30d", "articles_30d", "articles_by_model_30d"}
    assert set(figures(found)) - set(numbers) == gone
    html = render(broken)
    assert html.count("Not known: ") == 5
    for text in ("Quarantine: 0", "0 calls", "Not observed yet", "Not looked at yet"):
        assert text not in html


def test_the_command_names_them_too(found: Quality, warehouse: Warehouse) -> None:
    next(Path(warehouse.path("prices")).glob("date=*/*.parquet")).unlink()
    done = CliRunner().invoke(cli, ["report", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["figures"]["tables_not_readable"]) == (0, 1)
    assert "prices in " in done.stderr and "cannot be read" in done.stderr


def test_the_asset_writes_the_page_and_its_figures(found: Quality, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Providers, "now", lambda self: NOW)
    with dg.DagsterInstance.ephemeral() as instance:
        found = gather(Settings.from_env(), NOW, instance)
        done = dg.materialize(ASSETS, instance=instance, resources={"providers": Providers()})
    metadata = {k: v.value for k, v in done.get_asset_materialization_events()[0].materialization.metadata.items()}
    path = path_of(Settings.from_env())
    assert metadata["path"] == str(path)
    assert path.read_text(encoding="utf-8") == render(found)
    assert metadata["not_readable"] == "none"
    assert {k: v for k, v in metadata.items() if k not in ("path", "not_readable")} == figures(found)


@pytest.mark.parametrize(("share", "step"), [(0.0, 0), (0.49, 0), (0.5, 1), (0.97, 2), (0.99, 3), (1.0, 4)])
def test_steps_of_the_heat_map(share: float, step: int) -> None:
    assert draw.step(share) == step


def test_a_name_that_is_markup_or_mathematics_is_drawn_as_text() -> None:
    name = "</svg><script>$x^$"
    svg = draw.stacked(
        name, [datetime(2024, 1, day).date() for day in (1, 2)], {name: [1.0, 2.0]}, {name: draw.SERIES[0]}
    )
    assert "<script" not in svg and "$x^$" in svg
