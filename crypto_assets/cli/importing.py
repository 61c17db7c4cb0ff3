"""``crypto-assets import-news``: history of news from files, through the same tables as the news of today."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import click

from crypto_assets.cli import configured, examples, home_option
from crypto_assets.dates import today
from crypto_assets.errors import CryptoAssetsError


@click.command(
    "import-news",
    short_help="Import news of the past from files.",
    epilog=examples(
        "import-news archive.parquet", "import-news 2021.csv 2022.jsonl", "import-news archive.csv --copy-only --json"
    ),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--copy-only", is_flag=True, help="Only take the files; a backfill materialises their days later.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@home_option
def import_news(files: tuple[Path, ...], copy_only: bool, as_json: bool) -> None:
    """Import news from FILES (CSV, JSON lines or Parquet; docs/news.md has the columns), and derive what rests on it.

    The files are kept in NEWS_FOLDER, or in the folder news of the home. The same files again change nothing: only days that
    were not derived since the files are there are derived, so a command that was stopped is continued.
    """
    settings = configured()
    from crypto_assets.operate import home_sandbox
    from crypto_assets.operate.importing import import_files, tables_of_news

    found = import_files(files, settings, datetime.now(timezone.utc))
    document = {
        "articles": found.articles, "files_written": list(found.written), "set_aside": found.set_aside,
        "start": found.first and found.first.isoformat(), "end": found.last and found.last.isoformat(),
    }  # fmt: skip
    first, last = max(found.first or settings.start, settings.start), min(found.last or settings.start, today())
    if found.articles and not copy_only and first <= last:
        with home_sandbox.running(settings, _load_graph):
            from crypto_assets.cli.display import progress
            from crypto_assets.operate.backfill import backfill
            from crypto_assets.runtime.home import open_instance
            from crypto_assets.storage.warehouse import Warehouse

            with open_instance(settings) as instance, progress() as show:
                report = backfill(
                    instance, Warehouse(settings.warehouse), tables_of_news(), first, last,
                    not_since=found.kept_at, progress=show, asked_by="crypto-assets import-news",
                )  # fmt: skip
        if report.failures:
            table, sentence = next(iter(report.failures.items()))
            raise CryptoAssetsError(f"{table}: {sentence}; the files are kept, run the same command again")
        document["partitions"] = report.partitions
    click.echo(json.dumps(document) if as_json else _lines(document))


def _load_graph() -> None:
    import crypto_assets.operate.graph  # noqa: F401


def _lines(document: dict[str, object]) -> str:
    aside = document["set_aside"]
    said = [f"{document['articles']} article(s) of {document['start']} to {document['end']}"]
    said += [f"{count} row(s) left out: {reason}" for reason, count in aside.items()] if isinstance(aside, dict) else []
    return "\n".join(said)
