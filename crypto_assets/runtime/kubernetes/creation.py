"""Make a Job while the API may be away or busy: try again, in place of failing a run that has done nothing wrong.

The stock client tries three times, ten seconds apart, and not at all for a 429. Nothing else could be launched meanwhile
either, so waiting holds up nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from crypto_assets.dagster_internals.kubernetes import DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError
from crypto_assets.runtime.kubernetes import api

REFUSALS = (DagsterK8sUnrecoverableAPIError, DagsterK8sAPIRetryLimitExceeded)
AGAIN_S = 5.0
log = logging.getLogger(__name__)


def until_served(
    create: Callable[[], Any],
    limit_s: float,
    *,
    exists: Callable[[], bool] = lambda: False,
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Call a function that makes a Job, again and again while the API is away or busy.

    Args:
        create: makes the Job by the stock client.
        limit_s: seconds after which the last error counts.
        exists: whether the Job is there already; asked when the API says so at the first try.
        wanted: whether the Job should still be made; asked before each further try.

    Raises:
        DagsterK8sUnrecoverableAPIError: the API refused.
        DagsterK8sAPIRetryLimitExceeded: it was away or busy for too long.
    """
    began, failed = time.monotonic(), False
    while True:
        try:
            create()
            return
        except REFUSALS as error:
            cause = cause_of(error)
            if getattr(cause, "status", None) == 409 and (failed or exists()):
                return  # made by an earlier try, whose answer was lost
            if not api.passes(cause) or time.monotonic() - began > limit_s or not wanted():
                raise
            failed = True
            log.warning("no pod yet: %s; asked again", api.sentence(cause))
            time.sleep(AGAIN_S)


def cause_of(error: BaseException) -> BaseException:
    """Return what the API answered, or why it did not, of an error of the stock client."""
    return getattr(error, "k8s_api_exception", None) or error
