"""The result of a measure, before anyone shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from dagster import DagsterInstance

from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse


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
