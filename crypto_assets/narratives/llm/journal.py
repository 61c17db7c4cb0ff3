"""The journal stores every answer of a model at once, so that a killed run loses at most the calls in flight.

The key is the hash of the text, the digest of the model and the hash of the prompt. The answer is stored as the model
wrote it. A row of ``article_narratives`` is derived from it each time, so that stricter checks need no new calls. The
journal is in Dagster's Postgres, which all processes of an installation share, or in memory where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from crypto_assets.storage.shared_state import SharedState


@dataclass(frozen=True)
class Entry:
    """What is known of one text under one model and prompt: the newest answer, or why there is none."""

    content_hash: str
    model_digest: str
    prompt_hash: str
    model: str
    status: str
    answer: str | None = None
    detail: str | None = None
    attempts: int = 1  # calls so far
    blamed: int = 0  # calls that failed by the article's fault
    duration_s: float | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    answered_at: datetime | None = None
    sandbox: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """(content hash, model digest, prompt hash)."""
        return self.content_hash, self.model_digest, self.prompt_hash


COLUMNS = tuple(field.name for field in fields(Entry))


class Journal(Protocol):
    """The interface of a journal."""

    def of(self, model: str, texts: Sequence[str]) -> list[Entry]:
        """Return every entry for these texts, under any digest and prompt.

        Args:
            model: the model's name.
            texts: the content hashes.

        Returns:
            The entries.
        """

    def record(self, entry: Entry) -> Entry:
        """Store the outcome of a call, added to earlier counts; a failure never replaces a good answer.

        Args:
            entry: the outcome.

        Returns:
            The entry as stored.
        """

    def blame(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """Count one failure by the article's fault for each of these keys (the model answered others meanwhile)."""

    def last_answer(self, digest: str) -> datetime | None:
        """Return when this model (by digest) last gave a good answer, in UTC; None if never."""

    def claim(self, key: tuple[str, str, str]) -> bool:
        """Reserve a text for this process; False while another process has it. A killed process loses its claims."""

    def release(self, key: tuple[str, str, str]) -> None:
        """End the claim of this process on a text."""


class MemoryJournal:
    """The journal of one process; the methods are those of :class:`Journal`."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, str], Entry] = {}

    def of(self, model: str, texts: Sequence[str]) -> list[Entry]:
        """Return every entry of this model's name for these content hashes."""
        wanted = set(texts)
        return [entry for entry in self._entries.values() if entry.model == model and entry.content_hash in wanted]

    def record(self, entry: Entry) -> Entry:
        """Store the outcome of a call, and return the entry as stored."""
        before = self._entries.get(entry.key)
        if before is not None:
            kept = before if before.status == "ok" and entry.status != "ok" else entry
            entry = replace(kept, attempts=before.attempts + entry.attempts, blamed=before.blamed)
        self._entries[entry.key] = entry
        return entry

    def blame(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """Count one failure by the article's fault for each of these keys."""
        for key in keys:
            self._entries[key] = replace(self._entries[key], blamed=self._entries[key].blamed + 1)

    def last_answer(self, digest: str) -> datetime | None:
        """Return when this model last gave a good answer; None if never."""
        good = [e.answered_at for e in self._entries.values() if e.model_digest == digest and e.status == "ok"]
        return max(filter(None, good), default=None)

    def claim(self, key: tuple[str, str, str]) -> bool:
        """Reserve a text; always True, because no other process shares this journal."""
        return True

    def release(self, key: tuple[str, str, str]) -> None:
        """Do nothing: no other process waits for a claim."""


_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS crypto_assets;
CREATE TABLE IF NOT EXISTS crypto_assets.analyses (
    content_hash text, model_digest text, prompt_hash text, model text NOT NULL, status text NOT NULL, answer text,
    detail text, attempts bigint NOT NULL, blamed bigint NOT NULL, duration_s double precision, prompt_tokens bigint,
    answer_tokens bigint, answered_at timestamptz, sandbox boolean NOT NULL,
    PRIMARY KEY (content_hash, model_digest, prompt_hash));
CREATE INDEX IF NOT EXISTS analyses_good ON crypto_assets.analyses (model_digest, answered_at) WHERE status = 'ok';
"""
_KEY = "content_hash = %s AND model_digest = %s AND prompt_hash = %s"
_NEWER = [name for name in COLUMNS if name not in ("content_hash", "model_digest", "prompt_hash", "attempts", "blamed")]
_RECORD = f"""
INSERT INTO crypto_assets.analyses AS a ({", ".join(COLUMNS)}) VALUES ({", ".join(["%s"] * len(COLUMNS))})
ON CONFLICT (content_hash, model_digest, prompt_hash) DO UPDATE SET
    attempts = a.attempts + excluded.attempts,
    {", ".join(f"{n} = CASE WHEN a.status = 'ok' AND excluded.status <> 'ok' THEN a.{n} ELSE excluded.{n} END" for n in _NEWER)}
RETURNING {", ".join(COLUMNS)}
"""
_OF = f"SELECT {', '.join(COLUMNS)} FROM crypto_assets.analyses WHERE model = %s AND content_hash = ANY(%s)"
_BLAME = f"UPDATE crypto_assets.analyses SET blamed = blamed + 1 WHERE {_KEY}"
_CLAIM = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"  # ends with the connection
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
_LAST = "SELECT max(answered_at) FROM crypto_assets.analyses WHERE model_digest = %s AND status = 'ok'"


class PostgresJournal(SharedState):
    """The journal that all processes on one Postgres share; the methods are those of :class:`Journal`.

    Every method raises :class:`InstanceError` when the server stays away.
    """

    what, schema, lock = "the journal of analyses", _SCHEMA, 0x6C_6C_6D_6A_6F_75

    def of(self, model: str, texts: Sequence[str]) -> list[Entry]:
        """Return every entry of this model's name for these content hashes."""
        return [_entry(row) for row in self._ask(_OF, (model, list(texts)))]

    def record(self, entry: Entry) -> Entry:
        """Store the outcome of a call, and return the entry as stored."""
        return _entry(self._ask(_RECORD, astuple(entry))[0])

    def blame(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """Count one failure by the article's fault for each of these keys."""
        wanted = list(keys)
        self._transaction(lambda cursor: cursor.executemany(_BLAME, wanted))

    def last_answer(self, digest: str) -> datetime | None:
        """Return when this model last gave a good answer; None if never."""
        found = self._ask(_LAST, (digest,))[0][0]
        return found if isinstance(found, datetime) else None

    def claim(self, key: tuple[str, str, str]) -> bool:
        """Reserve a text for this process; False while another process has it."""
        return bool(self._ask(_CLAIM, ("/".join(key),))[0][0])

    def release(self, key: tuple[str, str, str]) -> None:
        """End the claim of this process on a text."""
        self._ask(_RELEASE, ("/".join(key),))


def _entry(row: tuple[Any, ...]) -> Entry:
    found = Entry(*row)
    moment = found.answered_at
    return found if moment is None else replace(found, answered_at=moment.astimezone(timezone.utc))


_LOCAL = MemoryJournal()
_SHARED: dict[str, PostgresJournal] = {}


def open_journal(url: str | None) -> Journal:
    """Open the journal on a Postgres, or the one of this process.

    Args:
        url: the address of the Postgres; None for this process's own journal.

    Returns:
        The journal; one connection per process and address.
    """
    if url is None:
        return _LOCAL
    return _SHARED.setdefault(url, PostgresJournal(url))
