"""The result of a measure, before anyone shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse

if TYPE_CHECKING:
    from dagster import DagsterInstance

T = TypeVar("T")


@dataclass(frozen=True)
class Scope:
    """What a measure looks at: the warehouse, the settings, an inclusive range of days, and the clock.

    ``live``: the platform is judged as it runs now, whatever days a run is about; else only the range is.
    ``instance`` knows which partitions failed; None where Dagster is not at hand.
    """

    warehouse: Warehouse
    settings: Settings
    start: date
    end: date
    now: datetime
    live: bool = False
    instance: DagsterInstance | None = None
    # What several measures of one look need, computed by the first: name -> value. A look is of one instant, so nothing
    # in it goes stale.
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """Return what ``compute`` returned when this scope was first asked for ``name``."""
        if name not in self.memo:
            self.memo[name] = compute()
        found: T = self.memo[name]
        return found


@dataclass(frozen=True)
class Chart:
    """Lines over time for the UI's metadata; drawn only where someone shows it."""

    series: Mapping[str, tuple[Sequence[date], Sequence[float | None]]]
    title: str
    unit: str


@dataclass(frozen=True)
class Outcome:
    """Whether it holds, how bad it is if not, one sentence, and the numbers."""

    passed: bool
    description: str
    severity: str = "WARN"  # structure is ERROR, coverage is WARN
    numbers: Mapping[str, Any] = field(default_factory=dict)


Measure = Callable[[Scope], Outcome]
