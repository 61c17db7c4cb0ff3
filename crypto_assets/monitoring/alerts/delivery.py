"""Send messages to a webhook and to the log. The webhook's address is a secret: no log, error or table shows it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from crypto_assets.lazy import lazy
from crypto_assets.monitoring.alerts import message
from crypto_assets.monitoring.alerts.ledger import DeliveryResult, Ledger, Message
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import retry_after, trust

if TYPE_CHECKING:
    import httpx

    from crypto_assets import transport
else:
    httpx = lazy("httpx")
    transport = lazy("crypto_assets.transport")

TIMEOUT_S = 10  # for a whole attempt: a slow receiver must not hold the sensor and its transaction
MESSAGES_A_TICK, SECONDS_A_TICK = 50, 20.0
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
ONLY_THIS_ONE = frozenset({400, 413, 415, 422})  # the message is wrong; the next one may be accepted


def deliver(ledger: Ledger, settings: Settings, now: datetime, log: Callable[[str], None]) -> tuple[int, int]:
    """Send the due messages in order. A message that fails is due again later, up to 15 minutes apart.

    Args:
        ledger: the messages.
        settings: the webhook.
        now: the current time, UTC.
        log: writes one line to the log.

    Returns:
        (delivered, failed).
    """
    delivered = failed = 0
    until = time.monotonic() + SECONDS_A_TICK
    while delivered + failed < MESSAGES_A_TICK and time.monotonic() < until:
        outcome = ledger.deliver_one(now, lambda found: _send(settings, found, log), _backoff)
        if outcome is None:
            break
        delivered, failed = delivered + (outcome.error is None), failed + (outcome.error is not None)
        if outcome.error is not None:
            log(f"a message could not be delivered to the webhook ({outcome.error}); it is kept and tried again")
            if not outcome.error.endswith(tuple(f" {status}" for status in ONLY_THIS_ONE)):
                break
    return delivered, failed


def _send(settings: Settings, found: Message, log: Callable[[str], None]) -> DeliveryResult:
    if not found.logged:
        log(message.line(found.body))
    if settings.alert_webhook_url is None:
        return DeliveryResult()
    try:
        answer = asyncio.run(
            asyncio.wait_for(_post(settings.alert_webhook_url.get_secret_value(), settings, found), TIMEOUT_S)
        )
    except asyncio.TimeoutError:
        return DeliveryResult(f"no answer within {TIMEOUT_S} s")
    except httpx.ProxyError as error:  # its message names the proxy, not the receiver
        return DeliveryResult(f"ProxyError {error}")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # ValueError: the host is not a valid name
        return DeliveryResult(type(error).__name__)
    if answer.is_success:
        return DeliveryResult()
    # A receiver may ask for a year. The wait is bounded, so that open incidents are still sent.
    asked = min(retry_after(answer.headers.get("Retry-After")) or 0.0, LONGEST_WAIT.total_seconds())
    return DeliveryResult(f"HTTP {answer.status_code}", asked)


async def _post(address: str, settings: Settings, found: Message) -> httpx.Response:
    """Return status and headers of the answer; its body, of whatever size, is not read."""
    for name in ("httpx", "httpcore"):  # they log the address of each request, which is the secret
        logging.getLogger(name).setLevel(logging.WARNING)
    body = message.slack(found.body) if settings.alert_format == "slack" else found.body
    headers = {"User-Agent": "crypto-assets", "Idempotency-Key": found.body["id"]}
    async with (
        httpx.AsyncClient(
            timeout=TIMEOUT_S, follow_redirects=False, transport=transport.Transport(trust()), trust_env=False
        ) as client,
        client.stream("POST", address, json=body, headers=headers) as answer,
    ):
        return answer


def _backoff(attempts: int) -> timedelta:
    return min(FIRST_WAIT * 2 ** min(attempts, 8), LONGEST_WAIT)
