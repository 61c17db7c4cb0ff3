"""Every alert has a page, every page its five parts, and every command on it runs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner

from crypto_assets.cli.main import cli
from crypto_assets.monitoring.alerts.kinds import KINDS
from crypto_assets.monitoring.alerts.message import body
from crypto_assets.monitoring.alerts.sensors import WATCHERS
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests import scenario
from crypto_assets_tests.forgotten import nothing_forgotten

BOOKS = Path(__file__).parent.parent / "docs" / "runbooks"
PARTS = ("Symptom", "Meaning", "First three commands", "Repair", "Prevention")
pytestmark = pytest.mark.skipif(not BOOKS.is_dir(), reason="an installed package has no docs folder")
PAGES = sorted({kind.runbook for kind in KINDS.values()} | {"metrics.md", "gateway.md"})  # of Prometheus' rules


def blocks(page: str) -> list[str]:
    """The shell blocks of a page."""
    return re.findall(r"```sh\n(.*?)```", (BOOKS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(block: str) -> list[str]:
    return [line for line in block.splitlines() if line and not re.match(r"#|[A-Z]+=", line)]


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    there = {path.name for path in BOOKS.glob("*.md")} - {"README.md"}
    index = (BOOKS / "README.md").read_text(encoding="utf-8")
    nothing_forgotten(
        [
            f"{kind.name}: its runbook docs/runbooks/{kind.runbook} is not there; write it"
            for kind in KINDS.values()
            if kind.runbook not in there
        ]
        + [
            f"{page}: docs/runbooks/README.md does not list it; add its line there"
            for page in there
            if f"({page})" not in index
        ]
        + [
            f"{kind}: nothing observes it; add its watcher to WATCHERS in crypto_assets/monitoring/alerts/sensors.py"
            for kind in KINDS.keys() - WATCHERS.keys() - {"test"}
        ]
    )
    assert set(WATCHERS) == set(KINDS) - {"test"}
    assert there - set(PAGES) == {"backup-and-restore.md", "cluster-health.md"}, "pages of production, by occasion"


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_links_to_a_page_that_is_there(kind: str) -> None:
    from crypto_assets.monitoring.alerts.incidents import Incident

    now = datetime(2024, 5, 4, tzinfo=timezone.utc)
    link = body(Incident(1, kind, "x", "y", now, now), "opened", "docs/runbooks")["runbook"]
    assert (BOOKS.parent.parent / link).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_its_parts(page: str) -> None:
    text = (BOOKS / page).read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == list(PARTS)
    first = text.split("## First three commands")[1].split("## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", first, flags=re.DOTALL)
    assert len(commands(block)) == 3
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in link or (BOOKS / link).is_file(), link


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small installation: a home with an empty table, the scenario behind the providers' addresses."""
    from crypto_assets.sandbox.server import Sandbox

    with Sandbox(data=scenario.write(tmp_path / "recording")) as sandbox:
        env = {**sandbox.env(), "CRYPTO_ASSETS_COINS": "BTC", "CRYPTO_ASSETS_HOME": str(tmp_path / "home")}
        for name, value in {**env, "OLLAMA_HOST": "http://127.0.0.1:9"}.items():
            monkeypatch.setenv(name, value)
        warehouse, sentiment = Warehouse(str(tmp_path / "home" / "warehouse")), CONTRACTS["market_sentiment"]
        warehouse.write(sentiment, sentiment.empty(), [scenario.START])  # sql answers where something is stored
        before = dict(os.environ)
        monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
        yield
        os.environ.clear()  # the commands name their Postgres and Dagster home to their children
        os.environ.update(before)


def arguments(settings: str, line: str) -> list[str]:
    """What a shell makes of the line; everything that is run is our own command."""
    echo = f"crypto-assets() {{ printf '%s\\0' \"$@\"; }}\nset -eu\n{settings}\n{line}"
    found = subprocess.run(["bash", "-c", echo], capture_output=True, text=True, check=True)
    return found.stdout.split("\0")[:-1]


def test_every_command_runs(home: None) -> None:
    """Each distinct line once, in the order of the pages; in this process, which spares a minute of imports."""
    done: set[str] = set()
    for page in PAGES:
        for block in blocks(page):
            if block.startswith("# needs:"):
                continue
            settings = "\n".join(line for line in block.splitlines() if re.match(r"[A-Z]+=", line))
            for line in commands(block):
                if line not in done:
                    found = CliRunner().invoke(cli, arguments(settings, line), standalone_mode=False)
                    assert found.exit_code == 0, f"{page}: {line}\n{found.exception!r}"
                done.add(line)
    assert len(done) > 12


def test_what_is_not_run_says_what_it_needs() -> None:
    marked = [block for page in PAGES for block in blocks(page) if block.startswith("# needs:")]
    assert {block.splitlines()[0] for block in marked} == {
        "# needs: a cluster",
        "# needs: the daemon",
        "# needs: Ollama",
    }
