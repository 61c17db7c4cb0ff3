"""Dagster's tables of runs, events, ticks and snapshots, and which of their rows still count (seen in 1.13.27).

Dagster deletes single runs with all their events, also those from which the states of partitions are read (dagster issue
#18369), and never the events or snapshots of a platform that goes on (#33785). What may be deleted is a question about its
tables, so the statements that answer it stand here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

__all__ = ["FREED", "KEPT", "UNFINISHED_INDEXES", "Freed", "history_url", "keep_parents", "logs_of_gone_runs"]

ENDED = ("SUCCESS", "FAILURE", "CANCELED")  # a run that ended never changes again
OPEN_BACKFILLS = ("REQUESTED", "CANCELING", "FAILING")
# Of these the newest event of each partition counts; of every other type only the newest of the asset, e.g. its freshness.
BY_PARTITION = ("ASSET_MATERIALIZATION", "ASSET_OBSERVATION", "ASSET_FAILED_TO_MATERIALIZE")
BOUNDS = ("PIPELINE_START", "PIPELINE_SUCCESS", "PIPELINE_FAILURE", "PIPELINE_CANCELED")  # of a run that is only listed

# Temporary tables of what stays, in order: a later one reads the earlier ones. The parameters are instants, UTC without saying
# so: everything since ``before`` stays, runs since ``runs_before`` stay, and results of single days since ``results_before``.
KEPT = {
    # On these something rests, however old they are.
    "needed_runs": f"""
        SELECT run_id FROM runs WHERE status <> ALL('{{{",".join(ENDED)}}}')
        UNION SELECT last_run_id FROM asset_keys  -- health of an asset
        UNION (SELECT DISTINCT ON (asset_key) run_id FROM event_logs
          WHERE asset_key IS NOT NULL AND dagster_event_type = 'ASSET_MATERIALIZATION' ORDER BY asset_key, id DESC)
        UNION (SELECT DISTINCT ON (pipeline_name, status) run_id FROM runs  -- how each job ended last
          ORDER BY pipeline_name, status, id DESC)
        UNION SELECT run_id FROM runs JOIN bulk_actions ON bulk_actions.key = backfill_id
          WHERE bulk_actions.status = ANY('{{{",".join(OPEN_BACKFILLS)}}}')
        UNION SELECT attempt.run_id  -- a partition is failed while its last attempt is that of a failed run
          FROM (SELECT max(id) FILTER (WHERE dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED') AS planned,
                  max(id) FILTER (WHERE dagster_event_type = 'ASSET_MATERIALIZATION') AS made
                FROM event_logs WHERE asset_key IS NOT NULL
                  AND dagster_event_type IN ('ASSET_MATERIALIZATION_PLANNED', 'ASSET_MATERIALIZATION')
                GROUP BY asset_key, partition) AS newest
          JOIN event_logs AS attempt ON attempt.id = newest.planned
          JOIN runs ON runs.run_id = attempt.run_id AND runs.status = 'FAILURE'
          WHERE made IS NULL OR planned > made
        UNION (SELECT DISTINCT ON (asset_key, check_name) run_id FROM asset_check_executions
          ORDER BY asset_key, check_name, id DESC)
        UNION (SELECT DISTINCT ON (asset_key, check_name) run_id FROM asset_check_executions
          WHERE execution_status <> 'PLANNED' ORDER BY asset_key, check_name, id DESC)
        UNION SELECT run_id FROM (  -- a check that was planned and never made is skipped or failed, as its run ended
          SELECT DISTINCT ON (asset_key, check_name, partition) run_id, execution_status, create_timestamp
          FROM asset_check_executions ORDER BY asset_key, check_name, partition, id DESC) AS newest
          WHERE execution_status = 'PLANNED' AND create_timestamp >= %(results_before)s""",
    # Their pages show what they showed before: all that a run left stays with it. Of the others only the start and the end.
    "whole_runs": """
        SELECT run_id FROM needed_runs
        UNION SELECT run_id FROM runs WHERE greatest(create_timestamp, update_timestamp) >= %(before)s
          OR (status = 'FAILURE' AND greatest(create_timestamp, update_timestamp) >= %(runs_before)s)""",
    "kept_events": f"""
        SELECT max(id) AS id FROM event_logs
          WHERE asset_key IS NOT NULL AND dagster_event_type = ANY('{{{",".join(BY_PARTITION)}}}')
          GROUP BY asset_key, dagster_event_type, partition
        UNION SELECT max(id) FROM event_logs WHERE asset_key IS NOT NULL GROUP BY asset_key, dagster_event_type""",
    # How a check stands, and how it stood last on each day.
    "kept_checks": """
        SELECT max(id) AS id FROM asset_check_executions GROUP BY asset_key, check_name
        UNION SELECT max(id) FROM asset_check_executions WHERE execution_status <> 'PLANNED' GROUP BY asset_key, check_name
        UNION SELECT max(id) FROM asset_check_executions WHERE create_timestamp >= %(results_before)s
          GROUP BY asset_key, check_name, partition
        UNION SELECT max(id) FROM asset_check_executions
          WHERE create_timestamp >= %(results_before)s AND execution_status <> 'PLANNED'
          GROUP BY asset_key, check_name, partition""",
    "kept_ticks": "SELECT max(id) AS id FROM job_ticks GROUP BY selector_id",
}
# Plans and graphs of kept runs. The graph of a part of a job has a parent, whose name is in the graph: ``keep_parents``.
KEPT_SNAPSHOTS = """
    SELECT snapshot_id FROM runs WHERE snapshot_id IS NOT NULL
    UNION SELECT run_body::json ->> 'execution_plan_snapshot_id' FROM runs"""
PARENT = re.compile(rb'"parent_snapshot_id": "([0-9a-f]+)"')


@dataclass(frozen=True)
class Freed:
    """Rows of one table that nothing rests on.

    Attributes:
        table: the table.
        body: the column that takes most of a row's space.
        when: the SQL condition of such a row ``old``, with the parameter ``before``.
        begins: for a table in the order of time: a query for the first number that is too young; else empty.
        page: how many numbers one transaction looks at.
    """

    table: str
    body: str
    when: str
    begins: str = ""
    page: int = 10_000

    @property
    def statement(self) -> str:
        """Delete the rows of a page, ``after`` < number <= ``last``; returns how many, and bytes of their bodies."""
        return f"""WITH gone AS (DELETE FROM {self.table} AS old WHERE id > %(after)s AND id <= %(last)s
            AND {self.when} RETURNING pg_column_size({self.body}) AS bytes)
            SELECT count(*), coalesce(sum(bytes), 0) FROM gone"""

    @property
    def last_of_page(self) -> str:
        """The last number of the page after ``after``; null after the last page."""
        return f"SELECT max(id) FROM (SELECT id FROM {self.table} WHERE id > %(after)s ORDER BY id LIMIT {self.page}) AS page"


_NOT_WHOLE = "NOT EXISTS (SELECT FROM whole_runs WHERE whole_runs.run_id = old.run_id)"
# Runs go first, so that no page shows half a run; what they leave is found again by a duty that follows an interrupted one.
FREED = (
    # A run has some ten tags, which go with it by its foreign key.
    Freed(
        "runs",
        "run_body",
        f"""status = ANY('{{{",".join(ENDED)}}}') AND greatest(create_timestamp, update_timestamp) < %(runs_before)s
            AND {_NOT_WHOLE}""",
        page=500,
    ),
    Freed(
        "event_logs",
        "event",
        f"""timestamp < %(before)s AND NOT EXISTS (SELECT FROM kept_events WHERE kept_events.id = old.id) AND {_NOT_WHOLE}
            AND NOT (coalesce(dagster_event_type, '') = ANY('{{{",".join(BOUNDS)}}}')
              AND EXISTS (SELECT FROM runs WHERE runs.run_id = old.run_id))""",
        begins="SELECT id FROM event_logs WHERE timestamp >= %(before)s ORDER BY id LIMIT 1",
    ),
    Freed(
        "asset_check_executions",
        "evaluation_event",
        f"""create_timestamp < %(before)s
            AND NOT EXISTS (SELECT FROM kept_checks WHERE kept_checks.id = old.id) AND {_NOT_WHOLE}""",
    ),
    Freed(
        "asset_event_tags",
        "value",
        "NOT EXISTS (SELECT FROM event_logs WHERE event_logs.id = old.event_id)",
    ),
    Freed(
        "bulk_actions",
        "body",
        f"""status <> ALL('{{{",".join(OPEN_BACKFILLS)}}}') AND timestamp < %(runs_before)s
            AND NOT EXISTS (SELECT FROM runs WHERE runs.backfill_id = old.key)""",
    ),
    Freed(
        "backfill_tags",
        "value",
        "NOT EXISTS (SELECT FROM bulk_actions WHERE bulk_actions.key = old.backfill_id)",
    ),
    Freed(
        "job_ticks",
        "tick_body",
        """timestamp < CASE status WHEN 'SKIPPED' THEN %(before)s ELSE %(runs_before)s END
            AND NOT EXISTS (SELECT FROM kept_ticks WHERE kept_ticks.id = old.id)""",
    ),
    # A run that is created this very moment from a plan that no run of the last weeks had finds it gone: it is refused by
    # the foreign key or fails, and its tick is repeated.
    Freed(
        "snapshots",
        "snapshot_body",
        """NOT EXISTS (SELECT FROM kept_snapshots WHERE kept_snapshots.snapshot_id = old.snapshot_id)
            AND NOT EXISTS (SELECT FROM runs WHERE runs.snapshot_id = old.snapshot_id)""",
        page=200,
    ),
)

# What REINDEX CONCURRENTLY leaves when it is interrupted: an index that every write keeps up and no query uses.
UNFINISHED_INDEXES = """
    SELECT index.relname FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
    JOIN pg_class AS of ON of.oid = indrelid
    WHERE of.relname = %s AND pg_table_is_visible(of.oid) AND NOT indisvalid AND index.relname ~ '_cc(new|old)[0-9]*$'"""


def history_url(instance: dg.DagsterInstance) -> str | None:
    """Return the address of the Postgres that has runs, events and ticks together; None where they lie elsewhere."""
    stores = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    urls = {getattr(store, "postgres_url", None) for store in stores}
    return urls.pop() if len(urls) == 1 else None


def keep_parents(cursor: Cursor) -> None:
    """Make the temporary table ``kept_snapshots``: what kept runs name, and the parents of these."""
    cursor.execute(f"CREATE TEMPORARY TABLE kept_snapshots AS {KEPT_SNAPSHOTS}")
    cursor.execute("""SELECT snapshot_body FROM snapshots JOIN kept_snapshots USING (snapshot_id)
        WHERE snapshot_type = 'PIPELINE'""")
    parents = {name.decode() for (body,) in cursor.fetchall() for name in PARENT.findall(zlib.decompress(body))}
    cursor.execute("INSERT INTO kept_snapshots SELECT unnest(%s::text[])", (sorted(parents),))


def logs_of_gone_runs(instance: dg.DagsterInstance, known: Iterable[str]) -> Iterator[Path]:
    """Find the folders of what steps printed, of runs that are not known any more.

    Args:
        instance: has the manager of these logs; only one of a local folder has such folders.
        known: the ids of the runs that are there.

    Yields:
        The folders.
    """
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager  # brings watchdog

    manager: Any = instance.compute_log_manager
    if not isinstance(manager, LocalComputeLogManager):
        return
    runs = set(known)
    for folder in Path(manager._base_dir).glob("*-*-*-*-*"):
        if folder.is_dir() and folder.name not in runs:
            yield folder
