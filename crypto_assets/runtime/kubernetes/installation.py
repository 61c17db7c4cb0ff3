"""Which installation a Job belongs to: several may share a namespace, each with a database of its own.

The id is that of the database itself (the server's identifier, and the database in it), so nothing has to be configured
or stored. A standby that takes over keeps it; a copy of the database, restored elsewhere, is another installation.
"""

from __future__ import annotations

import hashlib
import logging

from dagster import DagsterInstance
from dagster_postgres import PostgresRunStorage
from sqlalchemy import exc, text

IDENTITY = text(
    "SELECT system_identifier, oid, datname FROM pg_control_system(), pg_database WHERE datname = current_database()"
)
log = logging.getLogger(__name__)


def installation_id(instance: DagsterInstance) -> str | None:
    """Find the id of an installation.

    Args:
        instance: has the database.

    Returns:
        12 hexadecimal digits, a valid label; None where the database does not tell (it is no Postgres, or its user may
        not ask). Then only the runs that the database knows tell what belongs to it.
    """
    storage = instance.run_storage
    if not isinstance(storage, PostgresRunStorage):
        return None
    try:
        with storage.connect() as connection:
            found = connection.execute(IDENTITY).one()
    except exc.ProgrammingError as error:
        log.warning("Jobs get no label of their installation: the database does not tell its id (%s)", error.orig)
        return None
    return hashlib.sha256("/".join(map(str, found)).encode()).hexdigest()[:12]
