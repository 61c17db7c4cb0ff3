"""No step of docs/how-to was forgotten, else a sentence says which table or feature lacks what, and where to add it.

Other steps have their guards where they belong: specs in ``tables/test_registry.py``, assets in ``test_definitions.py``,
checks in ``checks/test_shells.py``, alerts in ``test_runbooks.py``, the dictionary in ``tables/test_dictionary.py``.
"""

from __future__ import annotations

import ast
import asyncio
import pkgutil
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
from starlette.routing import Match

from crypto_assets import sources
from crypto_assets.features import price as price_family
from crypto_assets.features import technical
from crypto_assets.features.all_features import FEATURES
from crypto_assets.models.config import KINDS
from crypto_assets.monitoring import watch
from crypto_assets.sandbox import derivatives, macro, network, others, prices, snapshots
from crypto_assets.sandbox.generator import Generator
from crypto_assets.sandbox.server import PREFIXES
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.registry import GROUPS, TABLES, provider_tables
from crypto_assets.tables.spec import DerivedFrom
from crypto_assets_tests.forgotten import nothing_forgotten
from crypto_assets_tests.models.test_training import KINDS as LEARNERS_TESTED
from crypto_assets_tests.sources.fault_providers import ROUTES, Route
from crypto_assets_tests.sources.faults import good_answer
from crypto_assets_tests.sources.wire_server import serve

TESTS = Path(__file__).parent
README = TESTS.parent / "README.md"
DOCTOR = TESTS.parent / "crypto_assets" / "operate" / "doctor.py"
BESIDE = {"developer_activity", "macro_indicators"}  # filled from the answer of another table's route
SHARED_ADDRESS = {"stablecoins_base_url", "yields_base_url"}  # hosts of DefiLlama, replaced with its address


@cache
def imported_below(folder: str) -> frozenset[str]:
    """The modules that the tests of a folder import, by full name. The list of faults imports each source and tests none."""
    found: set[str] = set()
    for path in (path for path in (TESTS / folder).rglob("*.py") if path.name != "fault_providers.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def modules_of(room: ModuleType) -> list[ModuleType]:
    return [import_module(f"{room.__name__}.{found.name}") for found in pkgutil.iter_modules(room.__path__)]


def asked_by(route: Route) -> set[str]:
    """The paths that the source asks for, from a server that gives the good answer."""

    async def fetched(settings: Settings) -> None:
        async with Client(max_attempts=1) as client:
            await route.fetch(client, settings)

    with serve(good_answer(route)) as server:
        asyncio.run(fetched(server.settings(**route.env)))
        return {request.path for request in server.requests}


def file_of(module: str) -> str:
    return module.replace(".", "/") + ".py"


def test_every_contract_has_a_spec() -> None:
    nothing_forgotten(
        f"{contract.table}: {file_of(group.__name__)} has its contract and no TableSpec; add one to SPECS of that file"
        for group in GROUPS
        for contract in vars(group).values()
        if isinstance(contract, Contract) and contract.table not in TABLES
    )


def test_every_transform_of_a_derived_table_has_a_test() -> None:
    modules = {
        table: spec.rows_from.transform.partition(":")[0]
        for table, spec in TABLES.items()
        if isinstance(spec.rows_from, DerivedFrom) and spec.rows_from.transform
    }
    nothing_forgotten(
        f"{table}: no test imports {file_of(module)}; write crypto_assets_tests/{module.split('.')[1]}/test_{table}.py"
        for table, module in modules.items()
        if module not in imported_below(module.split(".")[1])
    )


def test_every_table_of_a_provider_meets_every_fault() -> None:
    nothing_forgotten(
        f"{table}: a provider fills it, and no fault of the provider is tried; add a Route to ROUTES in "
        "crypto_assets_tests/sources/fault_providers.py"
        for table in provider_tables()
        if table not in {route.table for route in ROUTES} | BESIDE
    )


def test_the_sandbox_has_the_route_of_every_table() -> None:
    backend = Generator()
    served = [
        route for part in (prices, derivatives, macro, network, others, snapshots) for route in part.routes(backend)
    ]

    def is_served(path: str) -> bool:
        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        return any(route.matches(scope)[0] is Match.FULL for route in served)

    nothing_forgotten(
        f"{route.table}: the sandbox has no route for {path}; add it to crypto_assets/sandbox/others.py"
        for route in ROUTES
        for path in asked_by(route)
        if not is_served(path)
        and route.table not in ("news_articles", "social_posts")  # the addresses of feeds are the sandbox's own
    )


def test_every_source_has_a_test() -> None:
    nothing_forgotten(
        f"{module.NAME}: no test imports {file_of(module.__name__)}; write crypto_assets_tests/sources/test_{module.NAME}.py"
        for module in modules_of(sources)
        if hasattr(module, "NAME") and module.__name__ not in imported_below("sources")
    )


def test_every_address_is_served_examined_and_documented() -> None:
    addresses = [field.name for field in fields(Settings) if field.name.endswith("_base_url")]
    doctor, readme = DOCTOR.read_text(encoding="utf-8"), README.read_text(encoding="utf-8") if README.exists() else None
    forgotten = [
        f"{name}: nothing reads it; add the field {name.lower()} to crypto_assets/settings.py"
        for name in PREFIXES
        if name.lower() not in addresses
    ]
    for field in addresses:
        name = field.upper()
        if name not in PREFIXES and field not in SHARED_ADDRESS:
            forgotten.append(
                f"{name}: the sandbox does not serve it; add it to PREFIXES in crypto_assets/sandbox/server.py"
            )
        if f"settings.{field}" not in doctor and field not in SHARED_ADDRESS:
            forgotten.append(
                f"{name}: doctor does not ask whether it answers; add a request to crypto_assets/operate/doctor.py"
            )
        if readme is not None and f"`{name}`" not in readme and field not in SHARED_ADDRESS:
            forgotten.append(f"{name}: the table of variables does not have it; add it to README.md")
    nothing_forgotten(forgotten)


def test_every_watcher_of_the_alerts_has_a_test() -> None:
    nothing_forgotten(
        f"{module.__name__.rpartition('.')[2]}: no test imports {file_of(module.__name__)}; add one to "
        "crypto_assets_tests/monitoring/"
        for module in modules_of(watch)
        if module.__name__ not in imported_below("monitoring")
    )


def test_every_kind_of_model_has_its_tests_and_is_documented() -> None:
    page = (TESTS.parent / "docs" / "models.md").read_text(encoding="utf-8")
    contract = TABLES["trained_models"].contract.by_name["kind"].description
    nothing_forgotten(
        [
            f"{kind}: no test trains it; add it to KINDS in crypto_assets_tests/models/test_training.py"
            for kind in KINDS.keys() - LEARNERS_TESTED.keys()
        ]
        + [f"{kind}: docs/models.md does not name it; add it to the kinds there" for kind in KINDS if kind not in page]
        + [
            f"{kind}: the column kind of trained_models does not name it; add it in crypto_assets/tables/models.py"
            for kind in KINDS
            if kind not in contract
        ]
    )


def test_every_column_that_is_computed_is_defined() -> None:
    """A column without a definition would be computed and thrown away."""
    nothing = np.full((1, 800), np.nan)
    bars = dict.fromkeys(technical.BAR_COLUMNS, nothing)
    observed = dict.fromkeys((*price_family.PRICE_COLUMNS, price_family.END, price_family.BTC), nothing)
    with np.errstate(all="ignore"):
        families = {"technical": technical.technical_features(bars), "price": price_family.price_features(observed)}
    nothing_forgotten(
        f"{name}: crypto_assets/features/{family}.py computes it and nothing defines it; add its definition to "
        f"crypto_assets/features/{family}_columns.py"
        for family, computed in families.items()
        for name in computed.keys() - FEATURES.keys()
    )
