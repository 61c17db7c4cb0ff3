"""The run tags that say why a run started. The UI shows them, and ``crypto-assets explain`` reads them."""

from __future__ import annotations

REASON = "crypto_assets/reason"  # why the run started, in words
REPAIR = "crypto_assets/repair"  # a short hash of what the run repairs; attempts are counted by it
LONGEST_REASON = 400  # characters


def reason_tags(text: str) -> dict[str, str]:
    """Return the tag of a run that is no repair: a tick, a run of checks, a command. Long texts are cut."""
    return {REASON: text[:LONGEST_REASON]}
