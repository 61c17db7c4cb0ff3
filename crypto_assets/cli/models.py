"""``crypto-assets train``, ``models`` and ``signals``: models, what is registered of them, and what they say now."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import Any

import click

from crypto_assets.cli import configured, examples, home_option
from crypto_assets.dates import today
from crypto_assets.errors import CryptoAssetsError, UsageError

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else."
)


@click.command(
    short_help="Train the models of a month on what was known when it began.",
    epilog=examples("train", "train --month 2024-03", "train --month 2024-03 --json"),
)
@click.option(
    "--month", "text", help="Month, YYYY-MM; default: the one in progress, or the last of a demo's recordings."
)
@home_option
@as_json_option
def train(text: str | None, as_json: bool) -> None:
    """Train every configured model for a month, and derive the predictions and signals that rest on it again.

    A month's models know only what was known when the month began, and serve from its second day on. The same rows, code and
    configuration give the same model; then the stored one is kept.
    """
    settings = configured()
    from crypto_assets.operate import models as operations

    first = operations.parse_month(text) if text else (settings.last_day or today()).replace(day=1)
    if first > today():
        raise UsageError(f"--month {first:%Y-%m} is in the future; choose an earlier month")
    if first < settings.start and settings.demo is not None:  # its models rest on the history before its first day
        os.environ["CRYPTO_ASSETS_START"] = first.isoformat()
        settings = configured()
    if first < settings.start:
        raise UsageError(f"{first:%Y-%m} begins before the first partition ({settings.start}); choose a later --month")
    from crypto_assets.cli.display import progress
    from crypto_assets.operate.backfill import backfill
    from crypto_assets.runtime.home import open_instance
    from crypto_assets.storage.warehouse import Warehouse

    warehouse = Warehouse(settings.warehouse)
    with operations.alone(settings, first), open_instance(settings) as instance, progress() as show:
        report = backfill(
            instance, warehouse, ("trained_models",), first, first, progress=show, asked_by="crypto-assets train"
        )
    if report.failures:
        raise CryptoAssetsError(next(iter(report.failures.values())))
    found = operations.trained_in(warehouse, first, datetime.now(timezone.utc))
    _show({"models": found}, as_json, lambda: _registry_lines(found))


@click.command(
    short_help="List the trained models, or compare two.",
    epilog=examples("models", "models --json", "models 3f2a91c 77ab02d"),
)
@click.argument("ids", nargs=-1)
@home_option
@as_json_option
def models(ids: tuple[str, ...], as_json: bool) -> None:
    """List every training, the newest first; with two IDS (beginnings of model_id) say in what they differ."""
    if len(ids) not in (0, 2):
        raise UsageError("give no model_id to list all trainings, or two to compare them")
    from crypto_assets.operate import models as operations
    from crypto_assets.storage.warehouse import Warehouse

    warehouse = Warehouse(configured().warehouse)
    if ids:
        found = operations.compare(warehouse, *ids)
        _show(found, as_json, lambda: _comparison_lines(found))
        return
    rows = operations.registry(warehouse)
    if not rows and not as_json:
        raise CryptoAssetsError("no model was trained yet: crypto-assets train trains the month in progress")
    _show({"models": rows}, as_json, lambda: _registry_lines(rows))


@click.command(
    short_help="Show the newest signal of each coin, with its age and model.",
    epilog=examples("signals", "signals --symbols BTC,ETH", "signals --json"),
)
@click.option("--symbols", help="Coins, e.g. BTC,ETH; default: all.")
@home_option
@as_json_option
def signals(symbols: str | None, as_json: bool) -> None:
    """Show the newest target weight of each coin, how strong it is, and the features that moved its score most.

    It is the output of a model, and neither an order nor advice.
    """
    from crypto_assets.operate import models as operations
    from crypto_assets.storage.warehouse import Warehouse

    settings = configured()
    wanted = None if symbols is None else [part.strip().upper() for part in symbols.split(",") if part.strip()]
    found = operations.latest_signals(
        Warehouse(settings.warehouse), wanted, datetime.now(timezone.utc), settings.last_day
    )
    _show(found, as_json, lambda: _signal_lines(found))


def _show(document: dict[str, Any], as_json: bool, lines: Any) -> None:
    if as_json:
        click.echo(json.dumps(document))
    else:
        for line in lines():
            click.echo(line)


def _registry_lines(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'month':8}{'model':14}{'id':14}{'rows':>10}{'features':>10}{'rank IC out of fold':>21}  state"]
    for row in rows:
        ic = "-" if row["out_of_fold_rank_ic"] is None else f"{row['out_of_fold_rank_ic']:.4f}"
        state = row["status"] if row["reason"] is None else f"{row['status']}: {row['reason']}"
        lines.append(
            f"{row['date'][:7]:8}{row['model'][:13]:14}{row['model_id'][:12]:14}{row['rows']:>10,}{row['features']:>10}"
            f"{ic:>21}  {state}"
        )
    return lines


def _comparison_lines(found: dict[str, Any]) -> list[str]:
    left, right = found["models"]
    lines = [f"{name:22}{left[name]!s:>40}{right[name]!s:>40}"[:200] for name in left]
    lines += [f"setting {name}: {one!r} against {other!r}" for name, (one, other) in found["settings"].items()]
    for place in ("first", "second"):
        if names := found[f"features_of_{place}_only"]:
            lines.append(f"features of the {place} only: {', '.join(names)}")
    return [*lines, f"trained on the same rows: {'yes' if found['same_rows'] else 'no'}"]


def _signal_lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{'coin':8}{'weight':>9}  {'strength':9}{'rank':>6}  {'model':12}{'age':>9}  moved most by"]
    for row in found["signals"]:
        lines.append(
            f"{row['symbol']:8}{row['weight']:>+9.4f}  {row['strength']:9}{row['rank']:>6.2f}  {row['model'][:11]:12}"
            f"{row['age_minutes']:>5.0f} min  {', '.join(row['reasons'])}"
        )
    newest = found["signals"][0]
    lines.append(
        f"model {newest['model_id'][:12]}, trained until {newest['trained_until'][:16]} ({newest['model_age_days']} days ago)"
    )
    if found["generated_market"]:
        lines.append("the market is generated: these signals mean nothing")
    return lines
