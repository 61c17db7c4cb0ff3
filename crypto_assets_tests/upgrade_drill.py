"""The upgrade drill: ``python -m crypto_assets_tests.upgrade_drill COMMIT [--days N] [--folder DIR]``, one JSON document.

An older version of this repository, its own code in an environment of its own, makes a home with a demo. Then this version opens
that home, writes into it, backs it up and restores it into an empty home; then the older version opens what this one has written.
Contents are compared as hashes over all rows and columns that both sides know. Exit 1 where something differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

REPOSITORY = Path(__file__).parent.parent
STOPS_WITHIN_S = 120
LAST_LINE = 400  # characters of a message that are shown


@dataclass(frozen=True)
class Version:
    """A version's command line over a home."""

    name: str
    command: Path
    code: Path

    def run(self, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command. The environment names this home only."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("CRYPTO_ASSETS_", "DAGSTER_"))}
        env |= {"CRYPTO_ASSETS_HOME": str(home), "CRYPTO_ASSETS_COINS": "BTC,ETH"}
        command = [str(self.command), *words]
        return subprocess.run(command, cwd=self.code, env=env, capture_output=True, text=True, check=False)

    def document(self, home: Path, *words: str) -> dict[str, Any]:
        """The JSON document of a command that must succeed."""
        done = self.run(home, *words, "--json")
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(words)} ended with {done.returncode}: {last_line(done)}")
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip().splitlines() or [""])[-1][:LAST_LINE]


def older_version(commit: str, folder: Path) -> Version:
    """The commit's code and an environment with what it asks for."""
    code, environment = folder / "code", folder / "environment"
    if environment.exists():  # of an earlier drill in this folder
        return Version(commit, environment / "bin" / "crypto-assets", code)
    subprocess.run(["git", "clone", "-q", "--no-checkout", str(REPOSITORY), str(code)], check=True)
    subprocess.run(["git", "checkout", "-q", commit], cwd=code, check=True)
    uv = shutil.which("uv", path=f"{os.environ.get('PATH', '')}:/opt/uvenv/bin")
    if uv is None:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([str(environment / "bin/python"), "-m", "pip", "install", "-q", "-e", str(code)], check=True)
    else:
        subprocess.run([uv, "venv", "-q", str(environment)], check=True)
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", str(environment / "bin/python"), "-e", str(code)], check=True
        )
    return Version(commit, environment / "bin" / "crypto-assets", code)


def contents(home: Path, columns: dict[str, list[str]] | None = None) -> dict[str, dict[str, Any]]:
    """Table -> its columns, number of rows, and a hash of all rows in a fixed order.

    Args:
        home: the home.
        columns: table -> the columns to look at; by default all.
    """
    found = {}
    for folder in sorted((home / "warehouse").iterdir()):
        if not (folder / "_delta_log").is_dir() or (columns is not None and folder.name not in columns):
            continue
        frame = pl.DataFrame(DeltaTable(str(folder)).to_pyarrow_table())
        names = sorted(columns[folder.name] if columns is not None else frame.columns)
        lines = sorted(frame.select(names).write_ndjson().splitlines())
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
        found[folder.name] = {"rows": len(lines), "sha256": digest, "columns": names}
    return found


def states(status: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Table -> its materialised and failed partitions, and its rows, of a status document."""
    return {name: (one["partitions"]["materialized"], one["rows"]) for name, one in status["assets"].items()}


def differing(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: [value, after.get(name)] for name, value in before.items() if after.get(name) != value}


def restore_drill(version: Version, home: Path, folder: Path, span: tuple[str, ...]) -> dict[str, Any]:
    """Back a home up, as docs/runbooks/backup-and-restore.md says, and restore it into an empty one; say what differs."""
    restored, backup = folder / "restored", folder / "backup"
    saved = version.run(home, "backup", "--to", str(backup))
    before = states(version.document(home, "status", *span))
    deadline = time.monotonic() + STOPS_WITHIN_S
    while (home / "postgres" / "data" / "postmaster.pid").exists():  # it ends after the last command
        if time.monotonic() > deadline:
            raise TimeoutError(f"the Postgres of {home} still runs after {STOPS_WITHIN_S} s: something uses it")
        time.sleep(0.5)
    restored.mkdir()
    subprocess.run(["cp", "-a", str(home / "postgres"), str(restored)], check=True)
    back = version.run(restored, "restore", "--from", str(backup))
    return {
        "exit": saved.returncode or back.returncode,
        "contents_differ": differing(contents(home), contents(restored)),
        "states_differ": differing(before, states(version.document(restored, "status", *span))),
    }


def drill(commit: str, days: int, folder: Path) -> dict[str, Any]:
    """Carry it out; returns what ``main`` prints."""
    older, newer = (
        older_version(commit, folder / "older"),
        Version("this", Path(sys.executable).parent / "crypto-assets", REPOSITORY),
    )
    home = folder / "home"
    end = date(2026, 11, 20)
    span = ("--start", str(end - timedelta(days=days - 1)), "--end", str(end))
    made = older.run(home, "demo", "--days", str(days), "--end", str(end))
    if made.returncode:
        raise RuntimeError(f"the demo of {commit} failed: {last_line(made)}")
    before, was = contents(home), states(older.document(home, "status", *span))
    # Opened by this version: rows and states are the same.
    now = states(newer.document(home, "status", *span))
    columns = {name: table["columns"] for name, table in before.items()}
    found: dict[str, Any] = {
        "older": commit, "tables": len(before), "rows": sum(table["rows"] for table in before.values()),
        "states_differ": differing(was, now), "contents_differ": differing(before, contents(home, columns)),
    }  # fmt: skip
    # Written by this version: a day of everything, with the columns that came since. It refuses a home in which it cannot tell a
    # sandbox's rows from real ones, and names the way out: the demo once more, which knows.
    refused = newer.run(home, "backfill", "--start", str(end), "--end", str(end))
    found["backfill"] = {"exit": refused.returncode, "says": last_line(refused) if refused.returncode else ""}
    if refused.returncode:
        demo = newer.run(home, "demo", "--days", str(days), "--end", str(end))
        wrote = newer.run(home, "backfill", "--start", str(end), "--end", str(end))
        found["way_out"] = {
            "exit": demo.returncode or wrote.returncode,
            "says": last_line(demo if demo.returncode else wrote),
        }
    left = contents(home)
    found["rows_afterwards"] = sum(table["rows"] for table in left.values())
    found["rows_lost"] = {
        name: table["rows"] - left[name]["rows"] for name, table in before.items() if table["rows"] > left[name]["rows"]
    }
    found["restore"] = restore_drill(newer, home, folder, span)
    # Rolled back: the older version over what this one has written.
    again = older.run(home, "status", *span, "--json")
    found["rollback"] = {"exit": again.returncode, "says": last_line(again) if again.returncode else ""}
    if not again.returncode:
        found["rollback"]["states_differ"] = differing(was, states(json.loads(again.stdout)))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crypto_assets_tests.upgrade_drill", description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where everything is made; by default a temporary folder")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="crypto-assets-upgrade-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # Postgres runs as somebody else where we are root
    found = drill(chosen.commit, chosen.days, folder)
    print(json.dumps(found, indent=2, default=str))
    restore, wrote = found["restore"], found.get("way_out", found["backfill"])
    differs = [found[name] for name in ("states_differ", "contents_differ", "rows_lost")]
    differs += [restore["contents_differ"], restore["states_differ"]]
    return int(any(differs) or bool(wrote["exit"] or restore["exit"]))


if __name__ == "__main__":
    sys.exit(main())
