"""Rows of a table in day-sized parts: pages with a cursor, and streams of bounded memory.

The order is by ``date``, then by the key. An answer is of one version of the table from its first row to its last, so a
cursor means the same rows while the table is written.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from crypto_assets.gateway.problems import Problem
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.store.selection import Selection

CELLS = 1_000_000  # of one part: about 8 MB in memory; small, so that the next part is read while one is sent


@dataclass(frozen=True)
class Query:
    """Rows of one version of a table.

    Attributes:
        selection: which rows and columns.
        version: the version; None while the table does not exist.
    """

    selection: Selection
    version: int | None

    @property
    def mark(self) -> str:
        """A text that is the same for the same rows: of the table, the version and the selection."""
        asked = self.selection
        said = [
            asked.contract.table, self.version, str(asked.start), str(asked.end), sorted(asked.symbols or ()),
            asked.symbols is None, asked.columns, str(asked.known_at),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]

    @property
    def empty(self) -> pl.DataFrame:
        """A frame with its columns and no rows."""
        return self.selection.contract.empty().select(self.selection.columns)


@dataclass(frozen=True)
class Cursor:
    """Where a page begins: after ``offset`` rows of ``day``."""

    day: date
    offset: int

    def text(self, query: Query) -> str:
        """Return the cursor as ``page_token``; it is good for this query only."""
        said = json.dumps([query.mark, query.version, self.day.isoformat(), self.offset])
        return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[str, int, Cursor]:
    """Read a ``page_token``.

    Args:
        text: as an earlier page gave it.

    Returns:
        The mark of its query, the version, where the page begins.

    Raises:
        Problem: it is no cursor (400).
    """
    try:
        mark, version, day, offset = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        found = Cursor(date.fromisoformat(day), offset)
        if not (isinstance(mark, str) and type(version) is int and type(offset) is int and 0 <= offset < 2**40):
            raise ValueError(text)
    except (ValueError, TypeError) as error:
        raise Problem(400, "wrong-cursor", "page_token is not one that an answer gave; ask again without it") from error
    return mark, version, found


def spans(warehouse: Warehouse, query: Query, first: date | None = None) -> list[tuple[date, date]]:
    """Split the days of a query so that the rows of each part fit into memory.

    Args:
        warehouse: the tables.
        query: the rows.
        first: leave out earlier days.

    Returns:
        (first day, last day) of each part, in order; days without files are in none.

    Raises:
        WarehouseError: the table cannot be read.
    """
    if query.version is None:
        return []
    asked = query.selection
    files = warehouse.files(asked.contract.table, query.version).group_by("day").agg(pl.col("rows").sum()).sort("day")
    bounds = [bound for bound in (first, asked.first_day) if bound is not None]
    low, high = max(bounds, default=date.min), asked.last_day or date.max
    most = max(1, CELLS // len(asked.read))
    found: list[tuple[date, date]] = []
    held = 0
    for day, rows in files.filter(pl.col("day").is_between(low, high)).rows():
        if found and held + rows <= most:
            found[-1] = (found[-1][0], day)
            held += rows
        else:
            found.append((day, day))
            held = rows
    return found


def part(warehouse: Warehouse, query: Query, first: date, last: date) -> pl.DataFrame:
    """Read the rows of a few days.

    Args:
        warehouse: the tables.
        query: the rows.
        first: the first day.
        last: the last day, included.

    Returns:
        The rows in order of date and key, with the columns of the query.

    Raises:
        WarehouseError: the table cannot be read.
    """
    asked = query.selection
    plan = warehouse.scan(
        asked.contract,
        start=first,
        end=last,
        columns=[*asked.read, "date"],
        symbols=asked.symbols,
        version=query.version,
    )
    columns = list(dict.fromkeys(["date", *asked.columns]))
    kept = asked.of(plan, columns, (first, last))
    order = list(dict.fromkeys(["date", *asked.contract.key]))
    return warehouse.collect(asked.contract, kept, order).select(columns)


def stream(warehouse: Warehouse, query: Query, most: int | None = None) -> Iterator[pl.DataFrame]:
    """Read all rows, part by part.

    Args:
        warehouse: the tables.
        query: the rows.
        most: the largest number of rows; None for all.

    Yields:
        Frames with the columns of the query.

    Raises:
        WarehouseError: the table cannot be read.
    """
    for first, last in spans(warehouse, query):
        found = part(warehouse, query, first, last).select(query.selection.columns)
        if most is not None:
            found = found.head(most)
            most -= found.height
        yield found
        if most == 0:
            return


def page(warehouse: Warehouse, query: Query, limit: int, begin: Cursor | None) -> tuple[pl.DataFrame, Cursor | None]:
    """Read one page.

    Args:
        warehouse: the tables.
        query: the rows.
        limit: the largest number of rows.
        begin: where the page begins; None for the first row.

    Returns:
        The rows, and where the next page begins; None where there is none.

    Raises:
        WarehouseError: the table cannot be read.
    """
    found: list[pl.DataFrame] = []
    wanted = limit + 1  # the one after the page says that there is a next page
    for first, last in spans(warehouse, query, begin.day if begin else None):
        rows = part(warehouse, query, first, last)
        if begin is not None and first == begin.day:
            rows = rows.slice(begin.offset)
        found.append(rows.head(wanted))
        wanted -= found[-1].height
        if wanted == 0:
            break
    rows = pl.concat(found) if found else query.empty
    if rows.height <= limit:
        return rows.select(query.selection.columns), None
    following: date = rows["date"][limit]
    before = rows.head(limit)
    same_day = before.filter(pl.col("date") == following).height
    skipped = begin.offset if begin is not None and begin.day == following else 0
    return before.select(query.selection.columns), Cursor(following, same_day + skipped)
