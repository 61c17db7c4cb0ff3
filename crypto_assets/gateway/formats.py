"""The formats of an answer, chosen by ``Accept``, each written part by part so that memory does not grow with the range."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from crypto_assets.gateway.problems import Problem
from crypto_assets.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as arrow
    import pyarrow.parquet as parquet
else:
    arrow = lazy("pyarrow")
    parquet = lazy("pyarrow.parquet")

TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # of Arrow's stream format: a message of no length
Parts = Iterable[pl.DataFrame]
Piece = bytes | memoryview
Writer = Callable[[pl.DataFrame, Parts], Iterator[Piece]]  # (an empty frame with the columns, the parts) -> pieces


@dataclass(frozen=True)
class Format:
    """A format of rows.

    Attributes:
        name: its short name.
        media_type: as ``Accept`` and ``Content-Type`` have it.
        write: writes parts.
        ending: of a file's name.
    """

    name: str
    media_type: str
    write: Writer
    ending: str


def json_rows(frame: pl.DataFrame) -> str:
    """Return rows as a JSON array: times in ISO with a Z, days as YYYY-MM-DD, unknown values as null."""
    texts = [pl.col(name).dt.strftime(TIME) for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return frame.with_columns(texts).write_json()


def _csv(empty: pl.DataFrame, parts: Parts) -> Iterator[Piece]:
    lists = [pl.col(name).list.join("|") for name, kind in empty.schema.items() if isinstance(kind, pl.List)]
    yield empty.with_columns(lists).write_csv().encode()
    for part in parts:
        yield part.with_columns(lists).write_csv(include_header=False, datetime_format=TIME).encode()


def _arrow(empty: pl.DataFrame, parts: Parts) -> Iterator[Piece]:
    """Write the messages of a stream one by one: a writer of pyarrow would copy each part twice more."""
    yield memoryview(_table(empty).schema.serialize())
    for part in parts:
        for batch in _table(part).to_batches():
            yield memoryview(batch.serialize())
    yield END_OF_STREAM


def _parquet(empty: pl.DataFrame, parts: Parts) -> Iterator[Piece]:
    sink = _Sink()
    with parquet.ParquetWriter(sink.file, _table(empty).schema, compression="zstd", compression_level=1) as writer:
        for part in parts:
            writer.write_table(_table(part))
            yield sink.taken()
    yield sink.taken()


def _table(frame: pl.DataFrame) -> arrow.Table:
    """Return rows in one batch: a part is read from many files, and each batch costs a message and a turn of the event loop."""
    return frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


class _Sink:
    """A file that hands over what was written to it."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self.closed = False
        self.file: Any = arrow.PythonFile(self, mode="w")

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(self._written[-1])

    def flush(self) -> None:
        """Keep nothing back (pyarrow's interface)."""

    def close(self) -> None:
        """End nothing (pyarrow's interface)."""

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        found, self._written = b"".join(self._written), []
        return found


JSON = "application/json"
STREAMED = (
    Format("arrow", "application/vnd.apache.arrow.stream", _arrow, "arrows"),
    Format("parquet", "application/vnd.apache.parquet", _parquet, "parquet"),
    Format("csv", "text/csv", _csv, "csv"),
)


def chosen(accept: str | None) -> Format | None:
    """Choose the format that a client prefers.

    Args:
        accept: the header ``Accept``; None or empty: anything.

    Returns:
        The format; None for JSON, which is sent in pages.

    Raises:
        Problem: the client accepts none of them (406).
    """
    known: dict[str, Format | None] = {JSON: None, **{one.media_type: one for one in STREAMED}}
    wishes = sorted(_wishes(accept or "*/*"), key=lambda wish: -wish[1])
    for kind, weight in wishes:
        family = kind.partition("/")[0]
        for media_type, found in known.items():
            if weight > 0 and (
                kind in (media_type, "*/*") or kind == f"{media_type.partition('/')[0]}/*" == f"{family}/*"
            ):
                return found
    raise Problem(406, "unknown-format", f"none of the accepted formats is given; accept one of {', '.join(known)}")


def _wishes(accept: str) -> Iterator[tuple[str, float]]:
    """Yield (media type, weight) of an ``Accept`` header, in its order; what cannot be read has no weight."""
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            yield kind, float(weight)
        except ValueError:
            yield kind, 0.0
