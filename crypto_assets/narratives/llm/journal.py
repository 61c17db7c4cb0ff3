"""Every answer that a model gave, kept the moment it came: a run that is killed has lost at most the calls in flight.

Keyed by hash of text, digest of model and hash of prompt. The answer is kept as the model wrote it; what a row of
``article_narratives`` says is derived from it each time, so that stricter checks need no new calls. In Dagster's
Postgres, which all processes of an installation share; in memory where there is none.
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
    blamed: int = 0  # of them failed by the article's own fault
    duration_s: float | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    answered_at: datetime | None = None
    sandbox: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        return self.content_hash, self.model_digest, self.prompt_hash


COLUMNS = tuple(field.name for field in fields(Entry))


class Journal(Protocol):
    def of(self, model: str, texts: Sequence[str]) -> list[Entry]:
        """Every entry of this model's name for texts with these hashes, under any digest and prompt."""

    def record(self, entry: Entry) -> Entry:
        """Keep the outcome of a call, counted on top of earlier ones; a good answer is never replaced by a failure."""

    def blame(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """These failed though the model answered others: they count towards giving up."""

    def last_answer(self, digest: str) -> datetime | None:
        """When this model last answered well."""

    def claim(self, key: tuple[str, str, str]) -> bool:
        """Take this text for this process; False while another process has it. A killed process has nothing."""

    def release(self, key: tuple[str, str, str]) -> None: ...


class MemoryJournal:
    """The journal of one process."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, str], Entry] = {}

    def of(self, model: str, texts: Sequence[str]) -> list[Entry]:
        wanted = set(texts)
        return [entry for entry in self._entries.values() if entry.model == model and entry.content_hash in wanted]

    def record(self, entry: Entry) -> Entry:
        before = self._entries.get(entry.key)
        if before is not None:
            kept = before if before.status == "ok" and entry.status != "ok" else entry
            entry = replace(kept, attempts=before.attempts + entry.attempts, blamed=before.blamed)
        self._entries[entry.key] = entry
        return entry

    def blame(self, keys: Iterable[tuple[str, str, str]]) -> None:
        for key in keys:
            self._entries[key] = replace(self._entries[key], blamed=self._entries[key].blamed + 1)

    def last_answer(self, digest: str) -> datetime | None:
        good = [e.answered_at for e in self._entries.values() if e.model_digest == digest and e.status == "ok"]
        return max(filter(None, good), default=None)

    def claim(self, key: tuple[str, str, str]) -> bool:
        return True

    def release(self, key: tuple[str, str, str]) -> None: ...


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
_CLAIM = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"  # goes with the connection, however its process ends
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
_LAST = "SELECT max(answered_at) FROM crypto_assets.analyses WHERE model_digest = %s AND status = 'ok'"


class PostgresJournal(SharedState):
    """The journal that all processes on one Postgres share. Raises :class:`InstanceError` when the server stays away."""

    what, schema, lock = "the journal of analyses", _SCHEMA, 0x6C_6C_6D_6A_6F_75

    def of(self, model: str, texts: Sequence[str]) -> list[Entry]:
        return [_entry(row) for row in self._ask(_OF, (model, list(texts)))]

    def record(self, entry: Entry) -> Entry:
        return _entry(self._ask(_RECORD, astuple(entry))[0])

    def blame(self, keys: Iterable[tuple[str, str, str]]) -> None:
        wanted = list(keys)
        self._transaction(lambda cursor: cursor.executemany(_BLAME, wanted))

    def last_answer(self, digest: str) -> datetime | None:
        found = self._ask(_LAST, (digest,))[0][0]
        return found if isinstance(found, datetime) else None

    def claim(self, key: tuple[str, str, str]) -> bool:
        return bool(self._ask(_CLAIM, ("/".join(key),))[0][0])

    def release(self, key: tuple[str, str, str]) -> None:
        self._ask(_RELEASE, ("/".join(key),))


def _entry(row: tuple[Any, ...]) -> Entry:
    found = Entry(*row)
    moment = found.answered_at
    return found if moment is None else replace(found, answered_at=moment.astimezone(timezone.utc))


_LOCAL = MemoryJournal()
_SHARED: dict[str, PostgresJournal] = {}


def open_journal(url: str | None) -> Journal:
    """The shared journal on a Postgres, or this process's own; one connection a process and address."""
    if url is None:
        return _LOCAL
    return _SHARED.setdefault(url, PostgresJournal(url))
