"""Ask the model about texts (articles, events): each text once, a few at a time, each failing alone.

The journal gives what was answered before. A text that failed is asked again in the next run, until it has failed
``GIVE_UP_AFTER`` times by its own fault (while the model answered others). A server that keeps failing is not asked any
more (``breaker.py``).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from crypto_assets.narratives.llm.answer import InvalidAnswerError, parse
from crypto_assets.narratives.llm.breaker import Breaker
from crypto_assets.narratives.llm.client import CallError, Model, ModelAwayError, Ollama, Reply
from crypto_assets.narratives.llm.journal import Entry, Journal
from crypto_assets.narratives.llm.prompt import ARTICLES, Request
from crypto_assets.narratives.llm.text import Text
from crypto_assets.settings import Settings

GIVE_UP_AFTER = 8
PATIENCE, FLOOR_S = 10, 30.0  # limit of a call: 10 times the slowest good one so far, at least 30 s
CLAIM_POLL_S = 0.5

Progress = Callable[[int, int, float], None]  # texts done, all texts, seconds since the first


@dataclass
class Report:
    """What a run of analyses did. ``entries`` maps content hash to the entry that counts, where there is one."""

    model: Model | None = None
    reason: str = ""  # why no model was asked, or was not asked any more
    entries: dict[str, Entry] = field(default_factory=dict)
    calls: int = 0
    retries: int = 0
    reused: int = 0
    given_up: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)


def better(entries: Iterable[Entry], digest: str | None, prompt_hash: str = ARTICLES.hash) -> Entry | None:
    """Choose the entry that counts.

    Args:
        entries: the entries of one text.
        digest: the digest of the model's weights; None if unknown.
        prompt_hash: the hash of what is asked.

    Returns:
        A good entry of this digest and prompt, else the newest good one, else the newest failure; None without entries.
    """

    def rank(entry: Entry) -> tuple[bool, bool, float]:
        current = entry.prompt_hash == prompt_hash and entry.model_digest == (digest or entry.model_digest)
        moment = entry.answered_at.timestamp() if entry.answered_at else 0.0
        return entry.status == "ok", current, moment

    return max(entries, key=rank, default=None)


async def analyse(
    texts: Sequence[Text],
    settings: Settings,
    journal: Journal,
    *,
    answered: Mapping[str, tuple[str, str]] | None = None,
    breaker: Breaker | None = None,
    progress: Progress = lambda *_: None,
    request: Request = ARTICLES,
) -> Report:
    """Ask the model about every text that has no good answer yet.

    Failures of the server or the model are part of the report and raise nothing.

    Args:
        texts: the texts.
        settings: the server, the model and its limits.
        journal: where answers are stored.
        answered: content hash -> (digest, prompt hash) of good answers in the table, in case the journal was lost.
        breaker: the circuit breaker; by default a new one.
        progress: called after each text.
        request: what is asked about each text.

    Returns:
        The entries, and why texts were not asked about.

    Raises:
        InstanceError: the journal cannot be reached.
    """
    began = time.monotonic()
    report = Report()
    by_hash = {text.content_hash: text for text in texts}
    async with Ollama(settings) as client:
        try:
            report.model = await client.probe()
        except ModelAwayError as error:
            report.reason = str(error)
        known: dict[str, list[Entry]] = {}
        for entry in await asyncio.to_thread(_remembered, journal, settings.ollama_model, list(by_hash)):
            known.setdefault(entry.content_hash, []).append(entry)
        digest = report.model.digest if report.model else None
        report.entries = {h: found for h, e in known.items() if (found := better(e, digest, request.hash)) is not None}
        if report.model is not None:
            pending = _pending(by_hash, report, known, answered or {}, request)
            run = _Run(client, report.model, journal, settings, breaker or Breaker(), progress, len(pending), request)
            await run.all(pending)
            run.note(report)
        report.calls = client.calls
    report.seconds = time.monotonic() - began
    return report


def _remembered(journal: Journal, model: str, texts: Sequence[str]) -> list[Entry]:
    """Return the journal's entries; a stored answer that today's checks accept counts as good."""
    found = []
    for entry in journal.of(model, texts):
        if entry.status in ("invalid", "refused") and entry.answer is not None:
            try:
                parse(entry.answer)
            except InvalidAnswerError:
                pass
            else:
                entry = journal.record(replace(entry, status="ok", detail=None, attempts=0))
        found.append(entry)
    return found


def _pending(
    texts: Mapping[str, Text],
    report: Report,
    known: Mapping[str, list[Entry]],
    answered: Mapping[str, tuple[str, str]],
    request: Request,
) -> list[Text]:
    """Return the texts without a good answer of this model and prompt, except those that were given up.

    They are in the order of their hashes. So many texts that no model answers well are mixed with the others, and do
    not open the breaker before the others were asked.
    """
    model = report.model
    assert model is not None
    wanted, pending = (model.digest, request.hash), []
    for content_hash, text in sorted(texts.items()):
        own = next((e for e in known.get(content_hash, ()) if (e.model_digest, e.prompt_hash) == wanted), None)
        if (own is not None and own.status == "ok") or answered.get(content_hash) == wanted:
            report.reused += 1
        elif own is not None and own.blamed >= GIVE_UP_AFTER:
            report.given_up += 1
        else:
            pending.append(text)
    return pending


class _Run:
    """The calls of one run: workers take texts from one queue.

    Journal and progress use a database and wait for it in their own threads. On the event loop, a stalled write would
    stop the clock of every open call, and a model that answered in time would count as timed out.
    """

    def __init__(
        self,
        client: Ollama,
        model: Model,
        journal: Journal,
        settings: Settings,
        breaker: Breaker,
        progress: Progress,
        total: int,
        request: Request,
    ) -> None:
        self._client, self._model, self._journal, self._breaker = client, model, journal, breaker
        self._request = request
        self._limit_s, self._workers = settings.ollama_timeout_s, settings.ollama_concurrency
        self._progress, self._total, self._began = progress, total, time.monotonic()
        self._slowest, self._good, self._done = 0.0, 0, 0
        self.entries: dict[str, Entry] = {}
        self.retries = 0
        self._transient: dict[str, Text] = {}
        self._failed: set[tuple[str, str, str]] = set()

    async def all(self, texts: Sequence[Text]) -> None:
        """Ask about every text once; at the end, once more about those that failed for a temporary reason."""
        await self._each(texts)
        again = [text for text in self._transient.values() if not self._breaker.dead]
        self.retries = len(again)
        self._total += len(again)
        await self._each(again)
        await asyncio.to_thread(self._blame)

    async def _each(self, texts: Sequence[Text]) -> None:
        queue = deque(texts)

        async def work() -> None:
            while queue:
                await self._one(queue.popleft())
                self._done += 1
                seconds = time.monotonic() - self._began
                await asyncio.to_thread(self._progress, self._done, self._total, seconds)

        await asyncio.gather(*(work() for _ in range(min(self._workers, len(queue)))))

    async def _one(self, text: Text) -> None:
        if not self._breaker.open:
            await self._ask(text)
            return
        async with self._breaker.gate:  # while it is open, one call at a time
            while self._breaker.open:
                if not await self._breaker.recover(self._client.probe) and self._breaker.dead:
                    return
            await self._ask(text)

    async def _ask(self, text: Text) -> None:
        key = (text.content_hash, self._model.digest, self._request.hash)
        while not await asyncio.to_thread(self._journal.claim, key):
            await asyncio.sleep(CLAIM_POLL_S)
        try:
            known = await asyncio.to_thread(self._journal.of, self._model.name, [key[0]])
            found = next((e for e in known if e.key == key), None)
            if found is not None and found.status == "ok":  # another process has answered it meanwhile
                self.entries[key[0]] = found
                return
            entry = await self._call(text)
            if entry is not None:
                self.entries[key[0]] = await asyncio.to_thread(self._journal.record, entry)
        finally:
            await asyncio.to_thread(self._journal.release, key)

    async def _call(self, text: Text) -> Entry | None:
        """Make one call and return its outcome; None where the request did not reach the server."""
        began, limit = time.monotonic(), self._patience()
        base = Entry(
            text.content_hash,
            self._model.digest,
            self._request.hash,
            self._model.name,
            "ok",
            sandbox=self._model.sandbox,
        )
        self._transient.pop(text.content_hash, None)
        try:
            reply = await self._client.ask(self._model, text, limit, self._request)
        except ModelAwayError as error:
            self._breaker.trip(base.key, str(error))
            self._transient[text.content_hash] = text
            return _with(base, "unavailable", str(error)) if error.reached else None
        except CallError as error:
            self._fail(base, error.status, str(error))
            if error.transient:
                self._transient[text.content_hash] = text
            return _with(base, error.status, str(error))
        entry = _with(base, "ok", None, reply)
        try:
            parse(reply.content)
        except InvalidAnswerError as error:
            status = "refused" if error.refused else "invalid"
            self._fail(base, status, str(error))
            return _with(base, status, str(error), reply)
        self._breaker.succeeded()
        self._good += 1
        self._slowest = max(self._slowest, time.monotonic() - began)
        return entry

    def _fail(self, entry: Entry, status: str, reason: str) -> None:
        self._breaker.failed(entry.key, status, reason)
        if status != "unavailable":
            self._failed.add(entry.key)

    def _patience(self) -> float:
        return min(self._limit_s, max(FLOOR_S, PATIENCE * self._slowest)) if self._good >= 3 else self._limit_s

    def _blame(self) -> None:
        """Count failures that were the text's fault.

        In these cases the server was not failing for all, and the model answered others.
        """
        guilty = [key for key in self._failed if key not in self._breaker.forgiven]
        if not guilty or self._journal.last_answer(self._model.digest) is None:
            return
        self._journal.blame(guilty)
        for content_hash, _, _ in guilty:
            entry = self.entries[content_hash]
            self.entries[content_hash] = replace(entry, blamed=entry.blamed + 1)

    def note(self, report: Report) -> None:
        report.entries.update(
            {
                content_hash: entry
                for content_hash, entry in self.entries.items()
                if entry.status == "ok" or report.entries.get(content_hash, entry).status != "ok"
            }
        )
        report.retries = self.retries
        report.statuses = Counter(entry.status for entry in self.entries.values())
        if self._breaker.dead:
            report.reason = self._breaker.reason


def _with(base: Entry, status: str, detail: str | None, reply: Reply | None = None) -> Entry:
    if reply is None:
        return replace(base, status=status, detail=detail, answered_at=_now())
    return replace(
        base, status=status, detail=detail, answer=reply.content, duration_s=reply.duration_s,
        prompt_tokens=reply.prompt_tokens, answer_tokens=reply.answer_tokens, answered_at=reply.answered_at or _now(),
    )  # fmt: skip


def _now() -> datetime:
    return datetime.now(timezone.utc)
