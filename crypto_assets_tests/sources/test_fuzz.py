"""Good answers, broken at random: rows that keep their contract, or the sources' own error. Nothing else comes out."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources import coingecko_context, kraken
from crypto_assets.sources.client.http import Answer, Client, ResponseError
from crypto_assets_tests.sources.fault_providers import PRO, ROUTES, Route
from crypto_assets_tests.sources.faults import edited
from crypto_assets_tests.sources.wire_server import Reply, Request

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.sampled_from(
        ["0", "-1", "1e999", "NaN", "Infinity", "", "2024-01-02T00:00:00Z", 10**30, -0.0, 1e-320, 1704153600]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
LIGHT = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
OTHERS: dict[str, tuple[Any, Callable[[Client, Settings], Any]]] = {
    "/key": (
        {"plan": "x", "rate_limit_request_per_minute": 5, "monthly_call_credit": 9, "current_total_monthly_calls": 1,
         "current_remaining_monthly_calls": 8},
        coingecko_context.fetch_key,
    ),
    "/coins/list": ([{"id": "bitcoin", "symbol": "btc"}], coingecko_context.fetch_ids),
}  # fmt: skip


class Canned(Client):
    """Answers without a network: what is tested is what the sources make of a body."""

    def __init__(self, body_of: Callable[[Request], Any]) -> None:
        super().__init__()
        self._body_of = body_of

    async def get_json(self, provider: str, url: str, *, params: Mapping[str, Any] | None = None, **_: Any) -> Answer:
        self.calls += 1
        query = {name: str(value) for name, value in (params or {}).items()}
        return self._answer(Request(url, query, {}))

    async def get_bytes(self, provider: str, url: str, **_: Any) -> Answer:
        return self._answer(Request(url, {}, {}))

    def _answer(self, request: Request) -> Answer:
        body = self._body_of(request)
        if isinstance(body, Reply) and body.status >= 400:
            raise ResponseError(f"{request.path} answered HTTP {body.status}", status=body.status)
        body = body.body if isinstance(body, Reply) else body
        return Answer(body, hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else "digest", None)


@st.composite
def breaking(draw: st.DrawFn) -> Callable[[Any], Any]:
    """A change that is made to whatever body comes: some values replaced, left out or doubled."""
    steps = [
        (draw(st.lists(st.integers(0, 40), max_size=4)), draw(st.sampled_from("rrrdt")), draw(JSON))
        for _ in range(draw(st.integers(1, 3)))
    ]

    def change(body: Any) -> Any:
        body = copy.deepcopy(body)
        for path, action, value in steps:
            parent, key, node = None, None, body
            for step in path:
                if not isinstance(node, list | dict) or not node:
                    break
                parent, key = node, (list(node)[step % len(node)] if isinstance(node, dict) else step % len(node))
                node = node[key]
            if parent is None:
                return copy.deepcopy(value) if action == "r" else body
            if action == "d":
                del parent[key]
            elif action == "t" and isinstance(parent, list):
                parent.append(copy.deepcopy(node))
            else:
                parent[key] = copy.deepcopy(value)  # else a later step could put the value into itself
        return body

    return change


def config(env: Mapping[str, str]) -> Settings:
    return Settings.from_env({"NEWS_FEEDS": "one=http://127.0.0.1:9/one.xml", **env})


@pytest.mark.parametrize("route", [route for route in ROUTES if route.value is not None], ids=lambda route: route.name)
def test_a_broken_answer_is_rows_that_keep_their_contract_or_our_error(
    route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kraken, "PAUSE_S", 0.0)
    settings_of = config(route.env)

    @LIGHT
    @given(breaking())
    def check(change: Callable[[Any], Any]) -> None:
        client = Canned(edited(route, lambda _, body: json.loads(json.dumps(change(json.loads(json.dumps(body)))))))
        try:
            fetched = asyncio.run(route.fetch(client, settings_of))
        except SourceError as error:
            assert "\n" not in str(error)
            return
        route.contract.validate(fetched.frame)

    check()


@pytest.mark.parametrize("name", OTHERS)
def test_a_broken_answer_about_the_provider_is_read_or_our_error(name: str) -> None:
    good, fetch = OTHERS[name]
    settings_of = config(PRO)

    @LIGHT
    @given(breaking())
    def check(change: Callable[[Any], Any]) -> None:
        try:
            asyncio.run(fetch(Canned(lambda _: change(good)), settings_of))
        except SourceError as error:
            assert "\n" not in str(error)

    check()


@pytest.mark.parametrize("route", [route for route in ROUTES if route.value is None], ids=lambda route: route.name)
def test_a_broken_feed_is_rows_that_keep_their_contract_or_our_error(route: Route) -> None:
    good, settings_of = route.good(Request("", {}, {})), config({})

    @LIGHT
    @given(st.integers(0, len(good)), st.integers(0, 60), st.binary(max_size=12))
    def check(at: int, length: int, noise: bytes) -> None:
        body = good[:at] + noise + good[at + length :]
        try:
            fetched = asyncio.run(route.fetch(Canned(lambda _: body), settings_of))
        except SourceError:
            return
        route.contract.validate(fetched.frame)

    check()
