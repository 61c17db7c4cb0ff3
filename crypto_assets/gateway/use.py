"""What each request asks of Postgres: whose token it has, a count of it, and the marks of the rows that are online.

One statement does all of it for any number of requests that wait at the same time.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from crypto_assets.gateway.session import Ask, Rows, Session
from crypto_assets.gateway.tokens import COLUMNS, Given, Token, token_of

Marks = Mapping[str, str]


@dataclass(frozen=True)
class Use:
    """What a token has used, this request included.

    Attributes:
        token: the token.
        calls: requests in this minute.
        rows: rows in this UTC day.
    """

    token: Token
    calls: int
    rows: int


@dataclass(frozen=True)
class Looked:
    """What Postgres said of one request.

    Attributes:
        use: its token and what it has used; None where no token has this secret. A revoked or expired one is here too.
        marks: table -> mark of its rows online, which every change of them renews; a table that was never written has none.
    """

    use: Use | None
    marks: Marks


class Uses:
    """Looks tokens up and counts. All calls are of one event loop, one after the other."""

    def __init__(self, url: str) -> None:
        # A count is not worth waiting for the disk: where the machine of Postgres loses its power, the counts of the last moments
        # are lost. The plan does not depend on what is asked.
        settings = "SET TIME ZONE 'UTC'; SET synchronous_commit = off; SET plan_cache_mode = force_generic_plan"
        self._session = Session(url, "serving.tokens", f"{settings}; {_PREPARE.format(marks=_NO_MARKS)}")

    def close(self) -> None:
        """End the connection."""
        self._session.close()

    async def look(self, given: Sequence[Given | None], rows: Mapping[str, int]) -> list[Looked]:
        """Look tokens up, count a request of each, and add rows that were given.

        Args:
            given: the tokens of some requests; None for one that needs none.
            rows: id of a token -> rows to add to what it has used today.

        Returns:
            Of each request its token and what it has used, with this request and those before it in ``given``.

        Raises:
            InstanceError: Postgres does not answer.
        """
        calls = Counter(one for one in given if one is not None)
        asked = (
            [key for key, _ in calls], [value for _, value in calls], list(calls.values()), list(rows), list(rows.values()),
        )  # fmt: skip

        async def work(ask: Ask) -> Rows:
            found = await ask("EXECUTE admit (%s, %s, %s, %s, %s)", asked)
            if found[0][0] == _THERE:  # the first rows were put online since this connection began
                await ask(f"DEALLOCATE admit; {_PREPARE.format(marks=_MARKS)}")
            return found

        found = await self._session.run(work)
        marks: Marks = {} if found[0][0] in (None, _THERE) else found[0][0]
        known = {row[1]: row[1:] for row in found}
        looked = []
        for one in given:
            use = None if one is None else _use(known.get(one[0]), one[1], calls[one] - 1)
            calls.subtract([] if one is None else [one])
            looked.append(Looked(use, marks))
        return looked


_NO_HASH = sha256(b"no token").hexdigest()
_MARKS = "(SELECT json_object_agg(name, mark) FROM online.changes)"
# An installation where nothing was put online yet has no such table, and a statement cannot name one that is not there.
_THERE = "there"
_NO_MARKS = f"""(SELECT CASE WHEN to_regclass('online.changes') IS NOT NULL THEN '"{_THERE}"'::json END)"""
# All gateways lock the counts in the same order, so that they never deadlock.
_PREPARE = f"""
    PREPARE admit (text[], text[], integer[], text[], bigint[]) AS
    WITH given AS (SELECT * FROM unnest($1, $2, $3) AS g (token_id, hash, calls)),
    read AS (SELECT * FROM unnest($4, $5) AS r (token_id, rows)),
    asked AS (SELECT {COLUMNS}, secret_hash FROM serving.tokens WHERE token_id = ANY($1) OR token_id = ANY($4)),
    used AS (
        INSERT INTO serving.token_use AS u (token_id, minute, calls, day, rows)
        SELECT asked.token_id, date_trunc('minute', now()), coalesce(given.calls, 0), current_date, coalesce(read.rows, 0)
        FROM asked LEFT JOIN given ON given.token_id = asked.token_id AND given.hash = asked.secret_hash
        LEFT JOIN read ON read.token_id = asked.token_id
        WHERE given.calls IS NOT NULL OR read.rows IS NOT NULL ORDER BY asked.token_id
        ON CONFLICT (token_id) DO UPDATE SET
            calls = CASE WHEN u.minute = EXCLUDED.minute THEN u.calls + EXCLUDED.calls ELSE EXCLUDED.calls END,
            minute = EXCLUDED.minute,
            rows = CASE WHEN u.day = EXCLUDED.day THEN u.rows + EXCLUDED.rows ELSE EXCLUDED.rows END, day = EXCLUDED.day
        RETURNING token_id, calls, rows)
    SELECT m.marks, asked.*, used.calls, used.rows
    FROM (SELECT {{marks}} AS marks) AS m LEFT JOIN (asked LEFT JOIN used USING (token_id)) ON true
"""


def _use(row: Sequence[Any] | None, given: str, later: int) -> Use | None:
    """Return what a token has used before ``later`` further requests of the same statement."""
    # One comparison whether the token exists or not, so that the time says nothing.
    stored = _NO_HASH if row is None else row[8]
    if not hmac.compare_digest(stored, given) or row is None:
        return None
    return Use(token_of(row[:8]), row[9] - later, row[10])
