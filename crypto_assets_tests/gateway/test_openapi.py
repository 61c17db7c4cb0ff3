"""The gateway keeps its OpenAPI document whatever is sent to it: schemathesis makes the requests, with all its checks."""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi import checks

from crypto_assets.gateway.app import build
from crypto_assets.settings import Settings
from crypto_assets_tests.gateway.conftest import Running

ROUTES = [
    "/healthz", "/metrics", "/readyz", "/v1/catalog", "/v1/features/historical", "/v1/features/latest",
    "/v1/narratives/digest", "/v1/signals/latest", "/v1/status", "/v1/tables/{table}", "/v1/tables/{table}/rows",
]  # fmt: skip
# What a document of OpenAPI cannot say of one argument, because it depends on another one or on what is stored.
DEPENDS = {
    "wrong-request": r"is after end|not in [a-z_]+( \(did you mean [^)]*\))?; it has|leave symbols out|is in the future",
    "no-such-version": r"the table has no such version",
    "wrong-cursor": r"page_token",
}


def positive_data_acceptance(context: CheckContext, response: Any, case: schemathesis.Case) -> bool | None:
    """Hold right arguments to be accepted, but for :data:`DEPENDS`."""
    try:
        return checks.positive_data_acceptance(context, response, case)
    except Failure:
        said = response.json()
        kind = said["type"].rsplit(":", 1)[-1]
        if case.path.endswith("/rows") and re.search(DEPENDS.get(kind, "^$"), said["detail"]):
            return None
        raise


def negative_data_rejection(context: CheckContext, response: Any, case: schemathesis.Case) -> bool | None:
    """Hold wrong arguments to be refused; one without a value is not given, whatever its schema asks of a value."""
    try:
        return checks.negative_data_rejection(context, response, case)
    except Failure:
        if any(value == "" for value in (case.query or {}).values()):
            return None
        raise


CHECKS = [
    not_a_server_error, checks.status_code_conformance, checks.content_type_conformance, checks.response_headers_conformance,
    checks.response_schema_conformance, negative_data_rejection, positive_data_acceptance,
    checks.missing_required_header, checks.unsupported_method, checks.ignored_auth, checks.use_after_free,
    checks.ensure_resource_availability,
]  # fmt: skip


# Building the application connects to nothing: neither the folder nor the database is there.
schema = schemathesis.openapi.from_dict(build(Settings.from_env({}), "postgresql+psycopg2://127.0.0.1/none").openapi())


def test_the_document_lists_every_route(gateway: Running) -> None:
    with gateway.client() as client:
        assert sorted(client.get("/openapi.json").json()["paths"]) == ROUTES


@schema.parametrize()
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_describes(case: schemathesis.Case, gateway: Running) -> None:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    # The status is measured for seconds when it is asked for first.
    case.call_and_validate(base_url=gateway.address, headers=headers, timeout=120, checks=CHECKS)


def test_everything_in_the_document_says_what_it_is(gateway: Running) -> None:
    """Each parameter, field and answer has a description; each parameter an example or a list of its values."""
    with gateway.client() as client:
        document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"] and all(one["description"] for one in operation["responses"].values()), path
            for one in operation.get("parameters", ()):
                assert one["description"], (path, one["name"])
                # What these two name is there in one installation only.
                assert "example" in one or one["name"] in ("as_of", "page_token"), (path, one["name"])
            assert ("security" in operation) == (path not in ("/healthz", "/readyz")), path
    for name, one in document["components"]["schemas"].items():
        assert one["description"], name
        for field, said in one.get("properties", {}).items():
            assert said.get("description"), (name, field)
