"""News of files: each format, what each time means, and rows that are no articles."""

from __future__ import annotations

import gzip
import json
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crypto_assets.errors import SourceError
from crypto_assets.sources.cells import UNREADABLE_TIME
from crypto_assets.sources.news_files import read_file, read_folder

UTC = timezone.utc
NOW = datetime(2024, 6, 1, tzinfo=UTC)
SEEN = {"seen_at": "2024-01-02T10:00:00+02:00", "title": "SEC sues Coinbase", "url": "https://www.wire.example/1"}
ROWS: list[dict[str, Any]] = [
    SEEN,
    {"published_at": "2024-01-03T09:00:00Z", "title": "<b>Bitcoin</b> falls", "feed": "desk", "summary": "By &lt;5 %"},
    {"published_at": "2024-01-03T09:00:00Z", "seen_at": "2024-01-03T11:30:00Z", "title": "Ether rises"},
]  # fmt: skip


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    path, names = folder / f"archive{kind}", list(dict.fromkeys(name for row in rows for name in row))
    frame = pl.DataFrame(
        [{name: row.get(name) for name in names} for row in rows], schema=dict.fromkeys(names, pl.String)
    )
    if kind == ".parquet":
        frame.write_parquet(path)
    elif kind == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    elif kind == ".csv.gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    else:
        frame.write_csv(path)
    return path


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".jsonl", ".parquet"])
def test_each_format_gives_the_same_articles(tmp_path: Path, kind: str) -> None:
    found = read_file(write(tmp_path, kind, ROWS), NOW)
    by_title = {row["title"]: row for row in found.frame.to_dicts()}
    assert set(by_title) == {"SEC sues Coinbase", "Bitcoin falls", "Ether rises"} and not found.set_aside
    seen, published, both = by_title["SEC sues Coinbase"], by_title["Bitcoin falls"], by_title["Ether rises"]
    at = datetime(2024, 1, 2, 8, tzinfo=UTC)
    assert (seen["published_at"], seen["first_seen_at"], seen["available_at"]) == (at, at, at)
    assert seen["pit_quality"] == "first_seen" and seen["feed"] == "wire.example"
    assert published["first_seen_at"] is None and published["pit_quality"] == "backfilled"
    assert published["available_at"] == datetime(2024, 1, 3, 9, tzinfo=UTC) and published["summary"] == "By <5 %"
    assert published["feed"] == "desk" and both["feed"] == "archive"
    assert both["available_at"] == datetime(2024, 1, 3, 11, 30, tzinfo=UTC) > both["published_at"]


@pytest.mark.parametrize("kind", [".csv", ".jsonl"])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**SEEN, "seen_at": "2024-01-02 10:00:00"}, "its time has no offset from UTC"),
        ({**SEEN, "seen_at": "yesterday"}, UNREADABLE_TIME),
        ({**SEEN, "seen_at": None}, UNREADABLE_TIME),
        ({**SEEN, "title": " "}, "row without a title"),
        ({**SEEN, "seen_at": "2001-01-02T10:00:00Z"}, "date before 2009"),
        ({**SEEN, "seen_at": "2031-01-02T10:00:00Z"}, "date more than a day ahead"),
    ],
)
def test_a_row_that_is_no_article_is_counted_by_reason(
    tmp_path: Path, kind: str, row: dict[str, Any], reason: str
) -> None:
    found = read_file(write(tmp_path, kind, [*ROWS, row]), NOW)
    assert found.frame.height == 3
    (aside,) = found.set_aside
    assert aside.count == 1 and aside.reason == reason


def test_broken_lines_are_counted_and_the_others_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, ".jsonl", ROWS)
    path.write_text(path.read_text(encoding="utf-8") + '\n{"title": "cut\n[1]\n', encoding="utf-8")
    found = read_file(path, NOW)
    assert found.frame.height == 3 and [(record.reason, record.count) for record in found.set_aside] == [
        ("row that is not readable", 2)
    ]


def test_seconds_are_a_time_in_text_too(tmp_path: Path) -> None:
    found = read_file(write(tmp_path, ".csv", [{"seen_at": "1704186000", "title": "Bitcoin"}]), NOW)
    assert found.frame["available_at"][0] == datetime(2024, 1, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("a.parquet", b"no parquet", "cannot be read"),
        ("a.csv", b"when,what\n1,2\n", "lacks the column"),
        ("a.csv", b"title,when\nx,2\n", "lacks the column seen_at or published_at"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.csv", b"title,seen_at\nx,soon\ny,later\n", "times are not ISO 8601"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path: Path, name: str, body: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(SourceError, match=said):
        read_file(tmp_path / name, NOW)


def test_a_folder_gives_the_days_asked_for_and_names_what_it_could_not_read(tmp_path: Path) -> None:
    write(tmp_path, ".csv", ROWS)
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    (tmp_path / "notes.txt").write_text("not read", encoding="utf-8")
    found = read_folder(tmp_path, date(2024, 1, 3), date(2024, 1, 3), NOW)
    assert set(found.frame["title"]) == {"Bitcoin falls", "Ether rises"} and [name for name, _ in found.missing] == [
        "bad.parquet"
    ]
    early = read_folder(tmp_path, date(2024, 1, 3), date(2024, 1, 3), datetime(2024, 1, 3, 10, tzinfo=UTC))
    assert set(early.frame["title"]) == {"Bitcoin falls"}, "what was seen later is not known yet"
    assert read_folder(None, date(2024, 1, 1), date(2024, 1, 9), NOW).frame.is_empty()
    with pytest.raises(SourceError, match="NEWS_FOLDER"):
        read_folder(tmp_path / "none", date(2024, 1, 1), date(2024, 1, 9), NOW)
