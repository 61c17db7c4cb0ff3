"""Articles to answers: each text asked once, a few at a time, each failing alone, a failing server left alone.

What was answered before is taken from the journal. A text that failed is asked again in the next run, until it failed
``GIVE_UP_AFTER`` times by its own fault (the model answered others meanwhile).
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
from crypto_assets.narratives.llm.prompt import PROMPT_HASH
from crypto_assets.narratives.llm.text import Article
from crypto_assets.settings import Settings

GIVE_UP_AFTER = 8
PATIENCE, FLOOR_S = 10, 30.0  # a call may take ten times as long as the slowest good one so far, or half a minute
CLAIM_POLL_S = 0.5

Progress = Callable[[int, int, float], None]  # articles done, articles in all, seconds since the first


@dataclass
class Report:
    """What a run of analyses did. ``entries``: by content hash the entry that counts, where there is any."""

    model: Model | None = None
    reason: str = ""  # why no model was asked, or why it was no longer
    entries: dict[str, Entry] = field(default_factory=dict)
    calls: int = 0
    retries: int = 0
    reused: int = 0
    given_up: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)


def better(entries: Iterable[Entry], digest: str | None) -> Entry | None:
    """The entry that counts: a good one of this digest and prompt, else the newest good one, else the newest failure."""

    def rank(entry: Entry) -> tuple[bool, bool, float]:
        current = entry.prompt_hash == PROMPT_HASH and entry.model_digest == (digest or entry.model_digest)
        moment = entry.answered_at.timestamp() if entry.answered_at else 0.0
        return entry.status == "ok", current, moment

    return max(entries, key=rank, default=None)


def current(entry: Entry | None, model: Model) -> bool:
    return entry is not None and (entry.model_digest, entry.prompt_hash) == (model.digest, PROMPT_HASH)


async def analyse(
    articles: Sequence[Article],
    settings: Settings,
    journal: Journal,
    *,
    answered: Mapping[str, tuple[str, str]] | None = None,
    breaker: Breaker | None = None,
    progress: Progress = lambda *_: None,
) -> Report:
    """Ask the model about every text that has no good answer yet.

    ``answered``: content hash -> (digest, prompt hash) of good answers that the table holds, for a journal that was
    lost. Never raises for what a server or model does; raises ``InstanceError`` when the journal is away.
    """
    began = time.monotonic()
    report = Report()
    texts = {article.content_hash: article for article in articles}
    async with Ollama(settings) as client:
        try:
            report.model = await client.probe()
        except ModelAwayError as error:
            report.reason = str(error)
        known: dict[str, list[Entry]] = {}
        for entry in await asyncio.to_thread(_remembered, journal, settings.ollama_model, list(texts)):
            known.setdefault(entry.content_hash, []).append(entry)
        digest = report.model.digest if report.model else None
        report.entries = {h: found for h, e in known.items() if (found := better(e, digest)) is not None}
        if report.model is not None:
            pending = _pending(texts, report, known, answered or {})
            run = _Run(client, report.model, journal, settings, breaker or Breaker(), progress, len(pending))
            await run.all(pending)
            run.note(report)
        report.calls = client.calls
    report.seconds = time.monotonic() - began
    return report


def _remembered(journal: Journal, model: str, texts: Sequence[str]) -> list[Entry]:
    """The journal's entries; an answer that was not understood when it came, and is now, is a good one from here on."""
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
    texts: Mapping[str, Article],
    report: Report,
    known: Mapping[str, list[Entry]],
    answered: Mapping[str, tuple[str, str]],
) -> list[Article]:
    """Texts without a good answer of this model and prompt that are not given up.

    In the order of their hashes: a flood of articles that no model answers well is spread among the others, and does
    not open the breaker before they had their turn.
    """
    model = report.model
    assert model is not None
    pending = []
    for content_hash, article in sorted(texts.items()):
        own = next((e for e in known.get(content_hash, ()) if current(e, model)), None)
        if (own is not None and own.status == "ok") or answered.get(content_hash) == (model.digest, PROMPT_HASH):
            report.reused += 1
        elif own is not None and own.blamed >= GIVE_UP_AFTER:
            report.given_up += 1
        else:
            pending.append(article)
    return pending


class _Run:
    """One run's calls: workers that take from one queue, and what came of it.

    Journal and progress go to a database and wait for it in threads of their own: on the event loop, one that stalls
    would stop the clock of every call under way, and a model that answered in time would be blamed for a time-out.
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
    ) -> None:
        self._client, self._model, self._journal, self._breaker = client, model, journal, breaker
        self._limit_s, self._workers = settings.ollama_timeout_s, settings.ollama_concurrency
        self._progress, self._total, self._began = progress, total, time.monotonic()
        self._slowest, self._good, self._done = 0.0, 0, 0
        self.entries: dict[str, Entry] = {}
        self.retries = 0
        self._transient: dict[str, Article] = {}
        self._failed: set[tuple[str, str, str]] = set()

    async def all(self, articles: Sequence[Article]) -> None:
        """Every article once; those that a passing trouble hit once more at the end."""
        await self._each(articles)
        again = [article for article in self._transient.values() if not self._breaker.dead]
        self.retries = len(again)
        self._total += len(again)
        await self._each(again)
        await asyncio.to_thread(self._blame)

    async def _each(self, articles: Sequence[Article]) -> None:
        queue = deque(articles)

        async def work() -> None:
            while queue:
                await self._one(queue.popleft())
                self._done += 1
                seconds = time.monotonic() - self._began
                await asyncio.to_thread(self._progress, self._done, self._total, seconds)

        await asyncio.gather(*(work() for _ in range(min(self._workers, len(queue)))))

    async def _one(self, article: Article) -> None:
        if not self._breaker.open:
            await self._ask(article)
            return
        async with self._breaker.gate:  # while it is open, one at a time
            while self._breaker.open:
                if not await self._breaker.recover(self._client.probe) and self._breaker.dead:
                    return
            await self._ask(article)

    async def _ask(self, article: Article) -> None:
        key = (article.content_hash, self._model.digest, PROMPT_HASH)
        while not await asyncio.to_thread(self._journal.claim, key):
            await asyncio.sleep(CLAIM_POLL_S)
        try:
            known = await asyncio.to_thread(self._journal.of, self._model.name, [key[0]])
            found = next((e for e in known if e.key == key), None)
            if found is not None and found.status == "ok":  # another process was faster
                self.entries[key[0]] = found
                return
            entry = await self._call(article)
            if entry is not None:
                self.entries[key[0]] = await asyncio.to_thread(self._journal.record, entry)
        finally:
            await asyncio.to_thread(self._journal.release, key)

    async def _call(self, article: Article) -> Entry | None:
        """One call and its outcome; None where the server did not even see it."""
        began, limit = time.monotonic(), self._patience()
        base = Entry(
            article.content_hash, self._model.digest, PROMPT_HASH, self._model.name, "ok", sandbox=self._model.sandbox
        )
        self._transient.pop(article.content_hash, None)
        try:
            reply = await self._client.ask(self._model, article, limit)
        except ModelAwayError as error:
            self._breaker.trip(base.key, str(error))
            self._transient[article.content_hash] = article
            return _with(base, "unavailable", str(error)) if error.reached else None
        except CallError as error:
            self._fail(base, error.status, str(error))
            if error.transient:
                self._transient[article.content_hash] = article
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
        """Failures that were not the server's: it was not failing for all, and these weights have answered others."""
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
