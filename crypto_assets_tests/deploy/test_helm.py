"""The official chart with ``deploy/helm/values.yaml``: what it renders, and the Job that a launch makes from it.

The chart and the Helm binary are not part of this repository. Two environment variables name them:
``CRYPTO_ASSETS_HELM`` (the binary) and ``CRYPTO_ASSETS_CHARTS`` (folders of the unpacked chart in one or more versions,
separated like PATH). Without them these tests skip.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster import DagsterInstance
from jsonschema import Draft7Validator
from kubernetes_validate import utils
from referencing import Registry
from referencing.jsonschema import DRAFT7

from crypto_assets.settings import KUBE_SELECTOR
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests import scenario
from crypto_assets_tests.deploy.pods import Document, refused, without_nulls
from crypto_assets_tests.deploy.test_manifests import DEPLOY, VERSIONS, pod_specs, rendered
from crypto_assets_tests.platform import Platform
from crypto_assets_tests.runtime.kubernetes import production
from crypto_assets_tests.runtime.kubernetes.objects import wait_for

HELM, CHARTS = os.environ.get("CRYPTO_ASSETS_HELM"), os.environ.get("CRYPTO_ASSETS_CHARTS", "").split(os.pathsep)
CODE = "dagster-user-deployments"
CONTEXTS = (
    "DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT",
    "DAGSTER_CONTAINER_CONTEXT",
)  # what a code location gives its runs
SOON_S = 300

pytestmark = [
    pytest.mark.skipif(
        not HELM or not CHARTS[0],
        reason="no chart (set CRYPTO_ASSETS_HELM to the binary, CRYPTO_ASSETS_CHARTS to charts)",
    ),
    pytest.mark.parametrize("chart", CHARTS, ids=[f"chart{number}" for number in range(len(CHARTS))]),
]


@cache
def documents(chart: str) -> tuple[Document, ...]:
    """What Helm renders; the values' schema is checked below, because Helm would fetch parts of it from the Internet."""
    values = str(DEPLOY / "helm" / "values.yaml")
    command = [str(HELM), "template", "dagster", chart, "--namespace", "crypto-assets", "--skip-schema-validation"]
    done = subprocess.run([*command, "--values", values], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(without_nulls(document) for document in yaml.safe_load_all(done.stdout) if document)


def of_kind(kind: str, found: tuple[Document, ...]) -> dict[str, Document]:
    return {document["metadata"]["name"]: document for document in found if document["kind"] == kind}


def environment(container: Document) -> dict[str, Any]:
    """The variables that a container has itself; these count before those of its ConfigMaps."""
    return {entry["name"]: entry.get("value") for entry in container.get("env", ())}


def merged(default: Any, ours: Any) -> Any:
    """Values as Helm puts them together: ours count, and null takes a default away."""
    if not (isinstance(default, dict) and isinstance(ours, dict)):
        return copy.deepcopy(ours)
    names = [name for name in {**default, **ours} if not (name in ours and ours[name] is None)]
    return {name: merged(default.get(name), ours[name]) if name in ours else default[name] for name in names}


def values(chart: str) -> tuple[Document, Document]:
    """The chart's own values with those of its sub-chart in their place, and ours."""
    own = yaml.safe_load(Path(chart, "values.yaml").read_text(encoding="utf-8"))
    below = yaml.safe_load(Path(chart, "charts", CODE, "values.yaml").read_text(encoding="utf-8"))
    own[CODE] = merged(below, own[CODE])
    return own, yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text(encoding="utf-8"))


def test_the_values_are_values_of_the_chart(chart: str) -> None:
    own, ours = values(chart)
    assert not ours.keys() - own.keys(), "the chart ignores a key that it does not know"
    for key in ("global", "serviceAccount", "dagsterWebserver", "dagsterDaemon", CODE):
        assert not ours[key].keys() - own[key].keys(), key
    version = VERSIONS[-1] + ".0"
    shared = utils.schema_contents(f"kubernetes-json-schema/v{version}-local/_definitions.json", version)
    found = DRAFT7.create_resource({"definitions": shared["$defs"], "$defs": shared["$defs"]})
    registry: Registry[Any] = Registry(retrieve=lambda _: found)  # type: ignore[call-arg]
    both = merged(own, ours)
    for part, folder in ((both, Path(chart)), (both[CODE] | {"global": both["global"]}, Path(chart, "charts", CODE))):
        schema = json.loads((folder / "values.schema.json").read_text(encoding="utf-8"))
        errors = list(Draft7Validator(schema, registry=registry).iter_errors(part))
        assert not errors, [f"{error.json_path}: {error.message[:200]}" for error in errors]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_renders_is_valid(chart: str, version: str) -> None:
    assert len(of_kind("Deployment", documents(chart))) == 3
    for document in documents(chart):
        kubernetes_validate.validate(document, version, strict=True)


def test_a_server_and_the_restricted_pod_standard_accept_every_pod(chart: str) -> None:
    assert {name: refused(spec) for name, spec in pod_specs(documents(chart))} == {
        name: [] for name, _ in pod_specs(documents(chart))
    }


def test_every_pod_has_the_instance_of_the_plain_manifests(chart: str) -> None:
    companion = of_kind("ConfigMap", rendered("helm-companion"))["crypto-assets-instance"]["data"]
    assert companion == of_kind("ConfigMap", rendered("overlays/external"))["crypto-assets-instance"]["data"]
    for name, spec in pod_specs(documents(chart)):
        container, volumes = spec["containers"][0], {v["name"]: v for v in spec["volumes"]}
        home = environment(container)["DAGSTER_HOME"]
        at = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        mount = at[f"{home}/dagster.yaml"]
        assert mount["subPath"] == "dagster.yaml", name
        assert volumes[mount["name"]]["configMap"]["name"] == "crypto-assets-instance", name
        if "/dagster-workspace/" in at:
            workspace = volumes[at["/dagster-workspace/"]["name"]]["configMap"]["name"]
            assert workspace == "crypto-assets-instance", name
    service = yaml.safe_load(companion["workspace.yaml"])["load_from"][0]["grpc_server"]
    assert of_kind("Service", documents(chart))[service["host"]]["spec"]["ports"][0]["port"] == service["port"]
    code = next(c for _, spec in pod_specs(documents(chart)) for c in spec["containers"] if "args" in c)
    assert code["args"][-2:] == ["--location-name", service["location_name"]]


def test_the_companion_has_what_the_chart_names(chart: str) -> None:
    """Accounts with their rights, settings, budgets and policies; neither way makes an object that the other makes too."""
    companion, chart_made = rendered("helm-companion"), documents(chart)
    both = [(d["kind"], d["metadata"]["name"]) for d in (*companion, *chart_made)]
    assert len(set(both)) == len(both)
    assert not {"Role", "RoleBinding", "ServiceAccount", "Secret", "Job"} & {d["kind"] for d in chart_made}
    for name, spec in pod_specs(chart_made):
        assert ("ServiceAccount", spec["serviceAccountName"]) in both, name
        for container in spec["containers"]:
            sources = [s["configMapRef"]["name"] for s in container["envFrom"] if "configMapRef" in s]
            assert {("ConfigMap", source) for source in sources} <= set(both), name
            assert {"secretRef": {"name": "crypto-assets"}} in container["envFrom"], name
    labels = [d["spec"]["template"]["metadata"]["labels"] for d in of_kind("Deployment", chart_made).values()]
    key, _, owner = KUBE_SELECTOR.partition("=")
    assert {label[key] for label in labels} == {owner}, "policies and the janitor select by it"
    budgets = of_kind("PodDisruptionBudget", companion).values()
    wanted = [budget["spec"]["selector"]["matchLabels"] for budget in budgets]
    assert sorted(str(label) for label in wanted) == sorted(
        str({"app.kubernetes.io/component": label["app.kubernetes.io/component"]}) for label in labels
    )


def test_a_launched_run_succeeds(
    chart: str,
    platform: Platform,
    new_instance: Callable[[], DagsterInstance],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Code location, daemon and webserver on the rendered settings: the run's Job is accepted, and its rows are there."""
    companion = rendered("helm-companion")
    (tmp_path / "kustomize" / "base").mkdir(parents=True)
    (tmp_path / "kustomize" / "rbac").mkdir()
    config = of_kind("ConfigMap", companion)["crypto-assets-instance"]["data"]["dagster.yaml"]
    (tmp_path / "kustomize" / "base" / "dagster.yaml").write_text(config, encoding="utf-8")
    accounts = [d for d in companion if d["kind"] in ("Role", "RoleBinding", "ServiceAccount")]
    (tmp_path / "kustomize" / "rbac" / "rbac.yaml").write_text(yaml.safe_dump_all(accounts), encoding="utf-8")
    monkeypatch.setattr(production, "BASE", tmp_path / "kustomize" / "base")

    code = environment(next(c for _, spec in pod_specs(documents(chart)) for c in spec["containers"] if "args" in c))
    new_instance()  # a database of its own; the fixture has put its address into the environment
    env = {
        **platform.env,
        **{name: code[name] for name in CONTEXTS if name in code},
        "DAGSTER_POSTGRES_URL": os.environ["DAGSTER_POSTGRES_URL"],
        "CRYPTO_ASSETS_WAREHOUSE": str(tmp_path / "tables"),
        "CRYPTO_ASSETS_START": str(scenario.START),
    }
    for name in (*env, "KUBECONFIG", "CRYPTO_ASSETS_KUBE_NAMESPACE", "CRYPTO_ASSETS_IMAGE"):
        monkeypatch.setenv(name, env.get(name, ""))  # put back afterwards
    with production.open_production(tmp_path / "production", env, start_s=120) as made:
        made.start()
        run_id = made.launch(["market_sentiment"], "2021-03-01", "2021-03-02")
        wait_for(lambda: made.status(run_id) in ("SUCCESS", "FAILURE"), SOON_S, 0.5)
        assert made.status(run_id) == "SUCCESS", made.failure(run_id) + made.logs()[-4000:]
        job = next(j for j in made.cluster.jobs() if j["metadata"]["labels"].get("dagster/run-id") == run_id)
        sent = {"apiVersion": "batch/v1", "kind": "Job", **without_nulls(job)}
        for version in VERSIONS:
            kubernetes_validate.validate(sent, version, strict=True)
        spec = sent["spec"]["template"]["spec"]
        assert refused(spec) == []
        assert spec["serviceAccountName"] == "crypto-assets-run"
        container = spec["containers"][0]
        assert container["resources"]["requests"] == {"cpu": "250m", "memory": "768Mi"}, "a run's own, not the code's"
        assert [m["mountPath"] for m in container["volumeMounts"]].count("/tmp") == 1
        assert {"secretRef": {"name": "crypto-assets"}} in container["envFrom"], "with the address of Postgres"
        assert Warehouse(env["CRYPTO_ASSETS_WAREHOUSE"]).content_hash("market_sentiment")
