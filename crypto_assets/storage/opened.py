"""Tables that this process has opened, kept for its next reader for as long as nobody commits to them.

To open a table is to read its log. A run over all tables opens them five hundred times, and they rarely change between two of
these times: so a reader looks for a new commit, which takes a hundredth of the time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from deltalake import DeltaTable

MOST = 128  # tables that are kept, those that were used last
Mark = tuple[str, int, int]

_kept: OrderedDict[str, tuple[Mark, DeltaTable]] = OrderedDict()
_one_at_a_time = threading.Lock()


def newest(path: str, mark: Mark, open_table: Callable[[], DeltaTable | None]) -> DeltaTable | None:
    """Return a table as it was opened at this commit, or open it and keep it.

    Args:
        path: the table's folder.
        mark: identifies its newest commit (:meth:`~crypto_assets.storage.warehouse.Warehouse.commit_mark`). A commit that
            comes while the table is opened has another mark, so that the next reader opens the table again.
        open_table: opens the table.

    Returns:
        The table, which its readers share: it must not be written through. None where it does not exist.
    """
    with _one_at_a_time:
        known = _kept.get(path)
        if known is not None and known[0] == mark:
            _kept.move_to_end(path)
            return known[1]
    opened = open_table()
    with _one_at_a_time:
        _kept.pop(path, None)
        if opened is not None:
            _kept[path] = mark, opened
            while len(_kept) > MOST:
                _kept.popitem(last=False)
    return opened
