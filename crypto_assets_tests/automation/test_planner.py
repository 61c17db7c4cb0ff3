"""The planner as a pure function: whatever is wished, every day ends in one place, and the rules hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.automation.planner.observed_state import TableDays
from crypto_assets.automation.planner.plan import Plan, PlannedRun, plan
from crypto_assets.automation.planner.reasons import gaps
from crypto_assets.automation.planner.rules import (
    COMMAND,
    HEALING,
    LATE_VALUES,
    MODEL_IS_BACK,
    REFILL,
    REST_OF_RUN,
    Retry,
    Rules,
)
from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import UnderWay, WantedDay
from crypto_assets.dates import DAY, days

FIRST = date(2024, 1, 1)
NOW = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)
SPECS = Specs(
    look_back={
        "daily": {"chain": 2},
        "digest": {"news": 0, "daily": 3},
        "features": {"chain": 1, "news": 0, "daily": 4, "digest": 0},
        "signals": {"features": 1, "news": 0},
    },
    required_inputs={
        "daily": ("chain",),
        "digest": ("daily",),
        "features": ("chain", "news"),
        "signals": ("features",),
    },
    settles_after={"chain": timedelta(hours=6), "news": timedelta(minutes=8)},
    kept_up=("chain", "news", "present", "signals", "features", "daily", "digest"),
    first_day=FIRST,
    days_at_most={"chain": 5, "news": 5, "present": 5, **dict.fromkeys(("daily", "digest", "features", "signals"), 9)},
    days_in_memory={"features": 3},
)
WIDE = replace(SPECS, wide={"news": 12})  # 12 days in a run of its own, beside runs of 5 days
KINDS = [LATE_VALUES, REFILL, REST_OF_RUN, MODEL_IS_BACK, COMMAND, HEALING]
TABLES = [*SPECS.kept_up]
DAYS = st.integers(0, 40).map(lambda n: FIRST + DAY * n)
Key = tuple[str, date]

# Stretches of days of some tables, so that runs are long enough to be cut; single days are stretches of one.
wanted_days = st.lists(
    st.tuples(
        st.sets(st.sampled_from(TABLES), min_size=1, max_size=4),
        DAYS,
        st.sampled_from([0, 0, 2, 3, 4, 11]),
        st.sampled_from(["gap: it is missing", "failed: it failed", "late values: something was written"]),
        st.sampled_from([(), (), ("BTC",), ("ETH", "BTC")]),
    ),
    max_size=6,
).map(
    lambda stretches: [
        WantedDay(table, day, reason, coins)
        for tables, first, more, reason, coins in stretches
        for table in sorted(tables)
        for day in days(first, first + DAY * more)
    ]
)
spans = st.lists(st.tuples(st.frozensets(st.sampled_from(TABLES)), DAYS, DAYS), max_size=4).map(
    lambda found: UnderWay(tuple((tables, min(a, b), max(a, b)) for tables, a, b in found))
)
kinds = st.builds(
    lambda rules, most: replace(rules, most_runs=most and rules.most_runs and most),
    st.sampled_from(KINDS),
    st.sampled_from([None, 1, 3]),
)


def tried_before(digest: str) -> list[datetime]:
    """Up to five attempts, some long ago; which is decided by the digest, so that it is the same each time."""
    number = int(digest, 16)
    return [NOW - timedelta(minutes=7) * (1 + number % 50) * n for n in range(1, 1 + number % 6)]


def keys(run: PlannedRun) -> list[Key]:
    return [(table, day) for table in run.tables for day in days(run.first, run.last)]


@given(wanted_days, kinds, spans)
def test_every_wished_day_is_in_one_place(found: list[WantedDay], rules: Rules, busy: UnderWay) -> None:
    made = plan(found, rules, SPECS, now=NOW, under_way=busy, tried=tried_before)
    places = Counter(key for run in made.all_runs for key in keys(run))
    places.update((wanted_day.table, wanted_day.day) for wanted_day in made.under_way)
    assert places == Counter({(wanted_day.table, wanted_day.day) for wanted_day in found})


@given(wanted_days, kinds, spans)
def test_no_run_for_a_day_that_is_under_way(found: list[WantedDay], rules: Rules, busy: UnderWay) -> None:
    made = plan(found, rules, SPECS, now=NOW, under_way=busy, tried=tried_before)
    if rules.yields:
        assert not [key for run in made.all_runs for key in keys(run) if busy.covers(*key)]
        assert all(busy.covers(wanted_day.table, wanted_day.day) for wanted_day in made.under_way)
    else:
        assert made.under_way == [], "a command does not wait for others"


@given(wanted_days, kinds)
def test_no_run_is_larger_than_its_bounds(found: list[WantedDay], rules: Rules) -> None:
    for run in plan(found, rules, SPECS, now=NOW).all_runs:
        length = (run.last - run.first).days + 1
        assert length <= (9 if set(run.tables) <= set(SPECS.look_back) else 5)
        assert length <= 3 or "features" not in run.tables


@given(wanted_days, st.sampled_from(KINDS), st.sampled_from([SPECS, WIDE]))
def test_inputs_come_before_what_rests_on_them(found: list[WantedDay], rules: Rules, specs: Specs) -> None:
    """Of the same day whatever the order; where it is not the newest first, of all days that are looked back on."""
    made = plan(found, replace(rules, most_runs=None), specs, now=NOW)
    place = {key: number for number, run in enumerate(made.runs) for key in keys(run)}
    for (table, day), number in place.items():
        for name, far in SPECS.look_back.get(table, {}).items():
            for n in range(1 if rules.order == "newest" else far + 1):
                assert place.get((name, day - DAY * n), -1) <= number, (table, day, name, n)


@given(wanted_days, st.sampled_from(KINDS), spans, st.randoms())
def test_the_order_of_the_wishes_does_not_matter(found: list[WantedDay], rules: Rules, busy: UnderWay, random) -> None:
    other = list(found)
    random.shuffle(other)
    one, two = (plan(w, rules, SPECS, now=NOW, under_way=busy, tried=tried_before) for w in (found, other))
    assert one == two


@given(wanted_days, kinds)
def test_attempts_are_respected(found: list[WantedDay], rules: Rules) -> None:
    made = plan(found, rules, SPECS, now=NOW, tried=tried_before)
    retry = rules.retry

    def counted(run: PlannedRun) -> list[datetime]:
        return [at for at in tried_before(run.digest) if retry.within is None or NOW - at < retry.within]

    assert rules.most_runs is None or len(made.runs) <= rules.most_runs
    assert not made.later or len(made.runs) == rules.most_runs
    for run in [*made.runs, *made.later]:
        before = counted(run)
        assert retry.most is None or len(before) < retry.most
        assert (
            not before
            or NOW - max(before) >= retry.first_pause * 2 ** (len(before) - 1)
            or (NOW - max(before) >= retry.longest_pause)
        )
        assert run.attempt == len(tried_before(run.digest))
    for run in made.exhausted:
        assert retry.most is not None
        assert len(counted(run)) >= retry.most
    for run in made.paused:
        assert NOW - max(counted(run)) < retry.first_pause * 2 ** (len(counted(run)) - 1)


@given(wanted_days, st.sampled_from(KINDS))
def test_a_run_for_single_coins_holds_what_was_wished_for_them_only(found: list[WantedDay], rules: Rules) -> None:
    whole = {(w.table, w.day) for w in found if not w.coins or w.table in SPECS.look_back}
    for run in plan(found, rules, SPECS, now=NOW).all_runs:
        for key in keys(run):
            coins = {coin for w in found if (w.table, w.day) == key for coin in w.coins}
            assert run.coins == (() if key in whole else tuple(sorted(coins)))


@given(wanted_days, st.sampled_from(KINDS))
def test_every_run_says_why(found: list[WantedDay], rules: Rules) -> None:
    for run in plan(found, rules, SPECS, now=NOW).all_runs:
        said = {w.reason for w in found if (w.table, w.day) in keys(run)}
        assert run.reason.split(" (and ")[0] in said
        assert (f"(and {len(said) - 1} more like it)" in run.reason) == (len(said) > 1)


@pytest.mark.parametrize("rules", [COMMAND, REFILL, LATE_VALUES], ids=lambda rules: rules.name)
def test_coins_of_one_day_come_before_a_run_over_days_around_it(rules: Rules) -> None:
    """The day of the coins is neither the first nor the last of the other run: its place alone would not put it first."""
    around = [WantedDay("daily", FIRST + DAY * n, "gap: it is missing") for n in range(5)]
    alone = WantedDay("chain", FIRST + DAY * 2, "failed coins: BTC", ("BTC",))
    first, second = plan([*around, alone], rules, SPECS, now=NOW).runs
    assert (first.tables, first.coins) == (("chain",), ("BTC",))
    assert (second.tables, second.first, second.last) == (("daily",), FIRST, FIRST + DAY * 4)


def test_each_pause_is_twice_the_one_before() -> None:
    retry = Retry(first_pause=timedelta(minutes=2), longest_pause=timedelta(hours=1))
    assert [retry.pause(n) / timedelta(minutes=1) for n in range(8)] == [0, 2, 4, 8, 16, 32, 60, 60]


def test_another_cause_counts_anew() -> None:
    wanted_day = WantedDay("features", FIRST, "late values: chain was written")
    one, same, other = (
        plan([wanted_day], LATE_VALUES, SPECS, now=NOW, cause=cause).runs[0] for cause in ("1", "1", "2")
    )
    assert one.digest == same.digest != other.digest


statuses = st.sampled_from(["MATERIALIZED", "FAILED", "IN_PROGRESS"])
tables = st.fixed_dictionaries(
    {
        table: st.builds(
            TableDays,
            st.dictionaries(st.integers(40, 60).map(lambda n: FIRST + DAY * n), statuses, max_size=20),
            st.dictionaries(st.integers(50, 60).map(lambda n: FIRST + DAY * n), st.floats(1.70e9, 1.71e9), max_size=9),
            st.dictionaries(st.integers(50, 60).map(lambda n: FIRST + DAY * n), st.just(("BTC",)), max_size=3),
        )
        for table in TABLES
    }
)


@given(tables, spans)
def test_gaps_of_any_state(state: dict[str, TableDays], busy: UnderWay) -> None:
    """Failed days that can be made again are always wished, days in progress and days that are not over never."""
    found = gaps.wanted_days(state, SPECS, NOW, busy)
    asked = {(wanted_day.table, wanted_day.day) for wanted_day in found}
    for table, stands in state.items():
        for day, status in stands.states.items():
            if status == "FAILED" and table not in SPECS.look_back:
                assert (table, day) in asked
            if status == "IN_PROGRESS" and not (day in stands.lacking and table in SPECS.settles_after):
                assert (table, day) not in asked
    assert all(
        wanted_day.day < NOW.date() for wanted_day in found if wanted_day.reason.startswith(("gap", "unsettled"))
    )
    for wanted_day in found:
        if wanted_day.table in SPECS.required_inputs:
            assert any(
                state[name].states.get(wanted_day.day) == "MATERIALIZED" or (name, wanted_day.day) in asked
                for name in SPECS.required_inputs[wanted_day.table]
            ), "an input is there or on its way"
    assert plan(found, REFILL, SPECS, now=NOW, under_way=busy) == plan(found, REFILL, SPECS, now=NOW, under_way=busy)


@pytest.mark.parametrize("rules", KINDS, ids=lambda rules: rules.name)
def test_nothing_wished_is_nothing_planned(rules: Rules) -> None:
    assert plan([], rules, SPECS, now=NOW) == Plan()


def test_a_table_that_allows_few_days_a_run_is_never_given_more() -> None:
    """The size is the table's own, in its TableSpec: not one for all tables of providers."""
    few = replace(SPECS, days_at_most={**SPECS.days_at_most, "news": 2})
    wanted_days = [WantedDay("news", FIRST + DAY * n, "test") for n in range(9)]
    runs = plan(wanted_days, COMMAND, few, now=NOW).all_runs
    assert [(run.last - run.first).days + 1 for run in runs] == [2, 2, 2, 2, 1]
    both = [*wanted_days, *(WantedDay("chain", FIRST + DAY * n, "test") for n in range(9))]
    assert max((run.last - run.first).days + 1 for run in plan(both, COMMAND, few, now=NOW).all_runs) == 2


def test_gaps_are_looked_for_on_the_calendar_only() -> None:
    """It begins somewhere, and where a demo's recordings end, it ends."""
    yesterday = NOW.date() - DAY
    whole = gaps.window_of(SPECS, NOW)
    assert whole == days(yesterday - DAY * (gaps.WINDOW_DAYS - 1), yesterday)
    assert gaps.window_of(replace(SPECS, last_day=yesterday - DAY * 2), NOW) == whole[:-2]
    assert gaps.window_of(replace(SPECS, first_day=yesterday - DAY), NOW) == whole[-2:]
    assert gaps.window_of(replace(SPECS, last_day=FIRST), NOW) == []


def test_a_wide_run_comes_before_a_shorter_one_that_begins_before_it() -> None:
    """Runs of features end at days 4, 9 and 14; those of news at 11 and 23: the second is needed from day 12 on."""
    last = FIRST + DAY * 20
    wished = [WantedDay(table, day, "asked") for table in ("chain", "news", "daily") for day in days(FIRST, last)]
    found = plan(wished, COMMAND, WIDE, now=NOW).all_runs
    place = {key: number for number, run in enumerate(found) for key in keys(run)}
    assert all(place["news", day] < place["daily", day] for day in days(FIRST, last))


def test_a_table_that_asks_less_in_longer_runs_has_them_alone_over_a_long_span_and_shares_a_short_one() -> None:
    wished = [
        WantedDay(table, day, "asked")
        for table in ("chain", "news", "features")
        for day in days(FIRST, FIRST + DAY * 13)
    ]
    found = plan(wished, COMMAND, WIDE, now=NOW).all_runs
    alone = [(run.first, run.last) for run in found if "news" in run.tables]
    assert alone == [(FIRST, FIRST + DAY * 11), (FIRST + DAY * 12, FIRST + DAY * 13)]
    assert found[0].tables == ("news",), "features of these days rest on it"
    covered = Counter((table, day) for run in found for table in run.tables for day in days(run.first, run.last))
    assert set(covered.values()) == {1} and len(covered) == 3 * 14
    short = plan([wanted for wanted in wished if wanted.day < FIRST + DAY * 3], COMMAND, WIDE, now=NOW).all_runs
    assert [run.tables for run in short] == [("chain", "news", "features")]
