"""``crypto-assets dataset``: a training set in a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crypto_assets.cli import Positive, configured, examples, home_option, parse_as_of
from crypto_assets.dates import parse_moment

if TYPE_CHECKING:
    from crypto_assets.operate.dataset import Built


@click.command(
    short_help="Write a training set: features and labels in a Parquet file.",
    epilog=examples(
        "dataset --start 2024-01-01 --end 2024-06-30 --out training.parquet",
        "dataset --start 2024-01-01 --end 2024-06-30 --out btc.parquet --symbols BTC,ETH --horizon 7d --without-empty",
        "dataset --start 2024-01-01 --end 2024-06-30 --out training.parquet --as-of 128",
    ),
)
@click.option("--start", "start_text", required=True, help="First ts, YYYY-MM-DD[THH:MM] in UTC.")
@click.option(
    "--end", "end_text", required=True, help="Last instant: everything in the set, also labels, is known by then."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Parquet file to write.")
@click.option("--horizon", "horizon_text", default="24h", show_default=True, help="How far labels look: 24h, 7d.")
@click.option("--as-of", "as_of_text", help="Version of ml_features, or an instant: the tables as they were then.")
@click.option("--symbols", help="Coins, e.g. BTC,ETH, or tickers of these days; default: all in the table.")
@click.option(
    "--top", type=click.IntRange(min=1),
    help="Only coins that ranked so by market capitalisation on the day before, as the table universe has it.",
)  # fmt: skip
@click.option("--columns", help="Features, e.g. rsi_14,return_24h; default: all.")
@click.option(
    "--barrier", default=1.0, show_default=True, type=Positive(),
    help="Distance of the barriers in volatilities of the horizon.",
)  # fmt: skip
@click.option("--without-empty", is_flag=True, help="Leave out features that no row has a value of.")
@click.option(
    "--allow-backfilled", is_flag=True,
    help="Keep features of later tables that rest on backfilled rows; those of the older tables are kept and named.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@home_option
def dataset(
    start_text: str,
    end_text: str,
    out: Path,
    horizon_text: str,
    as_of_text: str | None,
    symbols: str | None,
    top: int | None,
    columns: str | None,
    barrier: float,
    without_empty: bool,
    allow_backfilled: bool,
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
        top=top,
        columns=_listed(columns),
        as_of=parse_as_of(as_of_text),
        without_empty=without_empty,
        allow_backfilled=allow_backfilled,
    )
    warehouse = Warehouse(configured().warehouse)
    built = training.build(warehouse, request, out)
    pins.pin(warehouse, str(out.resolve()), built.versions)  # maintenance keeps these versions
    version = built.versions[training.FEATURES]
    if as_json:
        click.echo(json.dumps(_document(out, list(request.horizon.columns), built, version)))
    else:
        click.echo(
            f"{out}: {built.rows:,} rows, {built.features} features, labels {', '.join(request.horizon.columns)}; "
            f"{built.unlabelled:,} rows without a label left out"
        )
        for remark in _remarks(built):
            click.echo(remark, err=True)
        click.echo(f"to get the same bytes later, run the same command with --as-of {version}", err=True)


def _remarks(built: Built) -> Iterator[str]:
    """Yield a line for each thing that a reader of the set should know."""
    if built.empty:
        yield f"wholly empty: {', '.join(built.empty)}; --without-empty leaves them out"
    if built.left_out:
        yield f"left out, because no row has a value: {', '.join(built.left_out)}"
    for table, names in built.backfilled.items():
        yield f"rest on backfilled rows of {table}, which may have been revised since: {', '.join(names)}"
    if built.left_out_backfilled:
        yield (
            f"left out, because they rest on backfilled rows: {', '.join(built.left_out_backfilled)}; "
            "--allow-backfilled keeps them"
        )


def _document(out: Path, labels: list[str], built: Built, version: int | None) -> dict[str, object]:
    return {
        "out": str(out), "rows": built.rows, "features": built.features, "unlabelled": built.unlabelled,
        "labels": labels, "as_of": version, "delta_versions": built.versions,
        "empty": list(built.empty), "left_out": list(built.left_out),
        "backfilled": {table: list(names) for table, names in built.backfilled.items()},
        "left_out_backfilled": list(built.left_out_backfilled),
    }  # fmt: skip


def _listed(text: str | None, *, upper: bool = False) -> tuple[str, ...] | None:
    if text is None:
        return None
    found = dict.fromkeys(part.strip().upper() if upper else part.strip() for part in text.split(","))
    return tuple(part for part in found if part)
