"""``crypto-assets migrate``, ``ready``, ``backup``, ``restore`` and ``unpin``: for a deployment's jobs, probes and runbooks."""

from __future__ import annotations

import re

import click

from crypto_assets.cli import configured, examples, home_option
from crypto_assets.errors import CryptoAssetsError, UsageError
from crypto_assets.settings import place


@click.command(short_help="Create or migrate Dagster's tables in Postgres.", epilog=examples("migrate"))
@home_option
def migrate() -> None:
    """Create or migrate Dagster's tables in Postgres; safe to repeat, also while pods run."""
    from crypto_assets.runtime.home import open_instance

    with open_instance(configured()) as instance:
        click.echo(f"Dagster's tables are up to date; {instance.get_runs_count()} run(s) are kept")


@click.command(
    short_help="Exit 0 if all that this process needs can be reached.",
    epilog=examples("ready", "ready --code crypto-assets-code:4000"),
)
@click.option("--code", help="HOST:PORT of the code location that this process needs.")
@home_option
def ready(code: str | None) -> None:
    """Exit 0 if everything that this process needs can be reached; else say what is missing. For readiness probes."""
    from crypto_assets.operate.ready import missing

    found = missing(configured(), _host_and_port(code) if code is not None else None)
    if found:
        raise CryptoAssetsError("not ready: " + "; ".join(found))
    click.echo("ready")


@click.command(
    short_help="Copy the whole warehouse to a folder or s3:// address.",
    epilog=examples("backup --to ~/backups/crypto", "backup --to s3://my-backups/crypto"),
)
@click.option(
    "--to", "target", required=True, help="Folder or s3:// address; an earlier backup there is brought up to date."
)
@home_option
def backup(target: str) -> None:
    """Copy the whole warehouse, consistent while it is written to; existing files are not copied again."""
    from crypto_assets.storage.copies import copy_tables
    from crypto_assets.storage.warehouse import Warehouse

    done = copy_tables(Warehouse(configured().warehouse), Warehouse(place("--to", target)))
    for table, where in done.set_aside.items():
        click.echo(f"{table} is not the table that was copied earlier; the earlier copy is kept in {where}", err=True)
    if done.kept:
        click.echo(f"the warehouse no longer has {', '.join(done.kept)}: the copy is kept as it is", err=True)
    click.echo(f"{len(done.versions)} table(s), {done.files} file(s), {done.bytes} bytes copied to {target}")


@click.command(short_help="Copy a backup into an empty warehouse.", epilog=examples("restore --from ~/backups/crypto"))
@click.option("--from", "source", required=True, help="Folder or s3:// address of a backup.")
@home_option
def restore(source: str) -> None:
    """Copy a backup into the warehouse, which must not hold any of its tables."""
    from crypto_assets.storage.copies import copy_tables
    from crypto_assets.storage.warehouse import Warehouse

    target = Warehouse(configured().warehouse)
    done = copy_tables(Warehouse(place("--from", source)), target, only_into_empty=True)
    click.echo(f"{len(done.versions)} table(s), {done.files} file(s), {done.bytes} bytes restored to {target.uri}")


@click.command(
    short_help="Stop keeping the table versions that DATASET rests on.", epilog=examples("unpin training.parquet")
)
@click.argument("dataset")
@home_option
def unpin(dataset: str) -> None:
    """Let go of the table versions that DATASET (the file that `dataset` wrote) rests on.

    They can then no longer be read back with --as-of once the tidy job has removed their files.
    """
    from crypto_assets.storage import pins
    from crypto_assets.storage.warehouse import Warehouse

    warehouse = Warehouse(configured().warehouse)
    count = pins.unpin(warehouse, dataset)
    if not count:
        known = ", ".join(pins.datasets(warehouse)) or "none"
        raise UsageError(f"no dataset {dataset!r} is pinned in {warehouse.uri}; pinned: {known}")
    click.echo(f"{count} version(s) of tables are no longer kept for {dataset}")


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        raise UsageError(f"--code {text!r} is not an address; write HOST:PORT, e.g. crypto-assets-code:4000")
    return host.removeprefix("[").removesuffix("]"), int(port)


COMMANDS = [migrate, ready, backup, restore, unpin]
