"""``crypto-assets dataset``: a training set in a Parquet file."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import click

from crypto_assets.cli import Positive, configured
from crypto_assets.dates import parse_moment
from crypto_assets.errors import UsageError


@click.command()
@click.option("--start", "start_text", required=True, help="First ts, YYYY-MM-DD[THH:MM] in UTC.")
@click.option(
    "--end", "end_text", required=True, help="Last instant: everything in the set, also labels, is known by then."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Parquet file to write.")
@click.option("--horizon", "horizon_text", default="24h", show_default=True, help="How far labels look: 24h, 7d.")
@click.option("--as-of", "as_of_text", help="Version of ml_features, or an instant: the tables as they were then.")
@click.option("--symbols", help="Coins, e.g. BTC,ETH; default: all in the table.")
@click.option("--columns", help="Features, e.g. rsi_14,return_24h; default: all.")
@click.option(
    "--barrier", default=1.0, show_default=True, type=Positive(),
    help="Distance of the barriers in volatilities of the horizon.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def dataset(
    start_text: str,
    end_text: str,
    out: Path,
    horizon_text: str,
    as_of_text: str | None,
    symbols: str | None,
    columns: str | None,
    barrier: float,
    as_json: bool,
) -> None:
    """Write features with forward-return and triple-barrier labels, point-in-time and reproducible."""
    from crypto_assets.operate import dataset as training
    from crypto_assets.storage import pins
    from crypto_assets.storage.warehouse import Warehouse

    request = training.Request(
        start=parse_moment(start_text, "--start"),
        end=parse_moment(end_text, "--end"),
        horizon=training.parse_horizon(horizon_text),
        barrier=barrier,
        symbols=_listed(symbols, upper=True),
        columns=_listed(columns),
        as_of=_as_of(as_of_text),
    )
    warehouse = Warehouse(configured().warehouse)
    built = training.build(warehouse, request, out)
    pins.pin(warehouse, str(out.resolve()), built.versions)  # maintenance keeps these versions
    version = built.versions[training.FEATURES]
    if as_json:
        document = {
            "out": str(out), "rows": built.rows, "features": built.features, "unlabelled": built.unlabelled,
            "labels": list(request.horizon.columns), "as_of": version, "delta_versions": built.versions,
        }  # fmt: skip
        click.echo(json.dumps(document))
    else:
        click.echo(
            f"{out}: {built.rows:,} rows, {built.features} features, labels {', '.join(request.horizon.columns)}; "
            f"{built.unlabelled:,} rows without a label left out"
        )
        click.echo(f"to get the same bytes later, run the same command with --as-of {version}", err=True)


def _listed(text: str | None, *, upper: bool = False) -> tuple[str, ...] | None:
    if text is None:
        return None
    found = dict.fromkeys(part.strip().upper() if upper else part.strip() for part in text.split(","))
    return tuple(part for part in found if part)


def _as_of(text: str | None) -> int | datetime | None:
    if text is None:
        return None
    if text.strip().isdigit() and len(text.strip()) < 8:  # 20210301 is a day in ISO's basic form
        return int(text)
    moment = parse_moment(text, "--as-of")
    if moment > datetime.now(timezone.utc):
        raise UsageError(f"--as-of {text} is in the future: the same call would give other bytes later")
    return moment
