"""One message: what, since when, the consequence, where to read on.

As generic JSON, for Slack, or as a line of log.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from crypto_assets.monitoring.alerts.incidents import Incident
from crypto_assets.monitoring.alerts.kinds import KINDS

OPENED, CLOSED = "opened", "closed"
LONGEST = 500  # characters of a cause; a stack trace belongs in the UI. Slack takes 3,000, and & counts 5


def one_line(text: str) -> str:
    """Shorten a cause to one line, without characters that Postgres or a terminal cannot handle."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST]


def body(incident: Incident, event: str, runbooks: str) -> dict[str, Any]:
    """Build the generic document of a message. Times are ISO 8601, UTC; durations are seconds.

    Args:
        incident: the incident.
        event: what happened to it.
        runbooks: the address of the runbooks.

    Returns:
        The document.
    """
    kind = KINDS[incident.kind]
    return {
        "id": f"crypto-assets-{incident.id}-{event}",  # the same in every delivery of this message
        "event": event,
        "incident": incident.id,
        "kind": incident.kind,
        "subject": incident.subject,
        "severity": kind.severity,
        "title": f"{kind.title}: {incident.subject}",
        "what": one_line(incident.what),
        "since": incident.since.isoformat(),
        "consequence": incident.consequence or kind.consequence,
        "runbook": f"{runbooks.rstrip('/')}/{kind.runbook}",
        "opened_at": incident.opened_at.isoformat(),
        "closed_at": incident.closed_at.isoformat() if incident.closed_at else None,
        "lasted_seconds": (incident.closed_at - incident.since).total_seconds() if incident.closed_at else None,
    }


def line(document: dict[str, Any]) -> str:
    """Render the document as one line for a log."""
    if document["event"] == CLOSED:
        return f"RECOVERED {document['title']} after {_lasted(document)}; it was: {document['what']}"
    return (
        f"{document['severity'].upper()} {document['title']}: {document['what']} (since {_minute(document['since'])} UTC); "
        f"{document['consequence']}; see {document['runbook']}"
    )


def slack(document: dict[str, Any]) -> dict[str, Any]:
    """Render the document for a Slack incoming webhook; ``text`` is what notifications show."""
    recovered = document["event"] == CLOSED
    mark = ":white_check_mark: Recovered" if recovered else ":rotating_light:"
    head = f"{mark} *{_plain(document['title'])}*"
    facts = [f"*Since* {_minute(document['since'])} UTC" + (f", lasted {_lasted(document)}" if recovered else "")]
    if not recovered:
        facts.append(f"*Consequence* {_plain(document['consequence'])}")
    link = document["runbook"]
    facts.append(f"*Runbook* {f'<{link}>' if '://' in link else f'`{link}`'}")
    text = f"{head}\n{_plain(document['what'])}"
    return {
        "text": f"{'Recovered: ' if recovered else ''}{_plain(document['title'])}",
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": fact} for fact in facts]},
        ],
    }


def _plain(text: str) -> str:
    """Escape Slack's control sequences."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _minute(instant: str) -> str:
    return instant[:16].replace("T", " ")


def _lasted(document: dict[str, Any]) -> str:
    return str(timedelta(seconds=round(document["lasted_seconds"] or 0)))
