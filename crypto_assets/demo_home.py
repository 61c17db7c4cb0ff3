"""What a demo's home remembers: its sandbox, coins and days, in ``demo.json``.

A home with this file is a demo's home. Nothing in it asks a real provider, and its tables take a sandbox's rows only.
A home without it is an ordinary one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from crypto_assets.dates import parse_day
from crypto_assets.errors import InstanceError, UsageError

FILE = "demo.json"
FORMAT = 1  # of the file; a change that an older version would misread takes the next number
GO_LIVE = "crypto-assets dev --home NEW"


@dataclass(frozen=True)
class DemoHome:
    """The sandbox of a home, and what the demo filled from it.

    Attributes:
        seed: the seed of the generated market; None where recordings are replayed.
        data: the folder of the recordings; None for a generated market.
        coins: the coins, as ``CRYPTO_ASSETS_COINS`` has them.
        first_day: the first partition of every table (UTC).
        last_day: the last partition, where recordings end; None where the market goes on.
    """

    seed: int | None
    data: Path | None
    coins: str
    first_day: date
    last_day: date | None = None

    @property
    def sandbox(self) -> str:
        """The sandbox in words, for messages."""
        return f"seed {self.seed}" if self.data is None else f"recordings in {self.data}"

    def same_sandbox(self, other: DemoHome) -> bool:
        """Whether both homes hold the rows of one and the same sandbox."""
        return (self.seed, self.data) == (other.seed, other.data)

    def write(self, home: Path) -> None:
        """Write the file of this home, atomically.

        Args:
            home: the home folder.

        Raises:
            OSError: the folder cannot be written.
        """
        document = {
            "format": FORMAT,
            "sandbox": {"seed": self.seed} if self.data is None else {"data": str(self.data)},
            "coins": self.coins,
            "first_day": self.first_day.isoformat(),
            "last_day": self.last_day.isoformat() if self.last_day else None,
        }
        home.mkdir(parents=True, exist_ok=True)
        fresh = home / f".{FILE}.{os.getpid()}"
        fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        fresh.replace(home / FILE)


def read(home: Path) -> DemoHome | None:
    """Read what a home remembers of its demo.

    Args:
        home: the home folder.

    Returns:
        What it remembers; None for an ordinary home.

    Raises:
        InstanceError: the file is damaged, cannot be read, or was written by a newer version.
    """
    path = home / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, getattr(error, "strerror", None) or "it is no text") from error
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _damaged(path, "it is no JSON") from error
    number = found.get("format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > FORMAT:
        raise InstanceError(
            f"{path} was written by a newer version of crypto_assets (format {number}, this one reads {FORMAT}): install "
            "that version, or choose another home with --home"
        )
    try:
        return _parsed(found)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise _damaged(path, reason) from error


def _parsed(found: Any) -> DemoHome:
    """The document as written by :meth:`DemoHome.write`. Raises KeyError, TypeError, ValueError or UsageError."""
    if not isinstance(found, dict) or found["format"] != FORMAT:
        raise ValueError(f"format is not {FORMAT}")
    sandbox, coins, last = found["sandbox"], found["coins"], found["last_day"]
    if not isinstance(sandbox, dict) or len(sandbox) != 1:
        raise TypeError("sandbox names neither a seed nor a data folder alone")
    seed, data = sandbox.get("seed"), sandbox.get("data")
    if not isinstance(coins, str) or not coins.strip():
        raise TypeError("coins is no text")
    if data is None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise TypeError("the sandbox's seed is no whole number")
    if data is not None and not (isinstance(data, str) and Path(data).is_absolute()):
        raise TypeError("the sandbox's data is no absolute path of a folder")
    first_day = parse_day(str(found["first_day"]), "first_day")
    last_day = None if last is None else parse_day(str(last), "last_day")
    if last_day is not None and last_day < first_day:
        raise ValueError("last_day is before first_day")
    return DemoHome(seed, None if data is None else Path(data), coins, first_day, last_day)


def _damaged(path: Path, reason: str) -> InstanceError:
    return InstanceError(
        f"{path} is damaged ({reason}), so nobody knows which sandbox this demo's home belongs to: delete the file and run "
        "the same crypto-assets demo again, which keeps the tables, or choose another home with --home"
    )
