"""What a process of a deployment is missing, in words.

Readiness probes ask this, so it must be quick and change nothing.
"""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from crypto_assets.settings import Settings
from crypto_assets.storage.object_store import options

PATIENCE_S = 3


def missing(settings: Settings, code: tuple[str, int] | None = None) -> list[str]:
    """Find what cannot be reached.

    Args:
        settings: the database and the warehouse.
        code: host and port of the code location, if the process needs one.

    Returns:
        One clause per missing thing; empty if nothing is missing.
    """
    found = [_postgres(settings), _warehouse(settings.warehouse)]
    if code is not None:
        found.append(_reach("the code location", *code))
    return [clause for clause in found if clause is not None]


def _postgres(settings: Settings) -> str | None:
    if settings.postgres_url is None:
        return "DAGSTER_POSTGRES_URL is not set (Secret crypto-assets, key DAGSTER_POSTGRES_URL)"
    address = settings.postgres_url.get_secret_value().replace("+psycopg2", "")
    try:
        connection = psycopg2.connect(address, connect_timeout=PATIENCE_S)
    except (psycopg2.Error, ValueError) as error:
        reason = str(error).strip().splitlines() or ["no reason given"]
        password = urlsplit(address).password or "\0"
        return f"Postgres does not answer ({reason[0].replace(password, '…')[:160]})"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('public.runs')")
            row = cursor.fetchone()
    finally:
        connection.close()
    return (
        None if row and row[0] else "Postgres has no tables of Dagster yet (the Job crypto-assets-migrate makes them)"
    )


def _warehouse(uri: str) -> str | None:
    if "://" not in uri:
        # The first write makes a folder that does not exist, if its parent exists.
        there = Path(uri).exists() or Path(uri).parent.exists()
        return None if there else f"the warehouse folder {uri} is not there (is its volume mounted?)"
    endpoint = urlsplit(options(uri).get("aws_endpoint_url", "https://s3.amazonaws.com"))
    port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    return _reach("the object store", endpoint.hostname or "", port)


def _reach(what: str, host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=PATIENCE_S).close()
    except OSError as error:
        return f"{what} at {host}:{port} cannot be reached ({error.strerror or error})"
    return None
