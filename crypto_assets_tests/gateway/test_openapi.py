"""The gateway keeps its OpenAPI document whatever is sent to it: schemathesis makes the requests."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from crypto_assets_tests.gateway.conftest import Running

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    negative_data_rejection, unsupported_method,
]  # fmt: skip
ROUTES = [
    "/healthz", "/metrics", "/readyz", "/v1/catalog", "/v1/features/historical", "/v1/features/latest",
    "/v1/narratives/digest", "/v1/signals/latest", "/v1/status", "/v1/tables/{table}", "/v1/tables/{table}/rows",
]  # fmt: skip


@pytest.fixture(scope="module")
def api(gateway: Running) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{gateway.address}/openapi.json")


def test_the_document_lists_every_route(gateway: Running) -> None:
    with gateway.client() as client:
        assert sorted(client.get("/openapi.json").json()["paths"]) == ROUTES


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("path", [path for path in ROUTES if path != "/v1/status"])  # which is measured for seconds
def test_every_answer_is_one_that_the_document_describes(
    api: schemathesis.BaseSchema, gateway: Running, path: str, mode: GenerationMode
) -> None:
    operation = api[path]["post" if path.endswith("historical") else "get"]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
        pytest.skip("the route takes nothing that could be wrong")

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def attack(case: schemathesis.Case) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {gateway.token}"}, checks=CHECKS)

    attack()
