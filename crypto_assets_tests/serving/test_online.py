"""The online table on a real Postgres: the newest row of each coin, whoever writes when."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import polars as pl
import psycopg2
import pytest
from dagster import AssetKey, DagsterInstance

from crypto_assets.dates import DAY
from crypto_assets.definitions import defs
from crypto_assets.errors import InstanceError
from crypto_assets.serving import online
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ML_FEATURES

HOUR = timedelta(hours=1)
NOON = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) - HOUR * 12


def rows(
    price: float, *moments: datetime, coins: tuple[str, ...] = ("BTC", "ETH"), source: str = "derived"
) -> pl.DataFrame:
    found = [
        {"symbol": coin, "ts": ts, "date": ts.date(), "available_at": ts + timedelta(minutes=5), "source": source, "price_usd": price}
        for coin in coins
        for ts in moments
    ]  # fmt: skip
    return ML_FEATURES.conform(pl.DataFrame(found))


def prices(url: str) -> dict[str, float]:
    return dict(online.latest(url).select("symbol", "price_usd").rows())


def test_the_newest_wins_and_an_older_row_never_overwrites(url: str) -> None:
    assert online.latest(url).is_empty()
    assert online.upsert(url, rows(1.0, NOON), 1) == 2
    assert online.upsert(url, rows(2.0, NOON + HOUR), 2) == 2
    assert online.upsert(url, rows(3.0, NOON), 3) == 0, "an older hour, although from a newer version"
    assert online.upsert(url, rows(4.0, NOON + HOUR), 1) == 0, "the same hour from an older version"
    assert prices(url) == {"BTC": 2.0, "ETH": 2.0}
    assert online.upsert(url, rows(5.0, NOON + HOUR, coins=("ETH",)), 3) == 1, "a revision of the hour"
    assert prices(url) == {"BTC": 2.0, "ETH": 5.0}
    found = online.latest(url, ["ETH"])
    assert found.select(ML_FEATURES.names).equals(rows(5.0, NOON + HOUR, coins=("ETH",)))
    assert found["delta_version"].to_list() == [3]


def test_many_writers_at_once_leave_the_newest(url: str) -> None:
    def write(n: int) -> None:
        online.upsert(url, rows(float(n), NOON + HOUR * n).sample(fraction=1.0, shuffle=True, seed=n), n)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, [3, 11, 5, 0, 9, 7, 1, 10, 2, 8, 4, 6]))
    assert prices(url) == {"BTC": 11.0, "ETH": 11.0}


def test_columns_follow_the_contract(url: str) -> None:
    """A table of an earlier contract gets the new columns; its rows stay."""
    online.upsert(url, rows(1.0, NOON), 1)
    with psycopg2.connect(url.replace("+psycopg2", "")) as connection:
        connection.cursor().execute(
            "ALTER TABLE online.ml_features_latest DROP COLUMN price_usd, DROP COLUMN return_1h"
        )
    assert online.latest(url)["price_usd"].to_list() == [None, None]
    online.upsert(url, rows(2.0, NOON + HOUR, coins=("BTC",)), 2)
    assert prices(url) == {"BTC": 2.0, "ETH": None}


def test_a_database_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "crypto_assets.storage.shared_state.ATTEMPTS", 1
    )  # how a restart is waited for is tested elsewhere
    with pytest.raises(InstanceError, match=r"online\.ml_features_latest"):
        online.latest("postgresql+psycopg2://nobody@127.0.0.1:1/none")


def test_a_user_without_rights_is_told_so(url: str) -> None:
    name = f"reader_{uuid.uuid4().hex[:12]}"
    with psycopg2.connect(url.replace("+psycopg2", "")) as owner:
        owner.cursor().execute(f"CREATE ROLE {name} LOGIN PASSWORD 'hunter2'")
    address = urlsplit(url)
    reader = address._replace(netloc=f"{name}:hunter2@{address.hostname}:{address.port}").geturl()
    with pytest.raises(InstanceError, match=r"cannot be used \(permission denied.*correct the rights") as caught:
        online.upsert(reader, rows(1.0, NOON), 1)
    assert "hunter2" not in str(caught.value)


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: DagsterInstance) -> Warehouse:
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", str(tmp_path / "warehouse"))
    return Warehouse(str(tmp_path / "warehouse"))


def tick(instance: DagsterInstance, cursor: str | None) -> dg.SensorExecutionData:
    context = dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=defs.get_repository_def())
    return defs.resolve_sensor_def("put_features_online").evaluate_tick(context)  # type: ignore[return-value]


def carry_out(instance: DagsterInstance) -> dg.ExecuteInProcessResult:
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection={AssetKey(online.TABLE)})
    result = job.execute_in_process(instance=instance)
    assert result.success
    return result


def test_old_days_do_not_touch_it(instance: DagsterInstance, url: str, warehouse: Warehouse) -> None:
    """The newest day asks for a run, once; a backfill of old days asks for none, and a run after it changes no row."""
    assert not tick(instance, None).run_requests
    warehouse.write(ML_FEATURES, rows(1.0, NOON, NOON + HOUR), [NOON.date()])
    first = tick(instance, None)
    assert len(first.run_requests or []) == 1
    carry_out(instance)
    before = online.latest(url)
    assert before["ts"].unique().to_list() == [NOON + HOUR]
    assert not tick(instance, first.cursor).run_requests

    old = [NOON.date() - DAY * n for n in range(1, 5)]
    warehouse.write(ML_FEATURES, pl.concat([rows(9.0, NOON - DAY * n) for n in range(1, 5)]).sort("symbol", "ts"), old)
    assert not tick(instance, first.cursor).run_requests
    version = before["delta_version"][0]
    carry_out(instance)
    assert online.latest(url).drop("delta_version").equals(before.drop("delta_version"))
    assert version <= online.latest(url)["delta_version"][0]

    warehouse.write(ML_FEATURES, rows(2.0, NOON + HOUR * 2), [NOON.date()])
    assert len(tick(instance, first.cursor).run_requests or []) == 1


def check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = result.get_asset_check_evaluations()
    return found


def test_its_age_is_a_check(instance: DagsterInstance, url: str, warehouse: Warehouse) -> None:
    now = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    warehouse.write(ML_FEATURES, rows(1.0, now), [now.date()])
    assert check(carry_out(instance)).passed
    job = defs.resolve_job_def("look").get_subset(
        asset_check_selection={dg.AssetCheckKey(AssetKey(online.TABLE), "fresh")}
    )
    with psycopg2.connect(url.replace("+psycopg2", "")) as connection:
        connection.cursor().execute("UPDATE online.ml_features_latest SET ts = ts - interval '9 h', available_at = available_at - interval '9 h'")  # fmt: skip
    found = check(job.execute_in_process(instance=instance))
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert "2 of 2 coin(s) behind" in str(found.description)
