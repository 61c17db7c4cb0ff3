"""Screen a provider's rows before they are stored: what breaks the contract is set aside, by cell or by row.

Sources set aside what they check themselves, close to the answer. This catches the rest. Without it, one row that
breaks the contract would make the write refuse all rows, and nobody would see which row it was.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import polars as pl

from crypto_assets.errors import ContractError
from crypto_assets.sources.cells import CONTRADICTED, require_readable
from crypto_assets.sources.fetched import Fetched, SetAsideLog
from crypto_assets.tables.contract import Column, Contract

MARKET = "MARKET"  # the subject of tables with one row per day


def screen(contract: Contract, fetched: Fetched) -> Fetched:
    """Remove what breaks the contract from the rows of a fetch.

    A nullable cell becomes null. For a cell that must not be null, the row is left out. Rows with the same key and
    different values are left out. A frame whose columns or types are not those of the contract is an error in our code.
    It stays as it is, and the write refuses it.

    Args:
        contract: the contract of the table.
        fetched: the rows.

    Returns:
        The rows that keep the contract; ``set_aside`` names what was removed.

    Raises:
        SourceError: most rows would be left out, so that the others are doubtful too.
    """
    try:
        contract.validate(fetched.frame)
    except ContractError:
        pass
    else:
        return fetched
    try:
        contract.conform(fetched.frame)
    except ContractError:
        return fetched
    found = _Screen(contract, fetched.frame.reset_index(drop=True))
    frame = found.kept()
    records = {(r.subject, r.day, r.reason, r.column): r for r in (*fetched.set_aside, *found.log.records())}
    return replace(fetched, frame=frame, set_aside=tuple(records[key] for key in sorted(records)))


class _Screen:
    """Checks one frame against its contract: which cells become null, and which rows are left out."""

    def __init__(self, contract: Contract, frame: pd.DataFrame) -> None:
        self.log = SetAsideLog()
        self._contract, self._frame = contract, frame
        names = [name for name in contract.names if name in frame.columns]
        self._data = pl.from_pandas(frame).select(pl.col(name).cast(contract.polars_schema[name]) for name in names)
        self._left_out = np.zeros(len(frame), dtype=bool)
        day = self._data["date"]
        self._fallback = min((one for one in day.to_list() if one is not None), default=date(1970, 1, 1))

    def kept(self) -> pd.DataFrame:
        """Return the rows that keep the contract; cells that break it are null."""
        contract, frame = self._contract, self._frame.copy()
        for column in contract.columns:
            if column.name not in self._data.columns:
                continue
            for reason, mask in _broken(self._data[column.name], column).items():
                self._note(mask & ~self._left_out, reason, column.name, row=not column.nullable)
                if column.nullable:
                    frame.loc[mask, column.name] = None
                else:
                    self._left_out |= mask
        for low, high in contract.ordered:
            crossed = (self._data[low] > self._data[high]).fill_null(value=False).to_numpy()
            self._leave_out(crossed, f"{low} is above {high}", low)
        if contract.time_column is not None:
            astray = self._data[contract.time_column].dt.date() != self._data["date"]
            self._leave_out(
                astray.fill_null(value=False).to_numpy(), "its time lies outside its day", contract.time_column
            )
        self._leave_out_contradictions(frame)
        require_readable(
            int(self._left_out.sum()),
            len(frame),
            f"rows for {contract.table}",
            f"they break the contract, e.g. {next((r.reason for r in self.log.records() if not r.column), '')}",
        )
        return frame[~self._left_out].reset_index(drop=True)

    def _leave_out_contradictions(self, frame: pd.DataFrame) -> None:
        key = list(self._contract.key)
        rows = frame[~self._left_out]
        twice = rows[rows.duplicated(key, keep=False)]
        for _, same in twice.groupby(key, sort=False):
            shown = same.drop(columns=["available_at"], errors="ignore").astype(str)
            if len(shown.drop_duplicates()) == 1:  # the same row given again: the first one counts
                self._left_out[same.index[1:]] = True
                continue
            mask = np.zeros(len(frame), dtype=bool)
            mask[same.index] = True
            self._leave_out(mask, CONTRADICTED, key[-1])

    def _leave_out(self, mask: np.ndarray, reason: str, column: str) -> None:
        self._note(mask & ~self._left_out, reason, column, row=True)
        self._left_out |= mask

    def _note(self, mask: np.ndarray, reason: str, column: str, *, row: bool) -> None:
        for index in np.flatnonzero(mask):
            day = self._data["date"][int(index)]
            text = f"{column} is {reason}" if row and not reason.startswith((column, "its", "given")) else reason
            self.log.add(
                subject_of(self._contract, self._frame.iloc[int(index)]),
                day if day is not None else self._fallback,
                text,
                self._frame.at[index, column],
                "" if row else column,
            )


def subject_of(contract: Contract, row: pd.Series) -> str:
    """Find the subject of a row.

    Args:
        contract: the contract of the table.
        row: the row.

    Returns:
        The first part of its key that is a name; ``MARKET`` where there is none.
    """
    name = contract.key[0]
    return str(row[name]) if contract.by_name[name].dtype == pl.String else MARKET


def _broken(values: pl.Series, column: Column) -> dict[str, np.ndarray]:
    """Return reason -> which of the values break that rule of the column."""
    cells = values.fill_nan(None).to_frame() if values.dtype.is_float() else values.to_frame()
    found: dict[str, np.ndarray] = {}
    taken = np.zeros(len(values), dtype=bool)
    for rule in column.rules:
        broken = cells.select(rule.broken.fill_null(value=False)).to_series().to_numpy() & ~taken
        taken |= broken
        if broken.any():
            found[rule.reason] = broken
    return found
