"""The command line as a user meets it: real processes, exit codes, stdout kept clean, one sentence on failure."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.checks.state import FROM_FIRST_ROW, SNAPSHOTS
from crypto_assets.dates import DAY, today
from crypto_assets.operate import graph
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets.tables.spec import Cadence
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Prepared
from crypto_assets_tests.runtime.conftest import wait_for
from crypto_assets_tests.warm import CLI, run, start

START, END = scenario.START.isoformat(), scenario.END.isoformat()


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "crypto_assets.cli.main", *args]


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, "CRYPTO_ASSETS_HOME": str(home), **more}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenario.write(tmp_path_factory.mktemp("recording"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, recording: Path):
    """A home with the scenario, the environment that points at it, and the document of the backfill that completed it.

    Three backfills before that one were killed with ``kill -9``: at the first request, in the middle of the tables, and near
    the last ones. So all tests of this module also see that this leaves no trace.
    """
    home = tmp_path_factory.mktemp("home")
    tables = graph.tables()

    def written() -> int:
        return len(list(home.glob("warehouse/*/_delta_log/00000000000000000000.json")))

    with Sandbox(data=recording) as sandbox:
        env = environment(home, CRYPTO_ASSETS_COINS=scenario.COINS, **sandbox.env())
        moments = (lambda: sandbox.requests, lambda: written() > len(tables) / 2, lambda: written() > len(tables) * 0.8)
        for moment in moments:
            with (home / "said").open("w") as said:
                process = start(env, *CLI, "backfill", "--start", START, "--end", END, stdout=said, stderr=said)
            assert wait_for(moment, 300)
            process.kill()
            assert process.wait() == -signal.SIGKILL, "it was still at work"
        done = run(env, "backfill", "--start", START, "--end", END, "--json")
        assert done.returncode == 0, done.stderr[-2000:]
        yield env, json.loads(done.stdout)


@pytest.fixture(scope="module")
def undisturbed(whole_scenario: Prepared) -> Warehouse:
    """The tables of one backfill of the scenario that nobody disturbed."""
    return Warehouse(str(whole_scenario.home / "warehouse"))


def partitions(table: str) -> int:
    """How many partitions begin in the scenario's six days, the first of which begins a month."""
    return 1 if TABLES[table].cadence is Cadence.MONTH else 6


def test_backfill_prints_one_json_document(filled) -> None:
    _, document = filled
    for table, counts in document["partitions"].items():
        assert counts == {"requested": partitions(table), "materialized": partitions(table), "failed": 0}, table
    assert document["rows"]["onchain_base"] == 12
    assert document["rows"]["onchain_enhanced"] == 12
    assert document["seconds"] > 0


def test_status_tells_the_truth(filled) -> None:
    env, _ = filled
    done = run(env, "status", "--start", START, "--end", END, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["enhanced_over_base"] == 1.0
    for table, asset in document["assets"].items():
        assert asset["partitions"] == {"expected": partitions(table), "materialized": partitions(table), "failed": 0}, (
            table
        )
        covered = asset["days_with_rows"] / asset["days_due"] if asset["days_due"] else None
        assert asset["coverage"] == covered, table
        if table in FROM_FIRST_ROW:  # nobody posted, and six days train no model
            assert (asset["state"], covered, asset["rows"]) == ("none due", None, 0), table
        elif table in SNAPSHOTS:
            assert (asset["state"], covered, asset["rows"]) == ("not shown", None, 0), table
        elif table != "api_usage":
            assert (asset["state"], covered) == ("whole", 1.0), table
        assert asset["checks"]["no_failed_partitions"]["passed"]
        assert asset["fresh"] is None, "recorded days are not late"
        assert asset["checks"]["contract"]["passed"], table
        for check in asset["checks"].values():
            assert set(check) == {"passed", "severity", "description"}
    columns = document["population"]["columns"]
    assert columns["onchain_whale_transactions"] == 0.0
    assert 0 < columns["onchain_nvt_ratio"] < 1, "UNI has no on-chain rows in the scenario"
    shares = list(columns.values())
    assert document["population"]["overall"] == pytest.approx(sum(shares) / len(shares))


def test_missing_does_nothing_where_all_is_there(filled) -> None:
    env, _ = filled
    document = json.loads(run(env, "backfill", "--start", START, "--end", END, "--missing", "--json").stdout)
    assert all(counts["requested"] == 0 for counts in document["partitions"].values())


def test_selection(filled) -> None:
    env, _ = filled
    done = run(env, "backfill", "--start", START, "--end", START, "--select", 'group:"onchain"', "--json")
    assert set(json.loads(done.stdout)["partitions"]) == {"onchain_base", "onchain_enhanced"}


def test_sql_reads_every_table_and_nothing_else(filled) -> None:
    env, _ = filled
    done = run(env, "sql", "select count(*) as n from onchain_base", "--format", "json")
    assert json.loads(done.stdout) == [{"n": 12}]
    assert "n\n12\n" in run(env, "sql", "select count(*) as n from onchain_base", "--format", "csv").stdout
    for hostile in ("drop table prices", "select * from read_csv('/etc/passwd')", "copy prices to '/tmp/x.csv'"):
        refused = run(env, "sql", hostile)
        assert refused.returncode in (1, 2), hostile
        assert refused.stderr.strip().count("\n") == 0, refused.stderr


def test_sql_where_nothing_was_ever_stored_fails(tmp_path: Path) -> None:
    done = run(environment(tmp_path / "wrong"), "sql", "select count(*) from prices")
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.strip().splitlines()[-1]
    assert f"there is no warehouse in {tmp_path / 'wrong'}/warehouse" in last
    assert "CRYPTO_ASSETS_HOME" in last


BAD = [
    (("backfill", "--start", "2021-02-30", "--end", END), {}, 2, "not a calendar date"),
    (("backfill", "--start", END, "--end", START), {}, 2, "starts"),
    (("backfill", "--start", "2001-01-01", "--end", "2001-01-02"), {}, 2, "before the first partition"),
    (("backfill", "--start", START, "--end", (today() + DAY * 2).isoformat()), {}, 2, "in the future"),
    (("backfill", "--start", START), {}, 2, "--end"),
    (("backfill", "--start", START, "--end", END, "--select", 'key:"nothing"'), {}, 2, "matches no asset"),
    (("backfill", "--start", START, "--end", END), {"CRYPTO_ASSETS_COINS": "BTC,NOPE"}, 1, "NOPE"),
    (("status",), {"CRYPTO_ASSETS_START": "2099-01-01"}, 1, "CRYPTO_ASSETS_START"),
    (("status",), {"CRYPTO_ASSETS_START": "yesterday"}, 1, "CRYPTO_ASSETS_START"),
    (("status",), {"COINGECKO_PLAN": "gold"}, 1, "COINGECKO_PLAN"),
    (("status",), {"DAGSTER_POSTGRES_URL": "postgresql://u:secret@127.0.0.1:1/x"}, 1, "Postgres"),
    (("demo", "--data", "/nowhere/at/all"), {}, 2, "/nowhere/at/all"),
    (("backup", "--to", "s3://"), {}, 2, "--to 's3://' names no bucket"),
    (("restore", "--from", "s3:///prices"), {}, 2, "--from 's3:///prices' names no bucket"),
    (("status",), {"CRYPTO_ASSETS_WAREHOUSE": "s3://"}, 1, "CRYPTO_ASSETS_WAREHOUSE 's3://' names no bucket"),
    (("ready", "--code", "nonsense"), {}, 2, "write HOST:PORT"),
    (("ready", "--code", "code:99999"), {}, 2, "write HOST:PORT"),
    (("frobnicate",), {}, 2, "No such command"),
    (("silence", "staleness", "--for", "nan"), {}, 2, "not a finite number"),
    (("silence", "staleness:" + "x" * 10_000), {}, 2, "longer than 200"),
    (("alerts",), {"ALERT_FORMAT": "xml"}, 1, "ALERT_FORMAT"),
    (("report",), {"CRYPTO_ASSETS_START": "2099-01-01"}, 1, "CRYPTO_ASSETS_START"),
    (("status",), {"CRYPTO_ASSETS_CHUNK_DAYS": "²"}, 1, "CRYPTO_ASSETS_CHUNK_DAYS"),
    (("release", "BTC", "0001-01-01T00:00+14:00"), {}, 2, "not an instant"),
    (("demo", "--end", "0001-01-01"), {}, 2, "before the first partition"),
]


@pytest.mark.parametrize(("args", "more", "code", "words"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_one_sentence_and_writes_nothing(tmp_path: Path, args, more, code: int, words: str) -> None:
    env = environment(tmp_path / "home", **more)
    done = subprocess.run(command(*args), env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert words in last
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "home" / "warehouse").exists()


def test_a_failing_provider_is_named(tmp_path: Path, recording: Path) -> None:
    with Sandbox(data=recording, fault="route=klines,html=1,rate=1") as sandbox:
        env = environment(tmp_path, CRYPTO_ASSETS_COINS="BTC", **sandbox.env())
        done = run(env, "backfill", "--start", START, "--end", START, "--select", 'key:"ohlc"', "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["partitions"]["ohlc"] == {"requested": 1, "materialized": 0, "failed": 1}
    assert re.search("binance", done.stderr.strip().splitlines()[-1], re.IGNORECASE)


def test_what_is_held_is_said_and_what_was_stored_stays(tmp_path: Path, recording: Path) -> None:
    """A day fetched again after everything stored of it halved: the new prices contradict the bars."""
    with Sandbox(data=recording) as sandbox:
        env = environment(tmp_path, CRYPTO_ASSETS_COINS="ETH", **sandbox.env())
        fetch = ("backfill", "--start", START, "--end", START, "--json", "--select")
        done = run(env, *fetch, 'key:"prices" or key:"ohlc"')
        assert done.returncode == 0 and "quarantine" not in done.stderr, done.stderr
        warehouse = Warehouse(str(tmp_path / "warehouse"))
        for table, columns in (("prices", ["price_usd"]), ("ohlc", ["open", "high", "low", "close"])):
            rows = warehouse.read(table).with_columns(pl.col(columns) / 2)
            warehouse.write(CONTRACTS[table], rows, [scenario.START])
        before = warehouse.read("prices")
        done = run(env, *fetch, 'key:"prices"')
    assert done.returncode == 0, done.stderr
    held = warehouse.read("quarantine").height
    assert held > 20
    [line] = [line for line in done.stderr.splitlines() if "quarantine" in line]
    assert line.startswith(f"{held} price(s) of 1 coin(s) are held") and "crypto-assets release" in line
    after = warehouse.read("prices")
    stays = before.join(warehouse.read("quarantine"), on=["symbol", "ts"], how="semi")
    assert after.height == before.height
    assert_frame_equal(after.join(stays, on=["symbol", "ts"], how="semi"), stays)


def same_hashes(tables: Iterable[str], *warehouses: Warehouse) -> None:
    for table in tables:
        hashes = [warehouse.content_hash(table, scenario.START, scenario.END) for warehouse in warehouses]
        assert hashes[0] == hashes[1], table


def test_a_killed_backfill_leaves_no_trace_once_it_is_run_again(filled, undisturbed: Warehouse) -> None:
    """``kill -9`` at several instants, then the same command: every table equals the undisturbed run's."""
    env, document = filled
    assert set(document["partitions"]) == set(graph.tables())
    same_hashes(document["partitions"], undisturbed, Warehouse(f"{env['CRYPTO_ASSETS_HOME']}/warehouse"))


def test_two_backfills_on_adjacent_ranges_at_once(tmp_path: Path, recording: Path, undisturbed: Warehouse) -> None:
    middle = scenario.START + DAY * 2
    with Sandbox(data=recording) as sandbox:
        env = environment(tmp_path, CRYPTO_ASSETS_COINS=scenario.COINS, **sandbox.env())
        ranges = [(START, middle.isoformat()), ((middle + DAY).isoformat(), END)]
        said = [(tmp_path / f"said by {first}").open("w+") for first, _ in ranges]
        both = [
            start(env, *CLI, "backfill", "--start", first, "--end", last, stdout=file, stderr=file)
            for (first, last), file in zip(ranges, said, strict=True)
        ]
        for process, file in zip(both, said, strict=True):
            with file:
                assert process.wait(600) == 0, Path(file.name).read_text()[-2000:]
    same_hashes(graph.tables(), undisturbed, Warehouse(str(tmp_path / "warehouse")))


def test_every_command_and_variable_is_in_the_readme() -> None:
    from crypto_assets.cli.main import cli

    root = Path(__file__).parents[2]
    readme = (root / "README.md").read_text(encoding="utf-8")
    for name in cli.commands:
        assert f"crypto-assets {name}" in readme, name
    for option in {opt for c in cli.commands.values() for p in c.params for opt in p.opts if opt.startswith("--")}:
        assert option in readme or option == "--help", option
    for variable in re.findall(
        r'"((?:CRYPTO_ASSETS|COIN|OLLAMA|NEWS|OHLC|DAGSTER|ALERT)[A-Z_]+)"', _settings_source(root)
    ):
        assert variable in readme, variable


def _settings_source(root: Path) -> str:
    return (root / "crypto_assets" / "settings.py").read_text(encoding="utf-8")
