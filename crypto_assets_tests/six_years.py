"""Six years of every table in one backfill from the UI, and what the UI says right after it: ``python -m crypto_assets_tests.six_years``.

Real: ``crypto-assets dev`` with its webserver, daemon and run processes, an embedded Postgres for each home, GraphQL as the
UI sends it, every request over sockets. Bounded: two coins, a sandbox. In turn:

1. all days of all tables in one backfill; the partition health and the backfill's own page asked for at once;
2. the same range from the command line into a second home; ``status`` of both against the UI's health;
3. on the platform of 1, a backfill of older days cancelled in the middle; what is there, and the rest with ``--missing``.

Prints one JSON document; exit code 1 if there is anything in ``trouble``. Half an hour on two cores; ``--days 60 --older
150`` shows the same in some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from crypto_assets.checks.state import SNAPSHOTS
from crypto_assets.dates import DAY, days
from crypto_assets.operate import graph
from crypto_assets.sandbox.faults import Rule
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.live import Live, dev, wait_until

DAYS = 2191
OLDER = 250  # days before them, for the backfill that is cancelled
PAGE = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status numPartitions
  assetBackfillData { assetBackfillStatuses { ... on AssetPartitionsStatusCounts { assetKey { path }
    numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed } } } } } }"""
STATS = """query($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) { assetKey { path }
  partitionStats { numMaterialized numPartitions numMaterializing numFailed } } }"""
HELD = "asset-metrics"  # the route at which the run stands that is cancelled
UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
# Rows depend on the moment at which their source was asked: two homes that asked at different moments differ in them.
UNPARTITIONED = {*SNAPSHOTS, "news_articles", "article_narratives", "narratives", "theme_trends", "theme_digests"} | {
    "ml_features",  # columns of the narratives
    "api_usage",
}


@dataclass
class Story:
    """What was seen, and what of it should not have been."""

    seen: dict[str, Any] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)

    def expect(self, good: bool, sentence: str) -> None:
        if not good:
            self.trouble.append(sentence)
            print(f"TROUBLE {sentence}", file=sys.stderr, flush=True)

    def note(self, **values: Any) -> None:
        self.seen |= values
        print(json.dumps(values)[:2000], file=sys.stderr, flush=True)


def timed(work: Any, *arguments: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    found = work(*arguments)
    return found, round(time.perf_counter() - began, 3)


def by_day(ranges: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """Partition key -> status, from the UI's ranges."""
    return {
        day.isoformat(): state
        for first, last, state in ranges
        for day in days(date.fromisoformat(first), date.fromisoformat(last))
    }


def command(env: dict[str, str], home: Path, *arguments: str) -> dict[str, Any]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")}
    done = subprocess.run(
        [sys.executable, "-m", "crypto_assets.cli.main", *arguments, "--json"],
        env={**clean, **env, "CRYPTO_ASSETS_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"crypto-assets {' '.join(arguments)} ended with {done.returncode}")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def asked_for(story: Story, live: Live, tables: Sequence[str], wanted: Sequence[str], before: date) -> dict[str, Any]:
    """One backfill of all of it; what the UI says at once."""
    began = time.monotonic()
    backfill = live.launch_backfill(tables, wanted)
    launched = time.monotonic() - began
    status = None
    while status not in ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"):
        time.sleep(2)
        status = live.backfill_status(backfill)
    seconds = round(time.monotonic() - began, 1)
    health, health_s = timed(live.health, tables)
    page, page_s = timed(lambda: live.ask(PAGE, id=backfill)["partitionBackfillOrError"])
    stats, stats_s = timed(lambda: live.ask(STATS, keys=[{"path": [t]} for t in tables])["assetNodes"])
    runs = live.runs(tags=[{"key": "dagster/backfill", "value": backfill}])
    story.note(
        ui_status=status, ui_seconds=seconds, launch_mutation_s=round(launched, 2), ui_runs=len(runs),
        ui_runs_by_status=dict(Counter(run["status"] for run in runs)),
        health_query_s=health_s, page_query_s=page_s, stats_query_s=stats_s,
    )  # fmt: skip
    story.expect(status == "COMPLETED_SUCCESS", f"the backfill ended as {status}")
    shown = {s["assetKey"]["path"][0]: s for s in page["assetBackfillData"]["assetBackfillStatuses"]}
    numbers = {node["assetKey"]["path"][0]: node["partitionStats"] for node in stats}
    kept = {}
    for table in tables:
        states = by_day(health[table])
        count = Counter(states.get(day, "MISSING") for day in wanted)
        kept[table] = {**count, "ranges": health[table], "page": shown[table], "stats": numbers[table]}
        story.expect(count == {"MATERIALIZED": len(wanted)}, f"{table}: the UI's health has {dict(count)}")
        stray = [day for day in states if date.fromisoformat(day) < before]
        story.expect(not stray, f"{table}: {len(stray)} days that nobody asked for, e.g. {stray[:1]}")
        story.expect(
            shown[table]["numPartitionsMaterialized"] == shown[table]["numPartitionsTargeted"] >= len(wanted)
            and not shown[table]["numPartitionsFailed"],
            f"{table}: the backfill's page has {shown[table]}",
        )
        story.expect(
            numbers[table]["numFailed"] == 0 and numbers[table]["numMaterialized"] >= len(wanted),
            f"{table}: the graph's node has {numbers[table]}",
        )
    story.note(partitions=sum(k.get("MATERIALIZED", 0) for k in kept.values()), tables=len(tables))
    return kept


def compared(story: Story, live: Live, env: dict[str, str], homes: tuple[Path, Path], first: date, last: date) -> None:
    """The command line's backfill of the range into the second home; coverage by ``status`` and by the UI's health."""
    span = ("--start", str(first), "--end", str(last))
    report, seconds = timed(command, env, homes[1], "backfill", *span)
    story.note(cli_seconds=seconds, cli_failures=report.get("failures", {}))
    ui, ui_s = timed(command, env, homes[0], "status", *span)
    cli, cli_s = timed(command, env, homes[1], "status", *span)
    story.note(status_s=[ui_s, cli_s])
    health = live.health(list(ui["assets"]))
    for table, said in ui["assets"].items():
        closed = [day.isoformat() for day in days(first, last)]
        states = by_day(health[table])
        drawn = {
            "expected": len(closed),
            "materialized": sum(states.get(day) == "MATERIALIZED" for day in closed),
            "failed": sum(states.get(day) == "FAILED" for day in closed),
        }
        other = cli["assets"][table]
        story.expect(
            said["partitions"] == drawn == other["partitions"],
            f"{table}: status of the UI's home {said['partitions']}, UI {drawn}, command line {other['partitions']}",
        )
        story.expect(said["coverage"] == other["coverage"], f"{table}: {said['coverage']} {other['coverage']}")
        if table not in UNPARTITIONED:
            story.expect(said["coverage"] == 1.0, f"{table}: covers {said['coverage']}")
            same = Warehouse(str(homes[0] / "warehouse")).content_hash(table, first, last) == Warehouse(
                str(homes[1] / "warehouse")
            ).content_hash(table, first, last)
            story.expect(same, f"{table}: the rows of UI and command line differ")
    story.note(
        rows={table: [said["rows"], cli["assets"][table]["rows"]] for table, said in ui["assets"].items()},
        failing_checks=sorted(
            f"{table}.{name}: {check['description'][:120]}"
            for table, said in ui["assets"].items()
            for name, check in said["checks"].items()
            if not check["passed"]
        ),
    )


def calls(sandbox: Sandbox, route: str) -> int:
    return sum(count for path, count in sandbox.requests.items() if route in path)


def cancelled(story: Story, sandbox: Sandbox, live: Live, homes: tuple[Path, Path], first: date, last: date) -> None:
    """A backfill cancelled while a run is at work; then what is there, and the rest by ``backfill --missing``."""
    env = live.env
    tables, wanted = graph.tables(), [day.isoformat() for day in days(first, last)]
    backfill = live.launch_backfill(tables, wanted)
    mine = {"tags": [{"key": "dagster/backfill", "value": backfill}]}

    def some() -> bool:
        states = by_day(live.health(["onchain_base"])["onchain_base"])
        return any(states.get(day) == "MATERIALIZED" for day in wanted)

    wait_until(some, 300, "the first run of the backfill")
    asked = calls(sandbox, HELD)
    sandbox.faults.rules.append(Rule(route=HELD, delay=30.0))  # the next run stands in the middle of its tables
    wait_until(lambda: calls(sandbox, HELD) > asked, 120, "a run in the middle of its tables")
    began = time.monotonic()
    live.cancel(backfill)
    status = live.finished(backfill, 200)
    sandbox.faults.rules.clear()
    wait_until(lambda: not live.runs(**mine, statuses=UNFINISHED), 200, "the end of its runs")
    runs = Counter(run["status"] for run in live.runs(**mine))
    story.note(cancel_status=status, cancel_s=round(time.monotonic() - began, 1), cancel_runs=dict(runs))
    story.expect(status == "CANCELED", f"the cancelled backfill ended as {status}")
    span = ("--start", str(first), "--end", str(last))
    command(env, homes[1], "backfill", *span)  # the same days without interruption
    halfway(story, live, command(env, homes[0], "status", *span), homes, first, last)
    report, seconds = timed(command, env, homes[0], "backfill", *span, "--missing")
    story.note(resume_s=seconds, resumed={t: p["requested"] for t, p in report["partitions"].items()})
    for table, said in command(env, homes[0], "status", *span)["assets"].items():
        if table not in UNPARTITIONED:
            story.expect(said["coverage"] == 1.0, f"{table}: covers {said['coverage']} after --missing")
            one, other = (Warehouse(str(home / "warehouse")).content_hash(table, first, last) for home in homes)
            story.expect(one == other, f"{table}: rows after cancel and --missing differ from those of one backfill")


def halfway(
    story: Story, live: Live, status: dict[str, Any], homes: tuple[Path, Path], first: date, last: date
) -> None:
    """Right after the cancel: every table readable, each day whole or not there, ``status`` what the UI shows."""
    cut, whole = (Warehouse(str(home / "warehouse")) for home in homes)
    health = live.health(list(status["assets"]))
    left = {}
    for table, said in status["assets"].items():
        rows = cut.read(table)
        story.expect(not CONTRACTS[table].violations(rows), f"{table}: {CONTRACTS[table].violations(rows)[:2]}")
        stored, full = (house.days_with_rows(table, first, last) for house in (cut, whole))
        states = by_day(health[table])
        shown = Counter(states.get(day.isoformat(), "MISSING") for day in days(first, last))
        left[table] = {**shown, "days_with_rows": len(stored)}
        story.expect(
            said["partitions"]["materialized"] == shown["MATERIALIZED"] and not shown["MATERIALIZING"],
            f"{table}: status says {said['partitions']}, the UI {dict(shown)}",
        )
        if table in UNPARTITIONED:
            continue
        torn = [day for day, count in stored.items() if count != full.get(day)]
        story.expect(
            not torn, f"{table}: {len(torn)} days hold another number of rows than whole ones, e.g. {torn[:1]}"
        )
        empty = [d for d in full if states.get(d.isoformat()) == "MATERIALIZED" and d not in stored]
        story.expect(not empty, f"{table}: {len(empty)} days are shown as materialised and have no rows")
    story.note(after_cancel=left)


def run(root: Path, number: int, older: int) -> Story:
    story = Story()
    today = datetime.now(timezone.utc).date()
    first, last = today - DAY * number, today - DAY
    begin = first - DAY * older
    homes = (root / "ui", root / "cli")
    with Sandbox() as sandbox:
        env = {
            **sandbox.env(),
            "CRYPTO_ASSETS_COINS": "BTC,ETH",
            "CRYPTO_ASSETS_START": begin.isoformat(),
            "COINGECKO_PLAN": "enterprise",
            "COINGECKO_API_KEY": "sandbox",
            "RATE_LIMITS": "coingecko=1000/1,kraken=1000/1,binance=1000/1,coinmetrics=1000/1",
        }
        with dev(homes[0], env) as live:
            story.note(start=str(begin), first=str(first), last=str(last))
            story.seen["ui"] = asked_for(story, live, graph.tables(), [d.isoformat() for d in days(first, last)], first)
            compared(story, live, env, homes, first, last)
            cancelled(story, sandbox, live, homes, begin, first - DAY)
        story.note(requests=sum(sandbox.requests.values()))
    return story


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--older", type=int, default=OLDER, help="days of the backfill that is cancelled")
    parser.add_argument("--folder", type=Path, help="keep both homes here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        story = run(given.folder or Path(folder), given.days, given.older)
    print(json.dumps({**story.seen, "trouble": story.trouble}, indent=1))
    sys.exit(bool(story.trouble))


if __name__ == "__main__":
    main()
