"""Takes the pictures of the documentation from the current UI: ``python docs/images/take.py`` (needs a Chromium).

It runs the demo in a new home, opens ``crypto-assets dev`` on a free port, and photographs the pages below. ``CHROMIUM`` names
the browser where it is not on the path. Look at the pictures before you commit them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

YESTERDAY = datetime.now(timezone.utc).date() - timedelta(days=1)
HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "crypto_assets.cli.main"]
PAGES = {  # picture -> (path of the UI, width, height)
    "lineage.png": ("/assets/ml_features?view=lineage", 1600, 1000),
    "partitions.png": (f"/assets/ml_features?view=partitions&partition={YESTERDAY}", 1600, 1000),
    "checks.png": ("/assets/ml_features?view=checks&checkDetail=feature_population", 1600, 1000),
    "automation.png": ("/automation", 1600, 1100),
}
WAIT_S = 120  # for the UI to answer


def browser() -> str:
    """Return the browser's path; end with a sentence where there is none."""
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if found is None:
        sys.exit("no Chromium is on the path; install one, or name it in CHROMIUM")
    return found


def photograph(
    chromium: str, address: str, target: Path, width: int, height: int, profile: Path, *, dark: bool = False
) -> None:
    """Write a picture of a page once it has been drawn."""
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
        f"--window-size={width},{height}", "--virtual-time-budget=20000",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--screenshot={target}", address,
    ]  # fmt: skip
    subprocess.run([chromium, *options], check=True, capture_output=True, timeout=180)
    print(f"{target.name}: {address}", file=sys.stderr)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the page answers; end with a sentence where it does not."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5).close()
            return
        except OSError:
            time.sleep(1)
    sys.exit(f"{address} did not answer within {WAIT_S} s; run crypto-assets dev in the same home to see why")


def main() -> None:
    """Take every picture."""
    chromium = browser()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        env = {**os.environ, "CRYPTO_ASSETS_HOME": f"{folder}/home"}
        subprocess.run([*COMMAND, "demo"], env=env, check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        dev = subprocess.Popen([*COMMAND, "dev", "--port", str(port)], env=env)
        try:
            wait_for(f"http://127.0.0.1:{port}/server_info", dev)
            for name, (path, width, height) in PAGES.items():
                address = f"http://127.0.0.1:{port}{path}"
                photograph(chromium, address, HERE / name, width, height, Path(folder) / "browser")
            report = Path(folder) / "quality.html"
            subprocess.run([*COMMAND, "report", "--out", str(report)], env=env, check=True)
            for name, dark in (("quality.png", False), ("quality-dark.png", True)):
                profile = Path(folder) / name
                photograph(chromium, report.as_uri(), HERE / name, 1300, 1900, profile, dark=dark)
            models = Path(folder) / "home" / "reports" / "models.html"  # written by the demo, where it has predictions
            for name, dark in (("models.png", False), ("models-dark.png", True)) if models.is_file() else ():
                photograph(chromium, models.as_uri(), HERE / name, 1300, 2700, Path(folder) / name, dark=dark)
        finally:
            dev.terminate()
            dev.wait(60)


if __name__ == "__main__":
    main()
