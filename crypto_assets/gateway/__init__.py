"""The HTTP gateway: tables, features and status for programs that cannot read the warehouse's files.

Belongs here: routes, formats, pages, tokens and their limits. Reading itself is in ``store/`` and ``storage/``. No Dagster.
"""
