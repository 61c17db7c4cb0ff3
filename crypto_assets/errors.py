"""The failures a person may read: one sentence each, saying what, where, why and what to do.

Anything that is *expected* to go wrong raises a subclass of :class:`CryptoAssetsError`; the command line prints
its message as the last line of stderr and exits 1 (:class:`UsageError`: 2). Other exceptions are defects.
"""


class CryptoAssetsError(Exception):
    """A failure described in one sentence a person can act on."""


class UsageError(CryptoAssetsError):
    """The request makes no sense: unknown coin, impossible date, start after end. Exit code 2."""


class SourceError(CryptoAssetsError):
    """A provider did not give what was asked for.

    ``transient`` tells whether trying again can heal it (time-outs, connection errors, 408, 429, 5xx).
    ``status`` is the HTTP status where there was one.
    """

    def __init__(self, message: str, *, transient: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.transient = transient
        self.status = status


class NotListedError(SourceError):
    """The provider answered properly that it does not know this coin, pair or chain."""


class ShortAnswerError(SourceError):
    """A proper answer that lacks rows for days on which rows are expected; ``days`` names them (ISO)."""

    def __init__(self, message: str, days: list[str]) -> None:
        super().__init__(message)
        self.days = days


class ContractError(CryptoAssetsError):
    """Rows break their table's contract; nothing was written."""


class WarehouseError(CryptoAssetsError):
    """The warehouse cannot be read or written."""


class InstanceError(CryptoAssetsError):
    """Postgres or the Dagster instance cannot be reached or started."""


def first_line(error: BaseException) -> str:
    """What a database's error says before its details and hints; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
