"""Importing the libraries once for many forks: each takes seconds to import, and no test changes them."""

from __future__ import annotations

import gc
from importlib import import_module

OF_THE_PACKAGE = (
    "alembic.context", "dagster", "dagster_postgres", "deltalake", "duckdb", "httpx", "matplotlib.figure", "pandas", "polars",
    "psycopg2", "pyarrow.fs", "pydantic", "rich.console", "sqlalchemy", "starlette.routing", "uvicorn",
)  # fmt: skip
OF_ITS_TESTS = ("hypothesis", "moto.server", "schemathesis.pytest.plugin", "werkzeug.serving", "xdist.scheduler")


def load(*names: str) -> None:
    for name in names:
        import_module(name)
    gc.freeze()  # else each fork looks through all of it as it ends, which takes a second
