"""Messages to a webhook and to the log. The webhook's address is a secret: no log, error or table shows it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta

import httpx

from crypto_assets.alerts import message
from crypto_assets.alerts.ledger import Ledger, Message, Outcome
from crypto_assets.settings import Settings
from crypto_assets.sources.client import retry_after

TIMEOUT_S = 10
MESSAGES_A_TICK, SECONDS_A_TICK = 50, 20.0
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
ONLY_THIS_ONE = frozenset({400, 413, 415, 422})  # what is wrong is the message; the next one may pass


def deliver(ledger: Ledger, settings: Settings, now: datetime, log: Callable[[str], None]) -> tuple[int, int]:
    """Send what is due, in order; returns (delivered, failed). What fails is due again later, up to 15 minutes apart."""
    delivered = failed = 0
    until = time.monotonic() + SECONDS_A_TICK
    with ExitStack() as stack:
        client: list[httpx.Client] = []  # made for the first message: most ticks have none, and a client costs 0.1 s

        def send(found: Message) -> Outcome:
            if not client:
                client.append(stack.enter_context(_client()))
            return _send(client[0], settings, found, log)

        while delivered + failed < MESSAGES_A_TICK and time.monotonic() < until:
            outcome = ledger.deliver_one(now, send, _backoff)
            if outcome is None:
                break
            delivered, failed = delivered + (outcome.error is None), failed + (outcome.error is not None)
            if outcome.error is not None:
                log(f"a message could not be delivered to the webhook ({outcome.error}); it is kept and tried again")
                if not outcome.error.endswith(tuple(f" {status}" for status in ONLY_THIS_ONE)):
                    break
    return delivered, failed


def _client() -> httpx.Client:
    # httpx logs each request with its address, which is the secret.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.Client(timeout=TIMEOUT_S, headers={"User-Agent": "crypto-assets"}, follow_redirects=False)


def _send(client: httpx.Client, settings: Settings, found: Message, log: Callable[[str], None]) -> Outcome:
    if not found.logged:
        log(message.line(found.body))
    if settings.alert_webhook_url is None:
        return Outcome()
    try:
        answer = client.post(
            settings.alert_webhook_url.get_secret_value(),
            json=message.slack(found.body) if settings.alert_format == "slack" else found.body,
            headers={"Idempotency-Key": found.body["id"]},
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Outcome(type(error).__name__)
    if answer.is_success:
        return Outcome()
    # A receiver that asks for a year must hold nothing back: whatever is open would go untold.
    asked = min(retry_after(answer.headers.get("Retry-After")) or 0.0, LONGEST_WAIT.total_seconds())
    return Outcome(f"HTTP {answer.status_code}", asked)


def _backoff(attempts: int) -> timedelta:
    return min(FIRST_WAIT * 2 ** min(attempts, 8), LONGEST_WAIT)
