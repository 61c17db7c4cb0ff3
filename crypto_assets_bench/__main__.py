"""``python -m crypto_assets_bench [NAME…]``: runs benchmarks, each in a process of its own, and writes bench.json."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import crypto_assets_bench

OUT = Path("bench.json")
NOT_BENCHMARKS = {"__main__", "result"}


def names() -> list[str]:
    """Modules of this package that have a ``run``; helpers start with an underscore."""
    found = (module.name for module in pkgutil.iter_modules(crypto_assets_bench.__path__))
    return sorted(name for name in found if name not in NOT_BENCHMARKS and not name.startswith("_"))


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--one"]:
        print(json.dumps(importlib.import_module(f"crypto_assets_bench.{arguments[1]}").run().as_json()))
        return 0
    if unknown := sorted(set(arguments) - set(names())):
        print(f"no benchmark named {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    results = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() and arguments else {}
    failed = []
    print(f"{'benchmark':22} {'ours s':>9} {'baseline s':>11} {'ratio':>7} {'peak MB':>9}  notes")
    for name in arguments or names():
        # A process of its own: one benchmark's memory and caches are not the next one's.
        done = subprocess.run(
            [sys.executable, "-m", "crypto_assets_bench", "--one", name], stdout=subprocess.PIPE, check=False
        )
        if done.returncode:
            failed.append(name)
            continue
        results[name] = json.loads(done.stdout.splitlines()[-1])
        print(line(name, results[name]), flush=True)
    OUT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}; their messages are above", file=sys.stderr)
    return 1 if failed else 0


def line(name: str, result: dict[str, object]) -> str:
    cells = [result[key] for key in ("ours_s", "baseline_s", "ratio", "peak_mb")]
    shown = ["-" if cell is None else f"{cell:,.2f}" for cell in cells]
    notes = {key: value for key, value in result.items() if key not in ("ours_s", "baseline_s", "ratio", "peak_mb")}
    said = ", ".join(f"{key} {value}" for key, value in notes.items())
    return f"{name:22} {shown[0]:>9} {shown[1]:>11} {shown[2]:>7} {shown[3]:>9}  {said}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
