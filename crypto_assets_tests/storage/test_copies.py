"""Backup and restore: whole versions, between folders and stores, again without copying twice, never over other tables."""

from __future__ import annotations

import pytest

from crypto_assets.errors import WarehouseError
from crypto_assets.schemas import NEWS_ARTICLES, PRICES
from crypto_assets.storage.copies import copy_tables
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.storage.conftest import Place
from crypto_assets_tests.storage.test_warehouse import DAY, START, articles, rows


@pytest.fixture
def warehouse(place: Place) -> Warehouse:
    found = Warehouse(place("warehouse with a blank"))
    found.write(PRICES, rows(START), [START])
    found.write(PRICES, rows(START, price=7.0), [START])
    found.write(NEWS_ARTICLES, articles(START, "a"), [START])
    return found


def test_there_and_back_again(warehouse: Warehouse, place: Place) -> None:
    backup, restored = Warehouse(place("backup")), Warehouse(place("restored"))
    first = copy_tables(warehouse, backup)
    assert set(first.versions) == {"prices", "news_articles"}
    warehouse.write(PRICES, rows(START + DAY), [START + DAY])
    assert copy_tables(warehouse, backup).files == 2, "a data file and a log entry: the rest is there"
    assert copy_tables(warehouse, backup).files == 0
    copy_tables(backup, restored, only_into_empty=True)
    for table in ("prices", "news_articles"):
        assert restored.content_hash(table) == warehouse.content_hash(table)
        assert restored.version(table) == warehouse.version(table)
    assert restored.read("prices", version=1)["price_usd"][0] == 100.0, "its history too"
    assert restored.write(PRICES, rows(START, price=9.0), [START]).changed, "it can be written to"


def test_what_must_not_be_overwritten_is_not(warehouse: Warehouse, place: Place) -> None:
    other = Warehouse(place("other"))
    with pytest.raises(WarehouseError, match="holds no table"):
        copy_tables(other, warehouse)
    other.write(PRICES, rows(START, price=3.0), [START])
    with pytest.raises(WarehouseError, match=r"already holds prices; nothing was restored"):
        copy_tables(warehouse, other, only_into_empty=True)
    with pytest.raises(WarehouseError, match="is no backup"):
        copy_tables(other, warehouse)
    assert not other.exists("news_articles")
    assert other.read("prices")["price_usd"][0] == 3.0
