"""Keep a key that travels in the query out of everything that could show the address: errors, and the log of httpx."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from crypto_assets.errors import SourceError

MASK = "***"


@contextmanager
def hidden(key: str) -> Iterator[None]:
    """Mask a key while a request is made, for providers that take it in the query only.

    Args:
        key: the key.

    Yields:
        Nothing. A :class:`SourceError` that is raised inside is masked too, and without the exceptions that hold the address.
    """
    watch = _HideKey(key)
    logging.getLogger("httpx").addFilter(watch)
    try:
        yield
    except SourceError as error:
        error.args = tuple(str(part).replace(key, MASK) for part in error.args)
        error.__cause__, error.__suppress_context__ = None, True
        raise
    finally:
        logging.getLogger("httpx").removeFilter(watch)


class _HideKey(logging.Filter):
    """Redacts the key in httpx's log, which shows every address at level INFO."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if self._key in message or "api_key=" in message:
            shown = re.sub(r"api_key=[^&\s\"]*", f"api_key={MASK}", message).replace(self._key, MASK)
            record.msg, record.args = shown, ()
        return True
