"""What a step's failure says, in the one sentence that a person can act on."""

from __future__ import annotations

from crypto_assets.dagster_internals.core import SerializableErrorInfo


def sentence(error: SerializableErrorInfo | None) -> str | None:
    """Our own error in the chain of causes as one line, without its class name; else the innermost cause.

    None where there is no error at all.
    """
    text = None
    while error is not None:
        text = " ".join(error.message.split())
        head, _, rest = text.partition(": ")
        if rest and head.startswith("crypto_assets."):
            return rest
        error = error.cause
    return text
