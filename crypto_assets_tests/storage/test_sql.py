"""SQL reads the tables by name and reaches nothing else."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.cli.display import result_table
from crypto_assets.dates import DAY
from crypto_assets.errors import CryptoAssetsError, UsageError, WarehouseError
from crypto_assets.storage.sql import query
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS, NEWS_ARTICLES, PRICES
from crypto_assets_tests.object_store import ObjectStore
from crypto_assets_tests.storage.conftest import Place
from crypto_assets_tests.storage.test_warehouse import articles, rows

START = date(2024, 1, 1)


@pytest.fixture
def anywhere(place: Place) -> Warehouse:
    """In a folder, and in an object store."""
    found = Warehouse(place("it's a warehouse"))
    found.write(PRICES, rows(START), [START])
    return found


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    found = Warehouse(str(tmp_path / "it's a warehouse"))
    found.write(PRICES, rows(START), [START])
    return found


def content(folder: Path) -> dict[str, str]:
    """Every file below the folder with its hash: what must be the same after an attack."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_rows_types_and_time_zone(anywhere: Warehouse) -> None:
    frame = query(anywhere, "select date, ts, price_usd, market_cap_usd from prices order by ts desc limit 1")
    assert frame.row(0)[0] == START
    assert str(frame["ts"][0]) == "2024-01-01 23:00:00+00:00"
    assert frame.row(0)[2:] == (123.0, None)


@pytest.mark.parametrize("table", CONTRACTS)
def test_every_table_is_there_even_before_its_first_row(anywhere: Warehouse, table: str) -> None:
    frame = query(anywhere, f"select * from {table}")
    assert frame.columns == CONTRACTS[table].names
    assert frame.height == (24 if table == "prices" else 0)


@pytest.mark.parametrize("statement", ["select count(*) n from prices", "show tables", "select 1"])
def test_a_place_without_a_warehouse_is_no_answer(tmp_path: Path, statement: str) -> None:
    """0 rows would pass for a fact: neither a folder that is not there nor one of something else holds tables."""
    with pytest.raises(WarehouseError, match=r"there is no warehouse in .*nothing.*CRYPTO_ASSETS_WAREHOUSE"):
        query(Warehouse(str(tmp_path / "nothing")), statement)
    assert list(tmp_path.iterdir()) == [], "asking makes none"
    (tmp_path / "photos" / "date=2021-03-01").mkdir(parents=True)
    with pytest.raises(WarehouseError, match=r"there is no warehouse in .*photos"):
        query(Warehouse(str(tmp_path / "photos")), statement)


def test_a_table_that_was_never_filled_beside_others_answers(tmp_path: Path) -> None:
    found = Warehouse(str(tmp_path / "warehouse"))
    found.write(CONTRACTS["market_sentiment"], CONTRACTS["market_sentiment"].empty(), [date(2021, 3, 1)])
    assert query(found, "select count(*) n, max(price_usd) p from prices").rows() == [(0, None)]
    assert set(query(found, "show tables")["name"]) == set(CONTRACTS)


@pytest.mark.parametrize(
    "statement",
    ["show tables", "from (SHOW ALL TABLES)", "desc", "select * from duckdb_views() where not internal",
     "select * from information_schema.tables", "select * from pg_catalog.pg_views where schemaname = 'main' and "
     "viewname not similar to '(duckdb|sqlite|pragma)_.*'", "select * from sqlite_master",
     "select * from query('FROM duckdb_' || 'views() WHERE NOT internal')"],
)  # fmt: skip
def test_the_catalogue_lists_every_table(warehouse: Warehouse, statement: str) -> None:
    """Of the others than a statement names there is no view, unless it may look at them."""
    assert query(warehouse, statement).height == len(CONTRACTS)


def test_what_is_misspelt_is_told_what_is_like_it(warehouse: Warehouse) -> None:
    with pytest.raises(UsageError, match='Did you mean "signals"'):
        query(warehouse, "select * from signal, prices")


def test_a_bucket_without_a_warehouse_is_said(bucket: str) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse in"):
        query(Warehouse(f"{bucket}/nothing"), "select count(*) from prices")


@pytest.mark.parametrize(
    "statement",
    [
        "select count(*) from prices",
        "select count(*) from prices;",
        "SELECT count(*) FROM Prices -- with a comment; and a semicolon",
        "with a as (select * from prices) select count(*) from a",
        "from prices select count(*)",
        "select count(*) from prices p left join ohlc o using (symbol, ts) where o.close is null",
        "select 24 union select count(*) from prices",
    ],
)
def test_one_reading_statement_in_any_form(anywhere: Warehouse, statement: str) -> None:
    assert query(anywhere, statement).rows() == [(24,)]


def test_a_broken_table_matters_only_to_who_names_it(warehouse: Warehouse) -> None:
    log = Path(warehouse.path("ohlc"), "_delta_log", "00000000000000000000.json")
    log.parent.mkdir(parents=True)
    log.write_text("{")
    assert query(warehouse, "select count(*) from prices").rows() == [(24,)]
    with pytest.raises(WarehouseError, match=r"ohlc in .* cannot be read"):
        query(warehouse, "select count(*) from prices join OHLC using (symbol, ts)")
    for path in Path(warehouse.path("prices")).glob("*/*.parquet"):
        path.write_bytes(b"no parquet")
    with pytest.raises(WarehouseError, match=r"prices in .* cannot be read"):
        query(warehouse, "select count(*) from prices")
    assert query(warehouse, "select count(*) from market_sentiment").rows() == [(0,)]


@pytest.mark.parametrize("broken", CONTRACTS)
def test_a_name_inside_another_name_a_text_or_an_alias_is_not_that_table(warehouse: Warehouse, broken: str) -> None:
    """`ohlc` is a part of `kraken_ohlc`: no table that a query does not read stops it, whatever its text says."""
    log = Path(warehouse.path(broken), "_delta_log", "00000000000000000000.json")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("{")
    others = [name for name in CONTRACTS if name != broken]
    read = ", ".join(f"here{n} as (select '{broken}' as {broken}, date from {name})" for n, name in enumerate(others))
    counts = ", ".join(f"(select count(*) from here{n})" for n in range(len(others)))
    found = query(warehouse, f"with {read} select {counts} -- {broken}").rows()
    assert found == [tuple(24 if name == "prices" else 0 for name in others)]
    for text in (f'select count(*) from "{broken.upper()}"', f"from {broken} {broken}", f"describe {broken}"):
        with pytest.raises(WarehouseError, match=rf"^{broken} in .* cannot be read"):
            query(warehouse, text)


def test_json_gives_numbers_as_numbers_and_times_with_their_zone(
    anywhere: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    cells: dict[str, tuple[str, object]] = {
        "count": ("count(*)", 24),
        "sum_of_integers": ("sum(1::bigint)", 24),  # a HUGEINT
        "decimal": ("1.25::decimal(10, 2)", 1.25),
        "whole_decimal": ("3::decimal(10, 2)", 3),
        "huge": ("12345678901234567890::hugeint", 12345678901234567890),
        "unsigned": ("18446744073709551615::ubigint", 2**64 - 1),
        "tiny": ("1e-9::double", 1e-9),
        "not_finite": ("'nan'::double", None),
        "nothing": ("null::decimal(10, 2)", None),
        "yes": ("true", True),
        "zoned": ("max(ts)", "2024-01-01T23:00:00+00:00"),
        "naive": ("timestamp '2024-01-01 12:30:00'", "2024-01-01T12:30:00"),
        "day": ("max(date)", "2024-01-01"),
        "text": ("'007'", "007"),
        "decimals": ("[1.5::decimal(4, 1), null]", [1.5, None]),
        "moments": ("[max(ts)]", ["2024-01-01T23:00:00+00:00"]),
        "struct": ("{'n': sum(1::bigint), 'at': min(ts)}", {"n": 24, "at": "2024-01-01T00:00:00+00:00"}),
    }
    statement = ", ".join(f"{sql} as {name}" for name, (sql, _) in cells.items())
    result_table(query(anywhere, f"select {statement} from prices"), "json")
    assert json.loads(capsys.readouterr().out) == [{name: value for name, (_, value) in cells.items()}]
    result_table(query(anywhere, "select price_usd from prices where symbol = 'none'"), "json")
    assert json.loads(capsys.readouterr().out) == []


def test_csv_has_a_place_for_every_kind_of_cell(warehouse: Warehouse, capsys: pytest.CaptureFixture[str]) -> None:
    result_table(query(warehouse, "select [1, 2] l, {'a': 1} s, [[1], [2]] n, 'ab'::blob b"), "csv")
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == [
        {"l": "1|2", "s": '{"a": 1}', "n": "[[1], [2]]", "b": "6162"}
    ]


def test_a_table_whose_name_the_text_does_not_have_is_read_all_the_same(anywhere: Warehouse) -> None:
    """Only the tables that a text names are opened first; this one puts the name together."""
    plain = query(anywhere, "select count(*) as n from prices")
    assert plain["n"][0] > 0
    assert_frame_equal(query(anywhere, "select count(*) as n from query_table('pri' || 'ces')"), plain)


def test_the_tables_describe_themselves(warehouse: Warehouse) -> None:
    assert query(warehouse, "describe prices")["column_name"].to_list() == PRICES.names
    assert "price_usd" in str(query(warehouse, "explain select price_usd from prices").rows())


def test_only_the_newest_snapshot_is_seen(anywhere: Warehouse) -> None:
    anywhere.write(PRICES, rows(START, price=1.0), [START])
    assert query(anywhere, "select count(*) n, max(price_usd) p from prices").row(0) == (24, 24.0)


ATTACKS = [
    "insert into prices values (1)",
    "insert into prices select * from prices",
    "delete from prices",
    "update prices set price_usd = 1",
    "with gone as (delete from prices returning *) select * from gone",
    "truncate prices",
    "drop view prices",
    "drop table prices",
    "alter view prices rename to x",
    "create table x as select 1",
    "create or replace view prices as select 1",
    "create macro x() as 1",
    "copy prices to '{out}/stolen.csv'",
    "copy (select 1) to '{out}/stolen.parquet' (format parquet)",
    "explain analyze copy prices to '{out}/stolen.csv'",
    "explain analyze insert into prices select * from prices",
    "copy prices from '/etc/passwd'",
    "attach '{out}/x.db'",
    "detach memory",
    "use memory",
    "install httpfs",
    "force install httpfs from 'http://127.0.0.1:1'",
    "load httpfs",
    "set enable_external_access = true",
    "set global lock_configuration = false",
    "reset allowed_paths",
    "explain analyze set enable_external_access = true",
    "pragma database_list",
    "pragma enable_external_access",
    "export database '{out}/x'",
    "import database '{out}/x'",
    "call pragma_version()",
    "begin transaction",
    "checkpoint",
    "vacuum",
    "prepare v as select 1",
    "select 1; drop view prices",
    "select 1; select 2",
    "",
    "-- nothing",
]
OUTSIDE = [
    "select * from read_csv('/etc/passwd')",
    "select * from read_csv_auto('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/etc/passwd')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from glob('/etc/*')",
    "select * from query('select * from read_text(''/etc/passwd'')')",
    "select * from read_parquet('{out}/outside.parquet')",
    "select * from read_parquet('{out}/*.parquet')",
    "select * from '{out}/outside.parquet'",
    "select * from parquet_metadata('{out}/outside.parquet')",
    "select * from read_json('http://127.0.0.1:1/x')",
    "explain analyze select * from read_text('/etc/passwd')",
]


@pytest.mark.parametrize("statement", ["select * from read_text('/etc/passwd')", "delete from prices", "load httpfs"])
def test_an_attack_on_an_object_store_is_refused_too(bucket: str, statement: str) -> None:
    found = Warehouse(bucket)
    found.write(PRICES, rows(START), [START])
    with pytest.raises(UsageError):
        query(found, statement)
    with pytest.raises(UsageError, match="reaches outside"):
        query(found, f"select * from read_parquet('{bucket}/prices/{found.files('prices')['path'][0]}')")


def test_a_query_of_an_object_store_reads_what_it_needs(bucket: str, object_store: ObjectStore) -> None:
    """Days that the query does not ask for are not fetched; a column that was added later is null."""
    found, wanted = Warehouse(bucket), [START + DAY * n for n in range(20)]
    found.write(PRICES, pl.concat(rows(day) for day in wanted), wanted)
    before = object_store.requests
    one = f"select count(*), max(price_usd), count(market_cap_usd) from prices where date = '{wanted[7]}'"
    assert query(found, one).row(0) == (24, 123.0, 0)
    few = object_store.requests - before
    before = object_store.requests
    assert query(found, "select count(*), sum(price_usd) from prices").row(0)[0] == 480
    assert few + 10 < object_store.requests - before


@pytest.mark.parametrize("statement", ATTACKS + OUTSIDE)
def test_an_attack_is_one_sentence_and_changes_nothing(warehouse: Warehouse, tmp_path: Path, statement: str) -> None:
    pl.DataFrame({"secret": [1]}).write_parquet(tmp_path / "outside.parquet")
    before = content(tmp_path)
    with pytest.raises(UsageError) as caught:
        query(warehouse, statement.replace("{out}", str(tmp_path)))
    assert "\n" not in str(caught.value)
    assert "root:" not in str(caught.value)
    assert content(tmp_path) == before
    assert query(warehouse, "select count(*) from prices").item() == 24


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("delete from prices", "only one reading statement is allowed, not DELETE"),
        ("select 1; select 2", "only one reading statement is allowed, not SELECT, SELECT"),
        ("select * from read_text('/etc/passwd')", "reaches outside the warehouse .*; query the tables only"),
        ("from nosuch", "nosuch .*; tables: prices, ohlc, "),
        ("select nosuch from prices", "nosuch"),
        ("select price_usd::date from prices", "the query fails"),
        ("selec 1", "cannot be read .*; write one SELECT"),
    ],
)
def test_the_sentence_says_what_and_what_to_do(warehouse: Warehouse, statement: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        query(warehouse, statement)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["warehouse", "statement", "files", "connection", "sql", "CONTRACTS", "pl"])
def test_python_variables_are_no_tables(warehouse: Warehouse, name: str) -> None:
    """DuckDB would look a missing table up among the variables of its caller."""
    with pytest.raises(UsageError, match="does not exist"):
        query(warehouse, f"select * from {name}")


def test_getenv_gives_nothing_away(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGECKO_API_KEY", "planted")
    try:
        found = query(warehouse, "select getenv('COINGECKO_API_KEY')")
    except UsageError:
        return
    assert "planted" not in str(found.rows())


def test_a_file_of_the_warehouse_that_is_no_table_is_outside(warehouse: Warehouse) -> None:
    """Neither a loose file, nor the commit log, nor a file that the newest snapshot no longer has."""
    (forgotten,) = warehouse.files("prices")["path"]
    warehouse.write(PRICES, rows(START, price=1.0), [START])
    pl.DataFrame({"secret": [1]}).write_parquet(Path(warehouse.uri) / "loose.parquet")
    log = "prices/_delta_log/00000000000000000001.json"
    assert (Path(warehouse.uri) / log).exists()
    assert (Path(warehouse.path("prices")) / forgotten).exists()
    for call in (
        "read_parquet('{}/loose.parquet')",
        "read_text('{}/" + log + "')",
        "read_blob('{}/prices/" + forgotten + "')",
    ):
        statement = f"select * from {call.format(warehouse.uri.replace(chr(39), chr(39) * 2))}"
        with pytest.raises(UsageError, match="reaches outside"):
            query(warehouse, statement)


def test_a_lost_data_file_is_the_warehouses_fault_not_the_querys(warehouse: Warehouse) -> None:
    Path(warehouse.path("prices"), warehouse.files("prices")["path"][0]).unlink()
    with pytest.raises(CryptoAssetsError) as caught:
        query(warehouse, "select * from prices")
    assert isinstance(caught.value, WarehouseError)
    assert "\n" not in str(caught.value)


@pytest.fixture
def mixed(warehouse: Warehouse) -> pl.DataFrame:
    """A row with each kind of cell: text with a comma and a quote, a list, an instant, a day, null."""
    warehouse.write(NEWS_ARTICLES, articles(START, "a", "b", title='He said "up", she "down"'), [START])
    statement = "select article_id, title, symbols, published_at, date, summary from news_articles order by 1"
    return query(warehouse, statement)


def test_csv_is_read_back_by_a_csv_reader(mixed: pl.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    result_table(mixed, "csv")
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["symbols"] for row in found] == ["BTC|ETH", ""]
    assert found[0]["title"] == 'He said "up", she "down"'
    assert found[0]["published_at"].startswith("2024-01-01T12:00:00")
    assert (found[0]["date"], found[0]["summary"]) == ("2024-01-01", "")


def test_json_is_one_document_with_nulls_and_lists(mixed: pl.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    result_table(mixed, "json")
    found = json.loads(capsys.readouterr().out)
    assert [(row["article_id"], row["symbols"], row["summary"]) for row in found] == [
        ("a", ["BTC", "ETH"], None),
        ("b", [], None),
    ]


def test_a_table_has_every_column_and_row(mixed: pl.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    result_table(mixed.select("article_id", "date", "summary"), "table")
    lines = capsys.readouterr().out.splitlines()
    assert all(name in lines[1] for name in ("article_id", "date", "summary"))
    assert sum("2024-01-01" in line for line in lines) == 2
    assert "None" not in "".join(lines), "null is an empty cell"


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_no_rows_are_no_rows_in_every_format(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    result_table(query(warehouse, "select symbol, close from ohlc"), form)
    out = capsys.readouterr().out
    if form == "json":
        assert json.loads(out) == []
    else:
        assert "symbol" in out
        assert "close" in out
        assert "24" not in out


def test_a_title_that_is_markup_or_moves_the_cursor_is_shown_as_text(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    result_table(query(warehouse, "select '[/b][red]x' || chr(27) || '[2J' as \"[/]\""), "table")
    shown = capsys.readouterr().out
    assert "[/b][red]x\N{REPLACEMENT CHARACTER}[2J" in shown and "[/]" in shown and "\x1b" not in shown


def test_a_type_that_no_table_has_is_refused_with_the_way_out(warehouse: Warehouse) -> None:
    with pytest.raises(UsageError, match="VARCHAR"):
        query(warehouse, "select interval 1 day as d")
