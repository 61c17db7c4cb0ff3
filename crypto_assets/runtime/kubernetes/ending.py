"""What is being deleted: since when, and what holds it. Such an object is not deleted again, and is no problem by itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from crypto_assets.runtime.kubernetes.diagnosis import Object, deleted_at


def since(found: Object) -> datetime | None:
    """Return when the deletion was asked for.

    Args:
        found: a Job or pod.

    Returns:
        The instant, UTC: ``deletionTimestamp`` is this and the grace. None if the object is not being deleted.
    """
    until = deleted_at(found)
    grace = found["metadata"].get("deletionGracePeriodSeconds") or 0
    return None if until is None else until - timedelta(seconds=grace)


def sentence(found: Object, now: datetime) -> str:
    """Say since when an object ends, and what it waits for.

    Args:
        found: a Job or pod that is being deleted.
        now: the current time, UTC.

    Returns:
        The sentence, with what to do.
    """
    began = since(found)
    text = f"ending since {began:%Y-%m-%d %H:%M} UTC"
    held = [name for name in found["metadata"].get("finalizers") or () if not name.startswith("batch.kubernetes.io/")]
    node = (found.get("spec") or {}).get("nodeName")
    if held:
        return f"{text}; the finalizer {', '.join(held)} holds it: start the controller that owns it, or remove it"
    if node and now > (deleted_at(found) or now):
        gone = f"kubectl delete node {node}"
        return (
            f"{text}; node {node} has not confirmed that its process is over: repair the node, or {gone} if it is lost"
        )
    return text
