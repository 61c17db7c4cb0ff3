"""The manifests are valid for five Kubernetes versions and hold the house rules: no secret, no latest, nothing privileged."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from kubernetes_validate import utils

from crypto_assets.settings import KUBE_SELECTOR, Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
KUSTOMIZE = DEPLOY / "kustomize"
OVERLAYS = [
    "overlays/external", "overlays/one-cluster", "overlays/gpu", "overlays/serving", "helm-companion",
    "helm-companion-serving",
]  # fmt: skip
VERSIONS = sorted({utils.major_minor(v) for v in utils.all_versions()}, key=lambda v: tuple(map(int, v.split("."))))[
    -5:
]
Document = dict[str, Any]

if not DEPLOY.is_dir():
    pytest.skip("an installed package has no deploy folder", allow_module_level=True)


@cache
def rendered(overlay: str) -> tuple[Document, ...]:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl to render the overlays with")
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUSTOMIZE / overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


@cache
def written() -> tuple[Document, ...]:
    """Every manifest as it is in the repository."""
    paths = [
        p
        for p in sorted(KUSTOMIZE.rglob("*.yaml"))
        if p.name not in ("kustomization.yaml", "dagster.yaml", "workspace.yaml")
    ]
    return tuple(d for path in paths for d in yaml.safe_load_all(path.read_text(encoding="utf-8")))


def pod_specs(documents: tuple[Document, ...]) -> Iterator[tuple[str, Document]]:
    for document in documents:
        template = document.get("spec", {}).get("template")
        if template:
            yield document["metadata"]["name"], template["spec"]


def containers(documents: tuple[Document, ...]) -> Iterator[tuple[str, Document]]:
    for name, spec in pod_specs(documents):
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            yield f"{name}/{container['name']}", container


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strictly: a field that the version does not know is an error."""
    monkeypatch.setattr(utils, "schema_contents", lru_cache(maxsize=None)(utils.schema_contents))
    documents = (
        written()
        if shutil.which("kubectl") is None
        else (*rendered("overlays/gpu"), *rendered("overlays/external"), *rendered("overlays/serving"))
    )
    assert len(documents) > 30
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_validator_does_refuse() -> None:
    broken = yaml.safe_load(yaml.safe_dump(written()[0])) | {"nonsense": 1}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_whole(overlay: str) -> None:
    """One namespace, and whatever a pod names is there: accounts, config maps, claims. The Secret is the user's."""
    documents = rendered(overlay)
    assert {d["metadata"].get("namespace") for d in documents} == {"crypto-assets"}
    names = {(d["kind"], d["metadata"]["name"]) for d in documents}
    assert len(names) == len(documents)
    for _, spec in pod_specs(documents):
        assert ("ServiceAccount", spec.get("serviceAccountName", "")) in names | {("ServiceAccount", "")}
        for volume in spec.get("volumes", ()):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
    for _, container in containers(documents):
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                assert ("ConfigMap", source["configMapRef"]["name"]) in names


def test_no_secret_anywhere() -> None:
    assert "Secret" not in {d["kind"] for d in written()}
    for name, container in containers(written()):
        for entry in container.get("env", ()):
            if any(word in entry["name"] for word in ("PASSWORD", "KEY", "TOKEN", "SECRET", "POSTGRES_URL")):
                assert "value" not in entry, f"{name}: {entry['name']} must come from a Secret"
    settings = (KUSTOMIZE / "base" / "settings.env").read_text(encoding="utf-8")
    assert not any(word in settings for word in ("PASSWORD", "API_KEY", "SECRET", "POSTGRES_URL", "WEBHOOK"))
    every = [p for p in DEPLOY.rglob("*") if p.is_file() and p.parent.name != "__pycache__"]  # of a script that ran
    assert not [
        p for p in every if ("://" in (t := p.read_text(encoding="utf-8")) and ":hunter" in t) or p.name == ".env"
    ]
    assert [p.name for p in KUSTOMIZE.rglob("*.env")] == ["settings.env"], "one for the manifests and the chart"


def images() -> list[str]:
    found = [
        c["image"] for _, c in containers(written()) if c["image"] != "crypto-assets"
    ]  # which kustomization.yaml pins
    base = yaml.safe_load((KUSTOMIZE / "base" / "kustomization.yaml").read_text(encoding="utf-8"))
    found += [f"{image['newName']}:{image['newTag']}" for image in base["images"]]
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    found += [service["image"] for service in compose["services"].values()]
    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text(encoding="utf-8"))
    found += ["{repository}:{tag}".format(**values["dagsterWebserver"]["image"])]
    docker = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    return found + [line.split("=", 1)[1] for line in docker.splitlines() if line.startswith("ARG PYTHON=")]


def test_every_image_has_a_version_and_is_pulled_when_absent() -> None:
    assert len(images()) > 8
    for image in images():
        tag = image.rsplit("/", 1)[-1].partition(":")[2]
        assert "@sha256:" in image or (tag and tag != "latest"), image
    assert {c.get("imagePullPolicy") for _, c in containers(written())} == {"IfNotPresent"}
    launcher = instance()["run_launcher"]["config"]
    assert launcher["image_pull_policy"] == "IfNotPresent"
    settings = (KUSTOMIZE / "base" / "settings.env").read_text(encoding="utf-8")
    image = next(i for i in images() if "crypto-assets" in i)
    assert f"CRYPTO_ASSETS_IMAGE={image}\n" in settings, "runs use the image of the deployments"


def test_nothing_is_privileged() -> None:
    for name, spec in pod_specs(written()):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        context = spec["securityContext"]
        assert (context["runAsNonRoot"], context["seccompProfile"]["type"]) == (True, "RuntimeDefault")
        assert context["runAsUser"] > 0
        assert not [v for v in spec.get("volumes", ()) if "hostPath" in v], name
    for name, container in containers(written()):
        context = container["securityContext"]
        assert context == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
    runs = instance()["run_launcher"]["config"]["run_k8s_config"]
    assert runs["container_config"]["security_context"]["read_only_root_filesystem"] is True
    assert runs["container_config"]["security_context"]["allow_privilege_escalation"] is False
    assert runs["pod_spec_config"]["security_context"]["run_as_non_root"] is True
    docker = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert docker.count("\nFROM ") == 2
    assert "\nUSER 10001:10001\n" in docker
    assert "\nHEALTHCHECK " in docker


def test_every_container_asks_for_resources_and_has_probes() -> None:
    for name, container in containers(written()):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys(), name
        assert "memory" in resources["limits"], name
        if "migrate" not in name:
            assert {"livenessProbe", "readinessProbe"} <= container.keys(), name


def test_liveness_asks_the_process_only() -> None:
    """Not the database, a provider or the model: a slow model must not kill a pod. Readiness says what is missing."""
    for name, container in containers(written()):
        alive = str(container.get("livenessProbe", ""))
        assert not any(
            word in alive for word in ("ready", "doctor", "liveness-check", "graphql", "postgresql", "11434")
        ), name
        if "gateway" in name:  # it has no Dagster to ask for, and says at /readyz what is missing
            assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
            assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
        elif container["image"] == "crypto-assets" and "migrate" not in name:
            assert container["readinessProbe"]["exec"]["command"][:2] == ["crypto-assets", "ready"], name


def test_every_service_has_a_budget_and_a_policy() -> None:
    named = {d["metadata"]["name"] for d in written() if d["kind"] == "PodDisruptionBudget"}
    assert {d["metadata"]["name"] for d in written() if d["kind"] in ("Deployment", "StatefulSet")} == named
    policies = [d for d in written() if d["kind"] == "NetworkPolicy"]
    deny = next(d for d in policies if d["metadata"]["name"] == "crypto-assets-default-deny")["spec"]
    key, _, value = KUBE_SELECTOR.partition("=")
    assert deny == {"podSelector": {"matchLabels": {key: value}}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("overlay", ["overlays/serving", "helm-companion-serving"])
def test_a_gateway_has_the_image_of_the_platform(overlay: str) -> None:
    found = {name: container["image"] for name, container in containers(rendered(overlay))}
    assert found["crypto-assets-gateway/gateway"] == found["crypto-assets-migrate/migrate"] != "crypto-assets"


def test_a_gateway_has_its_own_secret_and_reaches_only_what_it_reads() -> None:
    """Not the platform's: with its database user a token would not be the only thing that bounds what is read."""
    documents = {(d["kind"], d["metadata"]["name"]): d for d in rendered("overlays/serving")}
    pod = documents["Deployment", "crypto-assets-gateway"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    sources = pod["containers"][0]["envFrom"]
    assert [source["secretRef"]["name"] for source in sources if "secretRef" in source] == ["crypto-assets-gateway"]
    others = [spec for name, spec in pod_specs(rendered("overlays/serving")) if name != "crypto-assets-gateway"]
    assert "crypto-assets-gateway" not in str(others)
    policy = documents["NetworkPolicy", "crypto-assets-gateway"]["spec"]
    assert policy["ingress"][0]["from"] == [
        {"namespaceSelector": {"matchLabels": {"crypto-assets/gateway": "allowed"}}}
    ]
    assert [port["port"] for port in policy["egress"][0]["ports"]] == [5432, 443, 9000]
    scaled = documents["HorizontalPodAutoscaler", "crypto-assets-gateway"]["spec"]
    assert scaled["minReplicas"] >= 2 and "replicas" not in documents["Deployment", "crypto-assets-gateway"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == "crypto-assets-gateway"


def instance() -> Document:
    return dict(yaml.safe_load((KUSTOMIZE / "base" / "dagster.yaml").read_text(encoding="utf-8")))


def test_jobs_end_and_go() -> None:
    spec = instance()["run_launcher"]["config"]["run_k8s_config"]["job_spec_config"]
    assert (spec["ttl_seconds_after_finished"], spec["active_deadline_seconds"], spec["backoff_limit"]) == (
        3600,
        21600,
        0,
    )
    assert instance()["run_launcher"]["config"]["fail_pod_on_run_failure"] is True
    assert instance()["run_monitoring"]["enabled"] is True
    key, _, value = KUBE_SELECTOR.partition("=")
    assert instance()["run_launcher"]["config"]["labels"] == {key: value}, "the janitor finds them"


def test_roles_grant_no_more_than_jobs_and_pods_of_one_namespace() -> None:
    assert not {"ClusterRole", "ClusterRoleBinding"} & {d["kind"] for d in written()}
    for role in (d for d in written() if d["kind"] == "Role"):
        for rule in role["rules"]:
            assert set(rule["resources"]) <= {"jobs", "jobs/status", "pods", "pods/log", "events"}
            assert "*" not in rule["verbs"]


def test_the_settings_are_settings() -> None:
    lines = (KUSTOMIZE / "base" / "settings.env").read_text(encoding="utf-8").split()
    env = dict(line.split("=", 1) for line in lines)
    assert Settings.from_env(env).kube_namespace == env["CRYPTO_ASSETS_KUBE_NAMESPACE"] == "crypto-assets"


def test_the_chart_has_no_instance_settings_of_its_own() -> None:
    """Its pods mount the ConfigMap of the plain manifests (test_helm.py renders them)."""
    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text(encoding="utf-8"))
    assert not {"runLauncher", "concurrency", "retention", "additionalInstanceConfig"} & values.keys()
    assert not {"runCoordinator", "runMonitoring", "runRetries"} & values["dagsterDaemon"].keys()
    companion, plain = rendered("helm-companion"), rendered("overlays/external")
    of_the_chart = {(d["kind"], d["metadata"]["name"]) for d in plain if d["kind"] == "Deployment"}
    of_the_chart.add(("Service", "crypto-assets-code"))
    assert [d for d in plain if (d["kind"], d["metadata"]["name"]) not in of_the_chart] == list(companion)
    assert values["postgresql"] == {"enabled": False}


def test_the_compose_file_is_one_and_holds_the_rules() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8")
    merged = yaml.safe_dump(yaml.safe_load(text))  # the reader knows the specification, not YAML's merge keys
    assert PyCompose.from_yaml(merged).name == "crypto-assets"
    with pytest.raises(ValueError, match="nonsense"):
        PyCompose.from_yaml(merged + "nonsense: 1\n")
    services = yaml.safe_load(text)["services"]
    assert {"postgres", "migrate", "code", "webserver", "daemon", "ollama", "metrics", "gateway", "proxy"} == set(
        services
    )
    gateway = services["gateway"]
    assert gateway["profiles"] == ["gateway"] and gateway["ports"] == ["127.0.0.1:8000:8000"]
    assert not {"COINGECKO_API_KEY", "POSTGRES_PASSWORD"} & set(gateway["environment"]), "it reads, and no more"
    assert "POSTGRES_PASSWORD" not in str(gateway) and all(volume.endswith(":ro") for volume in gateway["volumes"])
    assert services["metrics"]["profiles"] == ["metrics"], "only where somebody scrapes"
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "privileged" not in service
        for dependency in service.get("depends_on", {}):
            assert dependency in services
        for volume in service.get("volumes", ()):
            if isinstance(
                volume, dict
            ):  # the user's own file: without it nothing may start, nor a folder be made for it
                assert volume["bind"]["create_host_path"] is False
                continue
            source = volume.split(":")[0]
            assert source in yaml.safe_load(text)["volumes"] or (DEPLOY / "compose" / source).resolve().is_file(), (
                volume
            )
    assert services["webserver"]["ports"] == ["127.0.0.1:3000:3000"]
    assert "${POSTGRES_PASSWORD:?" in text
