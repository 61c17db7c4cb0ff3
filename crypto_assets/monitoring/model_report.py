"""Asset ``model_report``: a page about what the models are worth, with its figures as metadata and its proofs as checks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from crypto_assets.assets.documented import documented, page
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.checks.model_drift import Drift, drift_of
from crypto_assets.errors import ModelError
from crypto_assets.monitoring import model_proofs, whole_file
from crypto_assets.monitoring.model_proofs import Proof
from crypto_assets.monitoring.model_quality import ModelQuality, figures, gather
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.spec import OWNER

DOCS = "model-report.md"
NAME = "model_report"
KEPT = "model_proofs.json"  # beside the page
CARRIED_OUT_AT = "carried_out_at"  # metadata of a proof that may be older than the page
PROOFS = {
    "shuffled_labels": "Trained on labels shuffled within the hour, ridge has no rank IC out of fold: within 2 Newey-West errors of zero for 17 of 20 seeds.",
    "planted_leak": "A planted feature that holds the future return under noise is found and named in 10 of 10 searches.",
    "truncation": "Trained at three instants on tables without all that became known later, ridge is the same model to the byte.",
    "known_in_time": "No feature of the newest training rests on rows that their provider may have revised, unless that was asked for.",
    "no_suspect_feature": "No feature alone orders what follows better than a feature can.",
    "beats_best_feature": "The model with the highest rank IC has a higher Sharpe ratio after costs than the best single feature.",
}


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        path: of the page.
        found: the judged models; None where there are no predictions.
        proved: the proofs.
        drift: of each model.
        why: why there is nothing to judge.
    """

    path: Path
    found: ModelQuality | None
    proved: tuple[Proof, ...] = ()
    drift: tuple[Drift, ...] = ()
    why: str = ""


def path_of(settings: Settings) -> Path:
    """Return where the page is written: beside the quality report."""
    return settings.home / "reports" / "models.html"


def write(settings: Settings, now: datetime, out: Path | None = None) -> Written:
    """Judge all predictions, carry out the proofs that are due, and replace the page atomically.

    Args:
        settings: the warehouse and the home folder.
        now: the instant, UTC.
        out: the file; by default :func:`path_of`.

    Raises:
        WarehouseError: the tables cannot be read.
        OSError: the file cannot be written.
    """
    warehouse, path = Warehouse(settings.warehouse), out or path_of(settings)
    stored = sorted(warehouse.days_with_rows("predictions", settings.start, now.date()))
    if not stored:
        return Written(
            path, None, why="there are no predictions yet: models need 1,000 labelled rows and a month's training"
        )
    try:
        found = gather(warehouse, settings, stored[0], stored[-1], now)
    except ModelError as error:
        return Written(path, None, why=str(error))
    proved = tuple(model_proofs.prove(warehouse, found, now, path.with_name(KEPT)))
    drift = tuple(drift_of(warehouse, stored[-1], now))
    write_page(path, found, proved, drift)
    return Written(path, found, proved, drift)


def write_page(path: Path, found: ModelQuality, proved: Sequence[Proof], drift: Sequence[Drift]) -> None:
    """Render the page, and replace the file atomically.

    Args:
        path: the file.
        found: the judged models.
        proved: the proofs.
        drift: of each model.

    Raises:
        OSError: the file cannot be written.
    """
    # Drawing is slow to import, and each run imports this module.
    from crypto_assets.monitoring.model_page import render

    whole_file.write(path, render(found, proved, drift))


@dg.asset(
    name=NAME,
    group_name="models",
    owners=[OWNER],
    kinds={"html"},
    tags={"layer": "operations"},
    deps=["predictions", "trained_models"],
    check_specs=[
        dg.AssetCheckSpec(name, asset=NAME, description=text, metadata={"docs": page(DOCS)})
        for name, text in PROOFS.items()
    ],
    metadata={"docs": page(DOCS)},
    description="One page about the models: rank IC, portfolio after costs, deflated Sharpe ratio, overfitting, beside one-line rules and "
    "holding; in red where a model does not beat the best single feature. The same figures are metadata, the proofs are checks.",
)
def model_report(context: dg.AssetExecutionContext, providers: Providers) -> Iterator[Any]:
    """Write the page, report its figures as metadata and its proofs as checks."""
    done = write(providers.settings(), providers.now())
    metadata: dict[str, Any] = {"judged": done.why or "yes"}
    if done.found is not None:
        numbers = {
            f"rank_ic_30d/{one.model}": round(one.rank_ic, 6) for one in done.drift if one.rank_ic == one.rank_ic
        }
        metadata |= {"path": dg.MetadataValue.path(str(done.path)), "generated_market": done.found.generated, **numbers}
        metadata |= {"first_day": _said(done.found.start), "last_day": _said(done.found.end), **figures(done.found)}
    yield dg.MaterializeResult(metadata=metadata)
    proved = {proof.name: proof for proof in done.proved}
    for name in PROOFS:
        proof = proved.get(name) or Proof(name, None, done.why)
        yield dg.AssetCheckResult(
            check_name=name, passed=proof.holds is not False, severity=dg.AssetCheckSeverity.WARN,
            description=proof.sentence if proof.holds is not None else f"not judged: {proof.sentence}",
            metadata={**proof.numbers, **({CARRIED_OUT_AT: proof.carried_out_at} if proof.carried_out_at else {})},
        )  # fmt: skip


def _said(day: date) -> str:
    return day.isoformat()


report_models = dg.define_asset_job(
    "report_models",
    dg.AssetSelection.assets(NAME),
    description="Judge the models' predictions and write the page about them.",
    **documented(DOCS),
)

models_every_morning = dg.ScheduleDefinition(
    name="models_every_morning",
    job=report_models,
    cron_schedule="50 7 * * *",  # after the days were settled
    tags=reason_tags("report: every morning, the models are judged"),
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning: what the models are worth. It makes no provider calls.",
    **documented(DOCS),
)

ASSETS = [model_report]
JOBS = [report_models]
SCHEDULES = [models_every_morning]
