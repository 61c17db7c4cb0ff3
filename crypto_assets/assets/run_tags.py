"""The tags by which a run says why it started. The UI shows them; ``crypto-assets explain`` reads them."""

from __future__ import annotations

REASON = "crypto_assets/reason"  # why the run started, in words
REPAIR = "crypto_assets/repair"  # what it repairs, as a short hash: attempts at the same thing are counted by it
LONGEST_REASON = 400  # characters


def reason_tags(text: str) -> dict[str, str]:
    """The tag of a run that no repair asks for: a tick, a run of checks, a command."""
    return {REASON: text[:LONGEST_REASON]}
