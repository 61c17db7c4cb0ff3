"""The command: a number of ticks with the disturbances of a day or a week, then one JSON document; exit 1 where something is amiss."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import tempfile
import time
from datetime import datetime, timezone
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

from crypto_assets.dates import DAY, today
from crypto_assets_tests.simulation import __doc__ as ABOUT
from crypto_assets_tests.simulation import plans, verdict
from crypto_assets_tests.simulation.day import HISTORY, QUARTER, Day, day

SLO = 0.99
LAST_LOOKS = 12  # quarters after the last tick in which what is still open may close


def run(folder: Path, start: datetime, ticks: int, plan: plans.Plan) -> dict[str, Any]:
    """The whole of it; returns what ``main`` prints."""
    began, planned = time.monotonic(), plan.spread_over(ticks)
    with day(folder, start) as found:
        shown = 0
        for n in range(ticks):
            found.quarter(start + QUARTER * n, planned.get(n, ()))
            shown = _show(found, shown, time.monotonic() - began)
        now = found.clock.now()
        level = verdict.service_level(found.warehouse, now, plan.window)
        more = 0
        while more < LAST_LOOKS and any("closed" not in entry for entry in verdict.incidents(found.hook.got).values()):
            found.quarter(start + QUARTER * (ticks + more))
            more += 1
            shown = _show(found, shown, time.monotonic() - began)
        reported = verdict.incidents(found.hook.got)
        statuses = [row["status"] for row in found.live.runs()]
        return {
            "ticks": ticks, "seconds": round(time.monotonic() - began, 1), "quarters_until_all_closed": more,
            "disturbances": found.disturbances, "processes_started_again": found.live.restarts,
            "newest_runs": {status: statuses.count(status) for status in sorted(set(statuses))}, **level,
            "gaps": verdict.gaps(found.warehouse, start.date(), now),
            "duplicates": verdict.duplicates(found.warehouse, start.date() - DAY * HISTORY, now),
            "premium_share": verdict.premium_share(found.warehouse, start.date(), now),
            "messages_refused_by_the_webhook": len(found.hook.ids) - len(found.hook.got),
            "incidents": reported, "reported_wrongly": verdict.reported_wrongly(reported), "trouble": found.trouble,
        }  # fmt: skip


def _show(found: Day, shown: int, seconds: float) -> int:
    """The tick, and the alerts that came since the last one; returns how many there are by now."""
    print(f"{found.clock.now():%Y-%m-%d %H:%M} after {seconds:.0f} s", file=sys.stderr, flush=True)
    for message in found.hook.got[shown:]:
        print(f"  {message['event']}: {message['title']}: {message['what'][:160]}", file=sys.stderr, flush=True)
    return len(found.hook.got)


def good(document: dict[str, Any]) -> bool:
    amiss = ("gaps", "duplicates", "reported_wrongly", "trouble", "unobserved_slots")
    enough = document["slo_least"] >= SLO and document["premium_share"] == 1.0
    return enough and not any(document[name] for name in amiss)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crypto_assets_tests.simulation", description=ABOUT)
    parser.add_argument(
        "ticks", nargs="?", type=int, help="fewer than the plan has: the disturbances are closer together"
    )
    parser.add_argument("--week", action="store_true", help="a week of 672 ticks, with its own disturbances")
    parser.add_argument(
        "--begin", type=time_of_day.fromisoformat, default=time_of_day(14), help="HH:MM of the first day"
    )
    parser.add_argument("--folder", type=Path, help="where state and logs stay")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the processes of the day would outlive it
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="crypto-assets-day-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # Postgres, who runs as somebody else, reads the clock
    print(f"state and logs are in {folder}/home", file=sys.stderr)
    plan = plans.WEEK if chosen.week else plans.DAY
    ticks = chosen.ticks or plan.ticks
    first = today() - DAY * (1 + math.ceil(ticks / 96))  # the last tick is not in the future
    document = run(folder, datetime.combine(first, chosen.begin, timezone.utc), ticks, plan)
    print(json.dumps(document, indent=2, default=str))
    return 0 if good(document) else 1


if __name__ == "__main__":
    sys.exit(main())
