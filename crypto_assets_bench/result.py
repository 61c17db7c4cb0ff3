"""What a benchmark measured."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """Seconds of ours and of the baseline; ``ratio`` says how many times faster ours is unless ``notes`` says other."""

    ours_s: float | None
    baseline_s: float | None
    ratio: float | None
    peak_mb: float | None = None  # resident set of this process, its highest so far
    notes: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "ours_s": self.ours_s,
            "baseline_s": self.baseline_s,
            "ratio": self.ratio,
            "peak_mb": self.peak_mb,
            **self.notes,
        }


def peak_mb() -> float:
    """The highest resident set of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
