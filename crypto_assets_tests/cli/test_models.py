"""``train``, ``models``, ``signals``, ``evaluate``, ``backup`` and ``doctor`` over models, as real processes.

The market is that of the tests of the assets: one feature orders what follows. Homes are filled through the warehouse.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.dates import days
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.models import STARTED, TRAINED
from crypto_assets.tables.schemas import ML_FEATURES, MODEL_TRIALS, PREDICTIONS, PRICES, SIGNALS, TRAINED_MODELS
from crypto_assets_tests.cli.test_main import environment
from crypto_assets_tests.libraries import OF_THE_PACKAGE
from crypto_assets_tests.model_market import BEGIN, COINS, CONFIG, END, MONTHS, settings_of
from crypto_assets_tests.platform import Prepared
from crypto_assets_tests.runtime.conftest import wait_for
from crypto_assets_tests.warm import CLI, python, run, start

WALKED = ("--start", "2021-02-01", "--end", str(END))
SLOW = CONFIG.replace("trees = 10", "trees = 600")
WRONG = """
[[model]]
name = "many_rows"
kind = "ridge"
least_rows = 1000000

[[model]]
name = "long_horizon"
kind = "ridge"
horizon_hours = 2400

[[model]]
name = "unknown_feature"
kind = "ridge"
features = ["sma_20"]

[[model]]
name = "good"
kind = "ridge"
features = ["rsi_14"]
"""
Env = dict[str, str]
MakeHome = Callable[..., tuple[Env, Warehouse]]


def home_of(folder: Path, config: str = CONFIG) -> tuple[Env, Warehouse]:
    env = {**environment(folder, CRYPTO_ASSETS_START=str(BEGIN)), **settings_of(folder, config)}
    return env, Warehouse(str(folder / "warehouse"))


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def backfill(env: Env, *tables: str, start: object = "2021-02-01", end: object = END) -> None:
    selected = " or ".join(f'key:"{table}"' for table in tables)
    done = run(env, "backfill", "--start", str(start), "--end", str(end), "--select", selected)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def walked(walked_models: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[Env, Warehouse]:
    """A home with the tables and files of models that one backfill trained. Tests change nothing in it."""
    env, warehouse = home_of(tmp_path_factory.mktemp("models") / "one")
    shutil.copytree(walked_models.home / "warehouse", warehouse.uri)
    return env, warehouse


@pytest.fixture
def copied(walked, tmp_path: Path) -> Iterator[tuple[Env, Warehouse]]:
    """A home of a test's own that holds a backup of the other one."""
    env, _ = walked
    assert run(env, "backup", "--to", str(tmp_path / "backup")).returncode == 0
    own, warehouse = home_of(tmp_path / "restored")
    done = run(own, "restore", "--from", str(tmp_path / "backup"))
    assert done.returncode == 0, done.stderr
    yield own, warehouse


def artefacts(warehouse: Warehouse) -> dict[str, str]:
    return {path.name: path.read_text() for path in Path(warehouse.uri, "_models").iterdir()}


def test_another_home_process_and_chunking_give_the_same_models_and_predictions(walked, tmp_path: Path) -> None:
    """Inputs written by day or by month, months trained in another order, predictions in several runs."""
    _, one = walked
    env, other = home_of(tmp_path / "other")
    for contract in (PRICES, ML_FEATURES):
        rows = one.read(contract)
        for first in days(BEGIN, date(2021, 1, 5)):  # a commit a day, then the rest from its end
            other.write(contract, rows.filter(date=first), [first])
        for first, last in ((date(2021, 3, 1), END), (date(2021, 1, 6), date(2021, 2, 28))):
            other.write(contract, rows.filter(pl.col("date").is_between(first, last)), days(first, last))
    assert other.version("ml_features") != one.version("ml_features")
    backfill(env, "trained_models", start="2021-03-01")
    done = run(env, "train", "--month", "2021-02")
    assert done.returncode == 0, done.stderr
    backfill(env, "predictions", start="2021-03-10")
    backfill(env, "predictions", end="2021-03-09")
    backfill(env, "signals")
    assert artefacts(other) == artefacts(one)
    for contract in (TRAINED_MODELS, PREDICTIONS, SIGNALS):
        expected, found = (place.read(contract) for place in (one, other))
        assert expected.height > 0
        assert found.equals(expected), contract.table


def test_train_prints_its_models_and_keeps_those_that_are_the_same(walked) -> None:
    env, warehouse = walked
    before = artefacts(warehouse)
    done = run(env, "train", "--month", "2021-04", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["models"]
    assert [(row["model"], row["status"], row["date"]) for row in found] == [
        ("ridge", TRAINED, "2021-04-01"), ("trees", TRAINED, "2021-04-01"),
    ]  # fmt: skip
    assert all(row["artefact_sha256"] and row["rows"] > 1000 and row["coins"] == len(COINS) for row in found)
    assert "trained_models" in done.stderr, "its progress"
    assert artefacts(warehouse) == before
    assert warehouse.read(MODEL_TRIALS).height == 6


def test_models_lists_and_compares(walked) -> None:
    env, _ = walked
    listed = json.loads(run(env, "models", "--json").stdout)["models"]
    assert [row["date"] for row in listed] == [str(first) for first in (*MONTHS[:0:-1],) for _ in range(2)]
    assert "rank IC out of fold" in run(env, "models").stdout
    april, march = listed[0]["model_id"], listed[2]["model_id"]
    found = json.loads(run(env, "models", april[:10], march[:10], "--json").stdout)
    assert [row["model_id"] for row in found["models"]] == [april, march]
    assert (found["same_rows"], found["settings"]) == (False, {})
    both = json.loads(run(env, "models", april, listed[1]["model_id"], "--json").stdout)
    assert both["settings"]["kind"] == ["ridge", "lightgbm"]
    for ids, says in (([april], "or two to compare them"), (["0000000", april], "no training begins with '0000000'")):
        refused = run(env, "models", *ids)
        assert refused.returncode == 2 and says in last_line(refused)


def test_signals_are_the_newest_with_their_age_and_model(walked) -> None:
    env, warehouse = walked
    done = run(env, "signals", "--symbols", "btc, ETH", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = {row["symbol"]: row for row in found["signals"]}
    stored = warehouse.read(SIGNALS, symbols=["BTC", "ETH"]).sort("ts").unique("symbol", keep="last")
    assert {name: row["weight"] for name, row in rows.items()} == dict(stored.select("symbol", "weight").rows())
    assert all(row["age_minutes"] > 0 and row["model_age_days"] > 0 and row["model_id"] for row in rows.values())
    assert found["generated_market"] is False
    text = run(env, "signals").stdout
    assert "moved most by" in text and "days ago)" in text and all(symbol in text for symbol in COINS)
    refused = run(env, "signals", "--symbols", "BTC,NOSUCH")
    assert refused.returncode == 2 and "NOSUCH" in last_line(refused)


def test_evaluate_judges_the_range(walked) -> None:
    env, _ = walked
    done = run(env, "evaluate", *WALKED, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["models"]) == {"ridge", "trees"}
    assert {"momentum", "reversal", "low_volatility", "low_beta"} < set(found["features"])
    assert found["models"]["ridge"]["rank_ic"] > 0.05
    assert found["trials"] >= 6 and found["generated"] is False and found["proofs"] == []
    for span, code, says in (
        (("--start", "2021-01-02", "--end", "2021-01-20"), 1, "there are no predictions from 2021-01-02 to 2021-01-20"),
        (("--start", "2021-03-02", "--end", "2021-03-01"), 2, "2021-03-01"),
    ):
        refused = run(env, "evaluate", *span)
        assert refused.returncode == code and says in last_line(refused), last_line(refused)


def test_what_cannot_be_trained_says_why_and_the_others_are_trained(copied) -> None:
    env, _ = copied
    Path(env["CRYPTO_ASSETS_MODELS"]).write_text(WRONG)
    done = run(env, "train", "--month", "2021-04")
    assert done.returncode == 1
    assert "; good of 2021-04 trained" in last_line(done)
    reasons = {row["model"]: row["reason"] for row in json.loads(run(env, "models", "--json").stdout)["models"]}
    assert "labelled rows before 2021-04-01 00:00 and needs 1000000" in reasons["many_rows"]
    assert "has 0 labelled rows before 2021-04-01 00:00" in reasons["long_horizon"]
    assert "no feature is known in 50% of its" in reasons["unknown_feature"]
    assert reasons["good"] is None
    Path(env["CRYPTO_ASSETS_MODELS"]).write_text('[[model]]\nname = "a"\nkind = "rigde"')
    refused = run(env, "train", "--month", "2021-04")
    assert refused.returncode == 1 and "did you mean 'ridge'" in last_line(refused), last_line(refused)
    refused = run(env, "train", "--month", "2021-13")
    assert refused.returncode == 2 and "is not a month" in last_line(refused)


def test_ridge_goes_on_where_the_openmp_library_is_missing(copied, tmp_path: Path) -> None:
    """The import of LightGBM fails as it does without libgomp: in a real process, before anything of it is loaded.

    The process has other libraries imported already (``warm``), and LightGBM is none of them.
    """
    env, warehouse = copied
    library = tmp_path / "without" / "lightgbm"
    library.mkdir(parents=True)
    missing = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (library / "__init__.py").write_text(f"raise OSError({missing!r})\n")
    assert "lightgbm" not in OF_THE_PACKAGE
    env = {**env, "PYTHONPATH": str(library.parent)}  # of processes that are started by this one
    Path(env["CRYPTO_ASSETS_MODELS"]).write_text(CONFIG.replace("trees = 10", "trees = 11"))

    def without(*args: str) -> subprocess.CompletedProcess[str]:
        found_first = f"import sys; sys.path.insert(0, {str(library.parent)!r})"
        main = (
            f"import runpy; sys.argv = ['crypto-assets', *{args!r}]; runpy.run_module('{CLI[1]}', run_name='__main__')"
        )
        return python(env, "-c", f"{found_first}; {main}")

    done = without("train", "--month", "2021-04")
    assert done.returncode == 1
    said = last_line(done)
    assert missing in said and "libgomp1 on Debian" in said and "; ridge of 2021-04 trained" in said
    rows = warehouse.read(TRAINED_MODELS, start=MONTHS[3]).select("model", "status").sort("model").rows()
    assert rows == [("ridge", TRAINED), ("trees", "failed")]
    done = without("backfill", "--start", str(END), "--end", str(END), "--select", 'key:"predictions"')
    assert done.returncode == 0, done.stderr[-2000:]
    assert warehouse.read(PREDICTIONS, start=END, end=END)["model"].unique().to_list() == ["ridge"]
    said = "from crypto_assets.operate import doctor; from crypto_assets.settings import Settings; "
    said += "found = doctor.models(Settings.from_env()); print(found.state, found.text)"
    asked = python(env, "-c", f"import sys; sys.path.insert(0, {str(library.parent)!r}); {said}")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith("warn ") and missing in asked.stdout and "libgomp1 on Debian" in asked.stdout


def test_two_trainings_at_once_and_one_that_is_killed_leave_nothing_half_written(copied) -> None:
    env, warehouse = copied
    Path(env["CRYPTO_ASSETS_MODELS"]).write_text(SLOW)
    before = artefacts(warehouse), warehouse.read(TRAINED_MODELS), warehouse.read(PREDICTIONS)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        training = start(env, *CLI, "train", "--month", "2021-04", stdout=out, stderr=err)
        assert wait_for(lambda: Path(env["CRYPTO_ASSETS_HOME"], "train-2021-04.lock").exists(), 300)
        refused = run(env, "train", "--month", "2021-04")
        assert wait_for(lambda: STARTED in warehouse.read(MODEL_TRIALS)["status"].to_list(), 300)
        assert training.poll() is None, "it is still at work"
        training.send_signal(signal.SIGKILL)
        training.wait(60)
    assert refused.returncode == 1
    assert "crypto-assets train runs over" in last_line(refused) and "training of 2021-04" in last_line(refused)
    found = artefacts(warehouse), warehouse.read(TRAINED_MODELS), warehouse.read(PREDICTIONS)
    assert found[0] == before[0]
    assert found[1].equals(before[1]) and found[2].equals(before[2]), "the former models serve"
    done = run(env, "train", "--month", "2021-04", "--json")
    assert done.returncode == 0, done.stderr
    new = {row["model"]: row for row in json.loads(done.stdout)["models"]}["trees"]
    assert set(warehouse.read(MODEL_TRIALS)["status"]) == {TRAINED}, "the abandoned trial is one trial, now ended"
    assert set(artefacts(warehouse)) == {*before[0], f"{new['model_id']}.json"}
    backfill(env, "predictions", start=END)
    served = warehouse.read(PREDICTIONS, start=END, end=END).filter(model="trees")["model_id"].unique().to_list()
    assert served == [new["model_id"]]


def test_a_restored_home_has_the_models_and_predicts_the_same(walked, copied) -> None:
    (_, one), (env, other) = walked, copied
    assert artefacts(other) == artefacts(one)
    expected = one.read(PREDICTIONS, start=END, end=END)
    other.write(PREDICTIONS, PREDICTIONS.empty(), [END])
    assert other.read(PREDICTIONS, start=END, end=END).is_empty()
    backfill(env, "predictions", start=END)
    assert other.read(PREDICTIONS, start=END, end=END).equals(expected)
    assert json.loads(run(env, "models", "--json").stdout)["models"]


def test_without_features_or_models_each_command_says_what_to_do(tmp_path: Path) -> None:
    env, _ = home_of(tmp_path / "empty")
    for args, says in (
        (("train", "--month", "2021-03"), "ml_features has no row before 2021-03-01"),
        (("models",), "no model was trained yet"),
        (("signals",), "there is no signal"),
    ):
        done = run(env, *args)
        assert done.returncode == 1 and says in last_line(done), last_line(done)
    assert json.loads(run(env, "models", "--json").stdout) == {"models": []}
