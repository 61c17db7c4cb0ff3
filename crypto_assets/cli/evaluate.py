"""``crypto-assets evaluate``: what the models were worth over a range of days."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crypto_assets.cli import configured, examples, home_option
from crypto_assets.dates import check_range, parse_day
from crypto_assets.errors import CryptoAssetsError, free_space_note

if TYPE_CHECKING:
    from crypto_assets.monitoring.model_proofs import Proof
    from crypto_assets.monitoring.model_quality import ModelQuality
    from crypto_assets.storage.warehouse import Warehouse


@click.command(
    short_help="Judge the models' predictions beside one-line rules, after costs.",
    epilog=examples(
        "evaluate --start 2024-01-01 --end 2024-06-30",
        "evaluate --start 2024-01-01 --end 2024-06-30 --proofs",
        "evaluate --start 2024-01-01 --end 2024-06-30 --json",
    ),
)
@click.option("--start", "start_text", required=True, help="First day, YYYY-MM-DD.")
@click.option("--end", "end_text", required=True, help="Last day, YYYY-MM-DD, included.")
@click.option(
    "--proofs", "with_proofs", is_flag=True, help="Train on shuffled labels, planted leaks and truncated tables too."
)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report as an HTML page too, proofs included.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@home_option
def evaluate(start_text: str, end_text: str, with_proofs: bool, page: Path | None, as_json: bool) -> None:
    """Judge the stored predictions: rank IC, portfolio after costs, deflated Sharpe, beside rules and holding."""
    settings = configured()
    start, end = parse_day(start_text, "--start"), parse_day(end_text, "--end")
    check_range(start, end, settings.start)
    from crypto_assets.monitoring import model_proofs, model_quality
    from crypto_assets.storage.warehouse import Warehouse

    warehouse, now = Warehouse(settings.warehouse), datetime.now(timezone.utc)
    click.echo(f"reading predictions, prices and features of {start} to {end}", err=True)
    found = model_quality.gather(warehouse, settings, start, end, now)
    proved = list(model_proofs.prove(warehouse, found, now)) if with_proofs or page is not None else []
    if page is not None:
        _write(page, warehouse, found, proved)
    if as_json:
        proofs = [{"name": one.name, "holds": one.holds, "sentence": one.sentence, **one.numbers} for one in proved]
        click.echo(json.dumps({**model_quality.document(found), "proofs": proofs}))
    else:
        _show(found, proved)
    # That a rule does as well is a finding, not an error.
    if broken := [one for one in proved if one.holds is False and one.name != model_proofs.VERDICT]:
        raise CryptoAssetsError(f"proof {broken[0].name} does not hold: {broken[0].sentence}")


def _write(page: Path, warehouse: Warehouse, found: ModelQuality, proved: Sequence[Proof]) -> None:
    from crypto_assets.monitoring.model_report import drift_of, write_page

    try:
        write_page(page, found, proved, drift_of(warehouse, found.end, found.made_at))
    except OSError as error:
        raise CryptoAssetsError(
            f"the page cannot be written ({error}){free_space_note(error, page)}; give another --page"
        ) from error


def _show(found: ModelQuality, proved: list[Proof]) -> None:
    from crypto_assets.cli.display import evaluation_table
    from crypto_assets.monitoring.model_quality import GENERATED, UNIVERSE

    evaluation_table(found)
    for one in proved:
        click.echo(
            f"{'not judged' if one.holds is None else 'holds' if one.holds else 'FAILS'}  {one.name}: {one.sentence}"
        )
    click.echo(UNIVERSE, err=True)
    if found.generated:
        click.echo(GENERATED, err=True)
