"""``crypto-assets report``: write the quality page now."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import click

from crypto_assets.cli import configured, examples, home_option
from crypto_assets.errors import CryptoAssetsError, free_space_note


@click.command(short_help="Write the data quality page.", epilog=examples("report", "report --out quality.html --json"))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File; default: reports/ in the home folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@home_option
def report(out: Path | None, as_json: bool) -> None:
    """Write the data quality page: coverage, freshness, population, agreement, calls, narratives, service level."""
    from crypto_assets.monitoring.quality import figures
    from crypto_assets.monitoring.quality_report import write
    from crypto_assets.runtime.home import open_instance

    try:
        with open_instance(
            configured()
        ) as instance:  # sets the address of the Postgres with calls, incidents, failed partitions
            path, found = write(configured(), datetime.now(timezone.utc), out, instance)
    except OSError as error:
        raise CryptoAssetsError(
            f"the report cannot be written ({error}){free_space_note(error, out or configured().home)}; give another --out"
        ) from error
    for why in found.not_readable.values():
        click.echo(f"crypto-assets: {why}", err=True)
    click.echo(json.dumps({"path": str(path), "figures": figures(found)}) if as_json else str(path))
