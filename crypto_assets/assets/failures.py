"""The one sentence of a failed step that a person can act on."""

from __future__ import annotations

from crypto_assets.dagster_internals.core import SerializableErrorInfo


def sentence(error: SerializableErrorInfo | None) -> str | None:
    """Find the sentence in a chain of causes.

    Args:
        error: The error of a failed step, as Dagster stores it.

    Returns:
        The first error of this package in one line, without its class name; else the innermost cause. None without error.
    """
    text = None
    while error is not None:
        text = " ".join(error.message.split())
        head, _, rest = text.partition(": ")
        if rest and head.startswith("crypto_assets."):
            return rest
        error = error.cause
    return text
