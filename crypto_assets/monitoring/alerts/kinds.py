"""The kinds of alert: the severity, the consequence without a repair, and the runbook."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of alert.

    ``consequence`` is the general one; a sighting may have a more exact one. ``runbook`` is a file in docs/runbooks.
    """

    name: str
    title: str
    severity: str  # page: a user notices today; ticket: this week
    consequence: str
    runbook: str


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("run_failure", "Run failed", "page",
             "the partitions of this run are missing, and what is derived from them lacks their values",
             "run-failure.md"),
        Kind("check_failure", "Check failed", "ticket",
             "the stored rows may be wrong; check them before you use them", "check-failure.md"),
        Kind("staleness", "Table is stale", "page",
             "readers get old values; values that are too old become null in features", "staleness.md"),
        Kind("budget", "Call budget runs out", "ticket",
             "once it is used up no call is made until the month ends, and the provider's tables stop", "budget.md"),
        Kind("slo_burn", "Service level is burning", "page",
             "at this rate the month's error budget is used up before the month ends", "slo-burn.md"),
        Kind("llm_down", "LLM does not answer", "ticket",
             "new articles get no narrative from the model until it is back", "llm-down.md"),
        Kind("suspected_change", "Coin ended or changed its unit", "ticket",
             "features and labels leave the jump out; bars and prices before it may be of another unit or coin",
             "suspected-change.md"),
        Kind("model_drift", "Model drifts from its training", "ticket",
             "its scores and signals may be worth less than the training promised", "model-drift.md"),
        Kind("signal_change", "Signal changed", "ticket",
             "none: a model scored the coin differently, and no order is placed", "signal-change.md"),
        Kind("test", "Test message", "ticket", "none: this is a test of the delivery", "alerting.md"),
    )
}  # fmt: skip
