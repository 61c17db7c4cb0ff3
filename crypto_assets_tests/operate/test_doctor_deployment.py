"""The doctor on an object store, and readiness: what is missing, in words, without a secret."""

from __future__ import annotations

import pytest

from crypto_assets.errors import WarehouseError
from crypto_assets.operate.doctor_deployment import object_store
from crypto_assets.operate.ready import missing
from crypto_assets.settings import Settings


def settings(**env: str) -> Settings:
    return Settings.from_env({f"{name}": value for name, value in env.items()})


def test_a_store_that_works_and_one_that_does_not(bucket: str) -> None:
    assert "can be written, read and cleared" in object_store(settings(CRYPTO_ASSETS_WAREHOUSE=f"{bucket}/w"))
    with pytest.raises(WarehouseError, match=r"s3://no-such-bucket-here.* cannot be written") as caught:
        object_store(settings(CRYPTO_ASSETS_WAREHOUSE="s3://no-such-bucket-here/w"))
    assert "\n" not in str(caught.value)
    assert "test-secret" not in str(caught.value)


def test_readiness_says_all_that_is_missing(bucket: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = missing(settings(CRYPTO_ASSETS_WAREHOUSE=bucket), ("127.0.0.1", 9))
    assert len(found) == 2
    assert "DAGSTER_POSTGRES_URL is not set (Secret crypto-assets" in found[0]
    assert "the code location at 127.0.0.1:9 cannot be reached (Connection refused)" in found[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = "postgresql+psycopg2://u:hunter2@127.0.0.1:9/x"
    found = missing(settings(CRYPTO_ASSETS_WAREHOUSE=bucket, DAGSTER_POSTGRES_URL=away))
    assert "Postgres does not answer" in found[0]
    assert "hunter2" not in found[0]
    assert "the object store at 127.0.0.1:9 cannot be reached" in found[1]
    (empty,) = missing(settings(CRYPTO_ASSETS_WAREHOUSE="/tmp", DAGSTER_POSTGRES_URL=postgres_url))
    assert "no tables of Dagster yet (the Job crypto-assets-migrate makes them)" in empty
