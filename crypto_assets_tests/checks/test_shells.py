"""All checks of a table in one step: each is shown as its own, and none takes another down."""

import pkgutil
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance

from crypto_assets import checks as room
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.shell import DAILY
from crypto_assets.checks import measures, set_aside
from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.shells import Check, all_checks, checks_of, every_measure
from crypto_assets.errors import WarehouseError
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.forgotten import nothing_forgotten


def broken(_: dg.AssetCheckExecutionContext, __: Scope) -> Outcome:
    raise WarehouseError("the table cannot be read")


CHECKS = {
    "before": Check("holds", lambda *_: Outcome(True, "fine")),
    "broken": Check("breaks", broken),
    "after": Check("does not hold", lambda *_: Outcome(False, "two rows too few", "ERROR", {"rows": 3})),
}


def run(instance: DagsterInstance, *names: str, checks: Mapping[str, Check] = CHECKS) -> dg.ExecuteInProcessResult:
    @dg.asset
    def prices() -> None: ...

    keys = [AssetCheckKey(AssetKey("prices"), name) for name in names]
    found = dg.Definitions(
        assets=[prices],
        asset_checks=[checks_of("prices", checks)],
        jobs=[dg.define_asset_job("asked", dg.AssetSelection.checks(*keys))],
        resources={"providers": Providers()},
    )
    return found.resolve_job_def("asked").execute_in_process(instance=instance, raise_on_error=False)


def test_a_check_that_breaks_fails_its_step_and_leaves_the_others_made(instance: DagsterInstance) -> None:
    result = run(instance, *CHECKS)
    assert not result.success
    found = {item.check_name: item for item in result.get_asset_check_evaluations()}
    assert set(found) == {"before", "after"}
    assert found["before"].passed
    assert (found["after"].passed, found["after"].severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found["after"].description == "two rows too few"
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "the table cannot be read" in str(failure.step_failure_data.error)


@pytest.mark.parametrize("name", ["before", "after"])
def test_a_run_may_ask_for_some(instance: DagsterInstance, name: str) -> None:
    result = run(instance, name)
    assert result.success
    assert [item.check_name for item in result.get_asset_check_evaluations()] == [name]


def test_a_tick_of_one_day_is_checked_by_its_own_materialisation(instance: DagsterInstance) -> None:
    """The tables are partitioned, their checks are not; what was looked at is the day that the run has filled."""

    @dg.asset(partitions_def=DAILY)
    def prices() -> None: ...

    found = dg.Definitions(
        assets=[prices], asset_checks=[checks_of("prices", CHECKS)], resources={"providers": Providers()}
    )
    job = found.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={AssetKey("prices")}, asset_check_selection={AssetCheckKey(AssetKey("prices"), "before")}
    )
    results = [job.execute_in_process(instance=instance, partition_key=f"2021-03-0{n}") for n in (2, 1)]
    for result in results:
        assert result.success
        (check,) = result.get_asset_check_evaluations()
        assert check.target_materialization_data is not None
        assert check.target_materialization_data.run_id == result.run_id


def test_a_step_judges_one_version_of_a_table_and_the_next_step_a_newer_one(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that another run writes between two checks of a step are the next step's."""
    monkeypatch.setenv("CRYPTO_ASSETS_HOME", str(tmp_path))
    stored = Warehouse(Settings.from_env().warehouse)
    day = datetime(2021, 3, 1, tzinfo=timezone.utc)

    def count(_: dg.AssetCheckExecutionContext, scope: Scope) -> Outcome:
        found = scope.warehouse.read("prices").height
        row = {
            "symbol": "BTC", "ts": day + timedelta(hours=stored.read("prices").height), "date": day.date(),
            "available_at": day, "source": "test", "price_usd": 1.0,
        }  # fmt: skip
        schema = {name: CONTRACTS["prices"].polars_schema[name] for name in row}
        stored.write(CONTRACTS["prices"], pl.DataFrame([row], schema=schema), [day.date()])
        return Outcome(True, f"{found} row(s)")

    checks = {name: Check("counts, and writes another row", count) for name in ("first", "second")}
    for said in ("0 row(s)", "2 row(s)"):
        result = run(instance, *checks, checks=checks)
        assert [item.description for item in result.get_asset_check_evaluations()] == [said] * 2


def test_every_check_of_the_room_is_one_of_dagsters() -> None:
    modules = [import_module(f"{room.__name__}.{found.name}") for found in pkgutil.iter_modules(room.__path__)]
    known = {(key.asset_key.to_user_string(), key.name) for step in all_checks() for key in step.check_keys}
    nothing_forgotten(
        f"{table}: its check {name} is in MEASURES of {module.__name__.replace('.', '/')}.py and runs nowhere; name the file "
        "in crypto_assets/checks/every_measure.py"
        for module in modules
        for table, named in getattr(module, "MEASURES", {}).items()
        for name in (named if isinstance(named, dict) else ())
        if (table, name) not in known
    )


def test_every_check_of_one_table_has_a_test_and_a_text() -> None:
    """The families that every table has are tested for all of them."""
    families = {*measures.FAMILIES, *measures.FAILED_FAMILY, *set_aside.FAMILY, "fresh", "coins_kept"}
    found = (path for path in Path(__file__).parents[1].rglob("test_*.py") if path.parent.name != "extending")
    tests = "".join(path.read_text(encoding="utf-8") for path in found)
    own = {(table, name): measure for table, named in every_measure().items() for name, measure in named.items()}
    for (table, name), measure in own.items():
        if name not in families:
            file = f"{measure.__module__.replace('.', '/')}.py"
            nothing_forgotten(
                [f"{table}: its check {name} has no docstring, which the UI shows; add one in {file}"]
                * (not measure.__doc__)
                + [f"{table}: no test names its check {name}; add one to crypto_assets_tests/checks/"]
                * (name not in tests)
            )
