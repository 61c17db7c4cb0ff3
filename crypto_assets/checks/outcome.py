"""What a check function takes (:class:`Scope`) and returns (:class:`Outcome`). Nothing here displays it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from crypto_assets.dagster_internals.known_states import KnownStates
from crypto_assets.settings import Settings
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.storage.warehouse import Warehouse

if TYPE_CHECKING:
    from dagster import DagsterInstance

T = TypeVar("T")


@dataclass(frozen=True)
class Scope:
    """The input of a check function.

    Attributes:
        warehouse: The tables.
        settings: Coins, plan, budgets.
        start: First day of the range, UTC, included.
        end: Last day of the range, included.
        now: The instant at which the state is checked, UTC.
        live: Whether the check also covers the state of the platform now, beside the range.
        instance: Knows which partitions failed; None where Dagster is not available.
    """

    warehouse: Warehouse
    settings: Settings
    start: date
    end: date
    now: datetime
    live: bool = False
    instance: DagsterInstance | KnownStates | None = None
    # What several checks of one scope need, computed by the first: name -> value.
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """Return what ``compute`` returned when this scope was first asked for ``name``.

        Only where the tables are read at one version; over tables that may change between two checks it is computed anew.
        """
        if not isinstance(self.warehouse, SnapshotWarehouse):
            return compute()
        if name not in self.memo:
            self.memo[name] = compute()
        found: T = self.memo[name]
        return found


@dataclass(frozen=True)
class Chart:
    """Lines over time. It is drawn only when it is displayed.

    Attributes:
        series: Label -> (days, values); None leaves a gap.
        title: The title of the picture.
        unit: The unit of the values; ``%`` expects fractions.
    """

    series: Mapping[str, tuple[Sequence[date], Sequence[float | None]]]
    title: str
    unit: str


@dataclass(frozen=True)
class Outcome:
    """The result of a check.

    Attributes:
        passed: Whether the check passed.
        description: One sentence for the UI and for alerts.
        severity: ``WARN`` or ``ERROR``, if it did not pass. A broken structure is an ERROR, missing rows are a WARN.
        numbers: Metadata; numbers are plotted over time by the UI.
    """

    passed: bool
    description: str
    severity: str = "WARN"
    numbers: Mapping[str, Any] = field(default_factory=dict)


Measure = Callable[[Scope], Outcome]
