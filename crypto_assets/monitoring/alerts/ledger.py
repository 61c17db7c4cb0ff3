"""Incidents, their messages and the silences, in Dagster's Postgres.

An incident and its message are written in one transaction. A message is taken, sent and marked as sent in another. A
process that is killed between sending and the mark sends the message once more with the same id, by which a receiver
recognises the repetition (``Idempotency-Key``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from crypto_assets.lazy import lazy
from crypto_assets.monitoring.alerts import message
from crypto_assets.monitoring.alerts.incidents import Incident, Sighting, changes
from crypto_assets.storage.shared_state import SharedState

if TYPE_CHECKING:
    import psycopg2.extras as extras
    from psycopg2.extensions import cursor as Cursor
else:
    extras = lazy("psycopg2.extras")

_LOCK = 0x63_61_61_6C_65_72
_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS crypto_assets;
CREATE TABLE IF NOT EXISTS crypto_assets.incidents (
    id bigserial PRIMARY KEY, kind text NOT NULL, subject text NOT NULL, what text NOT NULL, since timestamptz NOT NULL,
    opened_at timestamptz NOT NULL, consequence text, closed_at timestamptz, facts jsonb NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS one_open_incident ON crypto_assets.incidents (kind, subject) WHERE closed_at IS NULL;
CREATE TABLE IF NOT EXISTS crypto_assets.outbox (
    id bigserial PRIMARY KEY, incident bigint NOT NULL REFERENCES crypto_assets.incidents ON DELETE CASCADE,
    event text NOT NULL, body jsonb NOT NULL, due_at timestamptz NOT NULL, attempts int NOT NULL DEFAULT 0,
    logged boolean NOT NULL DEFAULT false, sent_at timestamptz, dropped text, last_error text,
    UNIQUE (incident, event));
CREATE INDEX IF NOT EXISTS waiting_messages ON crypto_assets.outbox (id) WHERE sent_at IS NULL AND dropped IS NULL;
CREATE TABLE IF NOT EXISTS crypto_assets.silences (
    pattern text PRIMARY KEY, matches text NOT NULL, until timestamptz NOT NULL, reason text NOT NULL);
"""
_COLUMNS = "id, kind, subject, what, since, opened_at, consequence, closed_at, facts"
_OPEN = f"SELECT {_COLUMNS} FROM crypto_assets.incidents WHERE closed_at IS NULL AND (%(kind)s IS NULL OR kind = %(kind)s) ORDER BY id"
_INSERT = """
INSERT INTO crypto_assets.incidents (kind, subject, what, since, opened_at, consequence, facts)
VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id
"""
_SILENCED = """
EXISTS (SELECT 1 FROM crypto_assets.silences s JOIN crypto_assets.incidents i ON i.id = o.incident
        WHERE s.until > %(now)s AND (i.kind || ':' || i.subject) LIKE s.matches)
"""
_WAITING = "o.sent_at IS NULL AND o.dropped IS NULL"
_DROP_SILENCED = f"""
UPDATE crypto_assets.outbox o SET dropped = 'silenced'
WHERE o.incident = %(incident)s AND o.event = 'opened' AND {_WAITING} AND {_SILENCED}
"""
# A recovery is never sent before its beginning; silenced beginnings wait.
_TAKE = f"""
SELECT o.id, o.body, o.attempts, o.logged FROM crypto_assets.outbox o
WHERE {_WAITING} AND o.due_at <= %(now)s AND NOT (o.event = 'opened' AND {_SILENCED})
  AND NOT EXISTS (SELECT 1 FROM crypto_assets.outbox e
                  WHERE e.incident = o.incident AND e.id < o.id AND e.sent_at IS NULL AND e.dropped IS NULL)
ORDER BY o.id LIMIT 1 FOR UPDATE OF o SKIP LOCKED
"""


@dataclass(frozen=True)
class DeliveryResult:
    """How a delivery ended: None for delivered, else the reason and the least number of seconds to wait."""

    error: str | None = None
    wait: float = 0.0


@dataclass(frozen=True)
class Message:
    """A message about an incident, with the number of earlier attempts."""

    id: int
    body: dict[str, Any]
    attempts: int
    logged: bool


class Ledger(SharedState):
    """The tables of the alerts on one Postgres. Methods raise :class:`InstanceError` when the server stays away."""

    what = "the ledger of alerts"
    schema = _SCHEMA
    lock = _LOCK

    def observe(self, kind: str, sightings: Iterable[Sighting], now: datetime, runbooks: str) -> tuple[int, int]:
        """Update the open incidents of a kind.

        Args:
            kind: the kind of alert.
            sightings: what a watcher found.
            now: the current time, UTC.
            runbooks: the address of the runbooks, for the messages.

        Returns:
            The numbers of opened and closed incidents.
        """
        # A cause may quote a provider's bytes. Postgres would refuse a NUL in it at every further observation.
        seen = [replace(s, trouble=s.trouble and message.one_line(s.trouble)) for s in sightings]
        return self._transaction(lambda cursor: _observe(cursor, kind, seen, now, runbooks)) if seen else (0, 0)

    def open(self, kind: str | None = None) -> list[Incident]:
        """Return the open incidents, of one kind or of all."""
        return self._transaction(lambda cursor: _open(cursor, kind))

    def deliver_one(
        self, now: datetime, send: Callable[[Message], DeliveryResult], backoff: Callable[[int], timedelta]
    ) -> DeliveryResult | None:
        """Take the oldest due message, send it, and record the outcome.

        Args:
            now: the current time, UTC.
            send: sends the message.
            backoff: the number of attempts -> how long to wait after a failure.

        Returns:
            The outcome; None where no message is due.
        """

        def deliver(cursor: Cursor) -> DeliveryResult | None:
            cursor.execute(_TAKE, {"now": now})
            row = cursor.fetchone()
            if row is None:
                return None
            outcome = send(Message(*row))
            if outcome.error is None:
                cursor.execute(
                    "UPDATE crypto_assets.outbox SET sent_at = %s, attempts = attempts + 1, logged = true, last_error = NULL "
                    "WHERE id = %s",
                    (now, row[0]),
                )
            else:
                due = now + max(backoff(row[2]), timedelta(seconds=outcome.wait))
                cursor.execute(
                    "UPDATE crypto_assets.outbox SET due_at = %s, attempts = attempts + 1, logged = true, last_error = %s "
                    "WHERE id = %s",
                    (due, outcome.error, row[0]),
                )
            return outcome

        return self._transaction(deliver, once=True)  # a repeated transaction would send twice

    def waiting(self) -> list[tuple[str, int, str | None]]:
        """Return (title, attempts so far, last error) of the messages that are not delivered yet."""
        query = f"SELECT o.body ->> 'title', o.attempts, o.last_error FROM crypto_assets.outbox o WHERE {_WAITING} ORDER BY id"
        return self._ask(query, {})

    def silence(self, pattern: str, until: datetime, reason: str) -> None:
        """Hold back the beginnings of matching incidents for a time; those still open afterwards are sent.

        Args:
            pattern: a kind, ``kind:subject``, or either with ``*``.
            until: the end, UTC.
            reason: why.
        """
        query = """
        INSERT INTO crypto_assets.silences VALUES (%s, %s, %s, %s)
        ON CONFLICT (pattern) DO UPDATE SET until = excluded.until, reason = excluded.reason
        """
        self._transaction(lambda cursor: cursor.execute(query, (pattern, like(pattern), until, reason)))

    def lift(self, pattern: str) -> bool:
        """End a silence; return False where there was none."""

        def forget(cursor: Cursor) -> bool:
            cursor.execute("DELETE FROM crypto_assets.silences WHERE pattern = %s", (pattern,))
            return cursor.rowcount > 0

        return self._transaction(forget)

    def silences(self, now: datetime) -> list[tuple[str, datetime, str]]:
        """Return (pattern, until, reason) of the silences that are active at ``now``."""
        return self._ask(
            "SELECT pattern, until, reason FROM crypto_assets.silences WHERE until > %(now)s ORDER BY pattern",
            {"now": now},
        )

    def forget(self, before: datetime) -> int:
        """Delete incidents that were closed before an instant, with their messages; return how many."""

        def forget(cursor: Cursor) -> int:
            cursor.execute("DELETE FROM crypto_assets.incidents WHERE closed_at < %s", (before,))
            return cursor.rowcount

        return self._transaction(forget)


def like(pattern: str) -> str:
    r"""Turn a pattern into SQL's LIKE: ``staleness:news_*`` becomes ``staleness:news\_%``.

    Args:
        pattern: a kind, ``kind:subject``, or either with ``*``.

    Returns:
        The LIKE pattern for ``kind:subject``.
    """
    whole = pattern if ":" in pattern else f"{pattern}:*"
    return whole.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_").replace("*", "%")


def _open(cursor: Cursor, kind: str | None) -> list[Incident]:
    cursor.execute(_OPEN, {"kind": kind})
    return [Incident(*row) for row in cursor.fetchall()]


def _observe(cursor: Cursor, kind: str, sightings: list[Sighting], now: datetime, runbooks: str) -> tuple[int, int]:
    # One process at a time per kind, so that two processes that see the same trouble open one incident.
    cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK >> 20, kind))
    found = changes(kind, {incident.subject: incident for incident in _open(cursor, kind)}, sightings, now)
    for new in found.opened:
        values = (
            new.kind,
            new.subject,
            new.what,
            new.since,
            new.opened_at,
            new.consequence,
            extras.Json(dict(new.facts)),
        )
        cursor.execute(_INSERT, values)
        (number,) = cursor.fetchone() or (0,)
        _post(cursor, Incident(**{**new.__dict__, "id": number}), message.OPENED, now, runbooks)
    for known in found.seen:
        cursor.execute(
            "UPDATE crypto_assets.incidents SET what = %s, facts = %s WHERE id = %s AND (what, facts) <> (%s, %s)",
            (known.what, extras.Json(dict(known.facts)), known.id, known.what, extras.Json(dict(known.facts))),
        )
    for over in found.closed:
        cursor.execute(
            "UPDATE crypto_assets.incidents SET closed_at = %s, what = %s WHERE id = %s", (now, over.what, over.id)
        )
        cursor.execute(_DROP_SILENCED, {"incident": over.id, "now": now})
        if not cursor.rowcount:  # the beginning was never sent, so the end is not sent either
            _post(cursor, over, message.CLOSED, now, runbooks)
    return len(found.opened), len(found.closed)


def _post(cursor: Cursor, incident: Incident, event: str, now: datetime, runbooks: str) -> None:
    document = json.loads(json.dumps(message.body(incident, event, runbooks)))
    cursor.execute(
        "INSERT INTO crypto_assets.outbox (incident, event, body, due_at) VALUES (%s, %s, %s, %s)",
        (incident.id, event, extras.Json(document), now),
    )
