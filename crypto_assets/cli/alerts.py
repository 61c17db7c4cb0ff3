"""``crypto-assets alerts`` and ``crypto-assets silence``: what is wrong now, and which messages are held back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click

from crypto_assets.cli import Positive, configured, examples, home_option
from crypto_assets.errors import CryptoAssetsError, UsageError
from crypto_assets.monitoring.alerts.incidents import Incident, Sighting
from crypto_assets.monitoring.alerts.kinds import KINDS
from crypto_assets.monitoring.alerts.message import OPENED, body
from crypto_assets.settings import Settings

if TYPE_CHECKING:
    from crypto_assets.monitoring.alerts.ledger import Ledger


LONGEST = 200  # characters of a pattern or a reason


@click.command(
    short_help="Show open incidents, messages not delivered yet, and silences.",
    epilog=examples("alerts", "alerts --test"),
)
@click.option("--test", "test", is_flag=True, help="Send a test message and its recovery first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
@home_option
def alerts(test: bool, as_json: bool) -> None:
    """Show open incidents, messages not yet delivered, and active silences."""
    ledger, settings, now = _open()
    delivered = not test or _try_out(ledger, settings, now)
    document = {
        "incidents": [_shown(incident, settings.alert_runbooks) for incident in ledger.open()],
        "waiting": [{"title": t, "attempts": n, "last_error": e} for t, n, e in ledger.waiting()],
        "silences": [{"pattern": p, "until": u.isoformat(), "reason": r} for p, u, r in ledger.silences(now)],
    }
    click.echo(json.dumps(document) if as_json else _lines(document))
    if not delivered:
        raise CryptoAssetsError(
            "the test message was not delivered and is kept; correct ALERT_WEBHOOK_URL or start its receiver, "
            "then see what still waits with crypto-assets alerts"
        )


@click.command(
    short_help="Hold back messages about incidents that match PATTERN.",
    epilog=examples(
        "silence 'staleness:news_*' --for 12 --reason 'the feed moves house'", "silence 'staleness:news_*' --lift"
    ),
)
@click.argument("pattern")
@click.option("--for", "hours", type=Positive(24 * 90), default=2.0, show_default=True,
              help="Hours until it ends by itself.")  # fmt: skip
@click.option("--reason", default="", help="Why; shown beside the silence.")
@click.option("--lift", is_flag=True, help="End the silence now.")
@home_option
def silence(pattern: str, hours: float, reason: str, lift: bool) -> None:
    """Hold back messages about incidents that match PATTERN: a kind, KIND:SUBJECT, * for any text.

    An incident that begins meanwhile and is still open when the silence ends is sent then. The recovery of an incident
    that was sent is always sent.
    """
    for name, text in (("PATTERN", pattern), ("--reason", reason)):
        if len(text) > LONGEST or not text.isprintable():
            raise UsageError(
                f"{name} is longer than {LONGEST} characters or not plain text; shorten it, e.g. staleness:news_*"
            )
    kind = pattern.partition(":")[0]
    if "*" not in kind and kind not in KINDS:
        raise UsageError(f"{kind!r} is not a kind of alert; write one of {', '.join(KINDS)}, e.g. staleness:news_*")
    ledger, _, now = _open()
    if lift:
        if not ledger.lift(pattern):
            raise CryptoAssetsError(f"no silence {pattern!r} is in force; see crypto-assets alerts")
        click.echo(f"the silence {pattern} is over")
        return
    until = now + timedelta(hours=hours)
    ledger.silence(pattern, until, reason)
    click.echo(f"{pattern} is silent until {until:%Y-%m-%d %H:%M} UTC")


def _open() -> tuple[Ledger, Settings, datetime]:
    from crypto_assets.monitoring.alerts.ledger import Ledger
    from crypto_assets.runtime.postgres import ensure_postgres

    settings = configured()
    return Ledger(ensure_postgres(settings)), settings, datetime.now(timezone.utc)


def _try_out(ledger: Ledger, settings: Settings, now: datetime) -> bool:
    """Open and close a test incident through the same outbox as any other; return whether everything was delivered."""
    from crypto_assets.monitoring.alerts.delivery import deliver

    for trouble in ("somebody ran crypto-assets alerts --test", None):
        ledger.observe("test", [Sighting("delivery", trouble, now)], now, settings.alert_runbooks)
    _, failed = deliver(ledger, settings, now, lambda line: click.echo(line, err=True))
    if settings.alert_webhook_url is None:
        click.echo("ALERT_WEBHOOK_URL is not set: messages go to the log only", err=True)
    return not failed


def _shown(incident: Incident, runbooks: str) -> dict[str, Any]:
    message = body(incident, OPENED, runbooks)
    names = ("kind", "subject", "severity", "what", "since", "opened_at", "runbook")
    return {"id": incident.id, **{name: message[name] for name in names}}


def _lines(document: dict[str, Any]) -> str:
    found = [f"{len(document['incidents'])} open incident(s)"]
    found += [
        f"  {i['severity']} {i['kind']}:{i['subject']} since {i['since'][:16]}: {i['what']}; see {i['runbook']}"
        for i in document["incidents"]
    ]
    found.append(f"{len(document['waiting'])} message(s) not delivered yet")
    found += [
        f"  {w['title']}" + (f": {w['attempts']} attempt(s), last {w['last_error']}" if w["attempts"] else "")
        for w in document["waiting"]
    ]
    found += [f"silent: {s['pattern']} until {s['until'][:16]} {s['reason']}" for s in document["silences"]]
    return "\n".join(found)
