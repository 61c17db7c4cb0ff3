"""Plans with tables of months: one run for neighbouring months, after their inputs and before what is derived from them."""

from datetime import date, datetime, timezone

from crypto_assets.automation.planner import specs
from crypto_assets.automation.planner.plan import PlannedRun, plan
from crypto_assets.automation.planner.reasons.command import asked
from crypto_assets.automation.planner.rules import COMMAND, HEALING, Rules
from crypto_assets.dates import days, months, runs_of_months

NOW = datetime(2024, 6, 1, tzinfo=timezone.utc)
START, END = date(2023, 11, 20), date(2024, 2, 5)
TABLES = ("ml_features", "trained_models", "predictions")


def planned(rules: Rules, tables: tuple[str, ...] = TABLES) -> list[PlannedRun]:
    wanted = {table: days(START, END) for table in tables}
    return plan(asked(wanted, "a test"), rules, specs.current(), now=NOW).runs


def test_a_command_trains_after_the_features_and_before_the_predictions() -> None:
    runs = planned(COMMAND)
    tables = [run.tables for run in runs]
    training = tables.index(("trained_models",))
    assert {table for named in tables[:training] for table in named} == {"ml_features"}
    assert {table for named in tables[training + 1 :] for table in named} == {"predictions"}
    assert (runs[training].first, runs[training].last) == (date(2023, 12, 1), date(2024, 2, 1))
    assert runs[training].partitions == 3
    for table in ("ml_features", "predictions"):  # no day is lost or split off
        assert [day for run in runs if table in run.tables for day in days(run.first, run.last)] == days(START, END)


def test_trainings_alone_are_planned_too_and_a_day_that_begins_no_month_is_none() -> None:
    for rules in (COMMAND, HEALING):
        (run,) = planned(rules, ("trained_models",))
        assert (run.first, run.last, run.months) == (date(2023, 12, 1), date(2024, 2, 1), True)
    alone = plan(asked({"trained_models": [date(2024, 1, 15)]}, "a test"), COMMAND, specs.current(), now=NOW)
    assert alone.all_runs == []


def test_neighbouring_months_are_one_run_of_a_year_at_most() -> None:
    firsts = months(date(2022, 1, 1), date(2023, 3, 1))
    assert runs_of_months(firsts, 12) == [(date(2022, 1, 1), date(2022, 12, 1)), (date(2023, 1, 1), date(2023, 3, 1))]
    assert runs_of_months([date(2022, 1, 1), date(2022, 3, 1)], 12) == [
        (date(2022, 1, 1), date(2022, 1, 1)),
        (date(2022, 3, 1), date(2022, 3, 1)),
    ]
