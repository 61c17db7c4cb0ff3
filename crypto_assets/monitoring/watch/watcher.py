"""The declaration of a watcher, and what it can read. ``monitoring/alerts/sensors.py`` makes a sensor of each watcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TypeAlias

from dagster import DagsterInstance, RepositoryDefinition

from crypto_assets.monitoring.alerts.incidents import Incident, Sighting
from crypto_assets.settings import Settings
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.storage.warehouse import Warehouse


@dataclass(frozen=True)
class WatchContext:
    """What a watcher can read at one tick of its sensor.

    Attributes:
        instance: Has the runs and events.
        settings: The warehouse, the budgets, the model.
        now: The instant, UTC.
        open_now: Subject -> open incident of the watcher's kind.
        cursor: Where the last tick ended; None at the first one.
        repository: Dagster's repository; None outside of it.
    """

    instance: DagsterInstance
    settings: Settings
    now: datetime
    open_now: Mapping[str, Incident] = field(default_factory=dict)
    cursor: str | None = None
    repository: RepositoryDefinition | None = None

    @cached_property
    def warehouse(self) -> Warehouse:
        """The tables."""
        return SnapshotWarehouse(self.settings.warehouse)

    @cached_property
    def tables_of_steps(self) -> Mapping[str, Sequence[str]]:
        """Step -> the tables that it fills."""
        known = self.repository.assets_defs_by_key.values() if self.repository else ()
        assets = {id(asset): asset for asset in known if asset.is_executable}.values()
        return {asset.op.name: [key.to_user_string() for key in asset.keys] for asset in assets}


Observed: TypeAlias = tuple[list[Sighting], str | None]  # the sightings, and the next cursor


@dataclass(frozen=True)
class Watcher:
    """One kind of alert and how it is observed.

    Attributes:
        kind: A key of ``monitoring.alerts.kinds.KINDS``.
        every_s: Seconds between two ticks, at least.
        description: What it observes and when an incident is over, for the UI.
        observe: Returns the sightings, and where the next tick goes on.
    """

    kind: str
    every_s: int
    description: str
    observe: Callable[[WatchContext], Observed]

    @classmethod
    def of_state(
        cls, kind: str, every_s: int, description: str, sightings: Callable[[WatchContext], list[Sighting]]
    ) -> Watcher:
        """Declare a watcher that reads the whole state at every tick, and so needs no cursor.

        Args:
            kind: See :class:`Watcher`.
            every_s: See :class:`Watcher`.
            description: See :class:`Watcher`.
            sightings: Returns one sighting per subject whose state is known.

        Returns:
            The watcher.
        """
        return cls(kind, every_s, description, lambda context: (sightings(context), None))
