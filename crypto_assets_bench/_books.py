"""Two event logs on one embedded Postgres, ours and stock, and a graph with the default graph's keys that moves no rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
from dagster import DagsterInstance

from crypto_assets.assets.calendar import daily
from crypto_assets.checks.shells import RANGE
from crypto_assets.definitions import defs
from crypto_assets.runtime.home import TEMPLATE
from crypto_assets.runtime.postgres import ensure_postgres
from crypto_assets.settings import Settings

START = date(2018, 1, 1)
OURS = ("crypto_assets.runtime.event_log", "BatchingPostgresEventLogStorage")
STOCK = ("dagster_postgres.event_log", "PostgresEventLogStorage")
# What the IO manager says of every write, in kind and size: it is stored with each partition's event.
NOTES: dict[str, Any] = {
    "dagster/row_count": 480,
    "bytes": 31_337,
    "delta_version": 17,
    "changed": True,
    "first": "2018-01-01 00:00:00+00:00",
    "last": "2018-01-01 23:00:00+00:00",
    "null_shares": {f"column_{n}": 0.0 for n in range(8)},
    "inputs_read_at": 1_700_000_000.123,
}


class Nowhere(dg.IOManager):
    """Takes what an asset gives and notes what the warehouse would: only the book-keeping is left to measure."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        context.add_output_metadata(NOTES)

    def load_input(self, context: dg.InputContext) -> None:
        return None


def hollow_graph(calendar: dg.PartitionsDefinition) -> dg.Definitions:
    """Every asset that a run fills, with its own key, upstreams and group, and nothing inside."""
    graph = defs.resolve_asset_graph()
    found = [key for key in graph.toposorted_asset_keys if graph.get(key).is_materializable]
    return dg.Definitions(
        assets=[_hollow(key, sorted(graph.get(key).parent_keys & set(found)), calendar) for key in found],
        resources={"io_manager": Nowhere()},
        executor=dg.in_process_executor,
    )


def _hollow(key: dg.AssetKey, upstream: list[dg.AssetKey], calendar: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(key=key, deps=upstream, partitions_def=calendar, backfill_policy=dg.BackfillPolicy.single_run())
    def nothing() -> dict[str, str]:
        return {}

    return nothing


@contextmanager
def books() -> Iterator[dict[str, DagsterInstance]]:
    """Instances ``ours`` and ``stock``: equal but for the event log, on databases of their own in one new server."""
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        url = ensure_postgres(Settings.from_env({"CRYPTO_ASSETS_HOME": home}))
        instances = {}
        for name, storage in (("ours", OURS), ("stock", STOCK)):
            instances[name] = stack.enter_context(_instance(Path(home) / name, url, name, storage))
        yield instances


def _instance(home: Path, url: str, name: str, storage: tuple[str, str]) -> DagsterInstance:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    home.mkdir()
    text = TEMPLATE.read_text(encoding="utf-8")
    for ours, other in zip(OURS, storage, strict=True):
        text = text.replace(ours, other)
    (home / "dagster.yaml").write_text(text, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_POSTGRES_URL"] = url.rsplit("/", 1)[0] + f"/{name}"
    os.environ["CRYPTO_ASSETS_LOGS"] = str(home / "logs")
    return DagsterInstance.get()


def book(instance: DagsterInstance, days: int) -> int:
    """One ranged run of the whole hollow graph over so many days, then every asset's partition health as the UI asks.

    Returns how many partitions are shown as materialised.
    """
    calendar = daily(START)
    graph = hollow_graph(calendar)
    last = START + timedelta(days=days - 1)
    result = graph.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={RANGE[0]: START.isoformat(), RANGE[1]: last.isoformat()},
    )
    if not result.success:
        raise RuntimeError("the hollow graph failed; its messages are above")
    keys = [(START + timedelta(days=n)).isoformat() for n in range(days)]
    shown = 0
    for key in graph.resolve_asset_graph().materializable_asset_keys:
        found = instance.get_status_by_partition(key, keys, calendar) or {}
        shown += sum(status is not None and status.value == "MATERIALIZED" for status in found.values())
    return shown
