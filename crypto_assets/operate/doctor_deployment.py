"""The doctor's findings about a deployment: a round trip to the object store, and our objects in the cluster."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone

from crypto_assets.errors import WarehouseError
from crypto_assets.settings import Settings


def object_store(settings: Settings) -> str:
    """Write, read and delete a small object beside the tables.

    Args:
        settings: the warehouse.

    Returns:
        One sentence.

    Raises:
        WarehouseError: one of the three fails.
    """
    from crypto_assets.storage.files import table_files
    from crypto_assets.storage.object_store import reason
    from crypto_assets.storage.warehouse import Warehouse

    name, words = f"doctor-{secrets.token_hex(8)}", b"may be deleted"
    try:
        place = table_files(Warehouse(settings.warehouse), "_doctor")
        with place.open_output_stream(name) as opened:
            opened.write(words)
        with place.open_input_stream(name) as opened:
            same = opened.read() == words
        place.delete_file(name)
    except OSError as error:
        raise WarehouseError(
            f"{settings.warehouse} cannot be written, read and cleared ({reason(error)}); check the bucket's name, "
            "AWS_ENDPOINT_URL, and what the key may do there"
        ) from error
    if not same:
        raise WarehouseError(f"{settings.warehouse} gave back other bytes than were written; do not use this store")
    return f"{settings.warehouse} can be written, read and cleared"


def kubernetes(settings: Settings) -> tuple[bool, str]:
    """Examine the cluster.

    Args:
        settings: the namespace.

    Returns:
        (whether nothing is stuck, one sentence).

    Raises:
        InstanceError: the API does not serve us.
    """
    from crypto_assets.runtime.kubernetes import sweep
    from crypto_assets.runtime.kubernetes.api import Cluster, labels

    assert settings.kube_namespace is not None
    api = Cluster(settings.kube_namespace, settings.kube_selector)
    jobs, pods = api.jobs(), api.pods()
    every = {labels(one)[sweep.RUN_LABEL]: sweep.Run(None) for one in [*jobs, *pods] if sweep.RUN_LABEL in labels(one)}
    events = api.refusals() if sweep.needs_events(jobs, pods) else []
    found = sweep.plan(jobs, pods, every, datetime.now(timezone.utc), events=events)
    text = f"namespace {settings.kube_namespace}: {found.seen['jobs']} Job(s) and {found.seen['pods']} pod(s) of ours"
    if found.lasting:
        text += f", {len(found.lasting)} ending for too long, e.g. {found.ending[found.lasting[0]]}"
    if not found.stuck:
        return not found.lasting, f"{text}, none stuck"
    example = next(iter(found.examples.values()))
    return False, f"{text}, {found.stuck} stuck, e.g. {example}"
