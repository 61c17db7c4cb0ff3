"""A backfill that is stopped leaves whole days, a run that is not in progress, and can be resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from crypto_assets.cli.main import STOPPED
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests import warm
from crypto_assets_tests.runtime.conftest import wait_for

ARGS = [
    "backfill",
    "--start",
    "2024-03-01",
    "--end",
    "2024-03-10",
    "--select",
    'key:"market_sentiment" or key:"onchain_base"',
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_in_the_middle_and_resumed(tmp_path: Path, number: signal.Signals) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")}
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    with Sandbox(fault="route=asset-metrics,delay=60,rate=1,count=1") as sandbox:
        env |= {**sandbox.env(), "CRYPTO_ASSETS_HOME": str(tmp_path), "CRYPTO_ASSETS_COINS": "BTC,ETH"}
        env["CRYPTO_ASSETS_START"] = "2024-01-01"
        with (tmp_path / "said").open("w") as file:
            process = warm.start(env, *warm.CLI, *ARGS, stdout=file, stderr=file)
        assert wait_for(lambda: any("asset-metrics" in path for path in list(sandbox.requests)), 300)
        process.send_signal(number)
        ended, said = process.wait(300), (tmp_path / "said").read_text()
        assert ended == 130, said
        assert "run the same command again" in said.splitlines()[-1]
        assert [line for line in said.splitlines() if not line.startswith(("crypto-assets: ", "["))] == []
        stored = warehouse.days_with_rows("onchain_base", date(2024, 3, 1), date(2024, 3, 10))
        assert stored == {}, "all of a run's days or none"
        again = warm.run(env, *ARGS, "--missing")
    assert again.returncode == 0, again.stderr
    stored = warehouse.days_with_rows("onchain_base", date(2024, 3, 1), date(2024, 3, 10))
    assert set(stored.values()) == {2}
    assert len(stored) == 10


@pytest.mark.parametrize(
    "start", [["-m", "crypto_assets.cli.main"], ["-c", "from crypto_assets.cli.entry import main; main()"]]
)
def test_stopped_at_any_moment_of_its_start_is_one_sentence(tmp_path: Path, start: list[str]) -> None:
    """While modules are read, while the instance is opened, while a run begins."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")}
    # No answer ever comes: a fast machine must not be done before it is stopped.
    with Sandbox(fault="delay=300,rate=1") as sandbox:
        env |= {**sandbox.env(), "CRYPTO_ASSETS_HOME": str(tmp_path), "CRYPTO_ASSETS_COINS": "BTC,ETH"}
        for pause in (1.0, 2.0, 4.0):  # Python itself takes up to half a second
            process = subprocess.Popen(
                [sys.executable, *start, *ARGS],
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            time.sleep(pause)
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate(timeout=120)[1]
            assert process.returncode == 130, said
            lines = [line for line in said.splitlines() if not line.startswith(("[", "crypto-assets: a new, empty"))]
            assert len(lines) == 1, said
            assert lines[0].startswith("crypto-assets: stopped by the user")


def test_an_interrupt_in_code_executed_from_text_ends_with_130(tmp_path: Path) -> None:
    """CPython would end a module by the signal, although the interrupt is caught."""
    (tmp_path / "waiting.py").write_text(
        "import sys\n"
        "from crypto_assets.cli import main\n"
        "@main.cli.command()\n"
        "def wait():\n"
        "    exec('import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)')\n"
        "sys.argv = ['crypto-assets', 'wait']\n"
        "main.main()\n"
    )
    command, env = [sys.executable, "-m", "waiting"], {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 130, ended
    assert ended.stderr.splitlines() == [f"crypto-assets: {STOPPED}"]
