"""What happens in a simulated day and in a simulated week: how many ticks, and which disturbance at which of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Ticks and disturbances.

    Attributes:
        ticks: The number of ticks of the whole plan, a quarter of an hour each.
        window: The window of ``slo_report`` that judges it.
        disturbances: Tick -> what happens then, in words that ``Day.quarter`` takes.
    """

    ticks: int
    window: str
    disturbances: Mapping[int, str]

    def spread_over(self, ticks: int) -> dict[int, tuple[str, ...]]:
        """Move the disturbances closer together, or apart.

        Args:
            ticks: The number of ticks of this run.

        Returns:
            Tick -> what happens then. Whoever falls silent misses one tick at least.
        """
        found: dict[int, tuple[str, ...]] = {}
        n = 0
        for tick, what in self.disturbances.items():
            n = max(tick * ticks // self.ticks, n + what.startswith("back"))
            found[n] = (*found.get(n, ()), what)
        return found


# An hour of Kraken's is missed by two ticks: the third brings it, and only then it would be late.
DAY = Plan(
    96,
    "24h",
    {
        8: "silent kraken", 10: "back kraken", 19: "stop postgres", 26: "silent model", 31: "back model",
        38: "kill run", 57: "kill daemon", 64: "silent defillama", 72: "back defillama", 80: "kill run",
    },
)  # fmt: skip
# DefiLlama is away for six hours, over the settling of 06:30 when the week begins at 14:00. A provider that alone fills an
# hourly table cannot be: of six hours without it four and a half are late, which is 2.7 % of a week.
WEEK = Plan(
    672,
    "7d",
    {
        56: "silent defillama", 80: "back defillama", 150: "kill daemon", 300: "stop postgres",
        420: "deploy next", 500: "kill daemon",
    },
)  # fmt: skip
