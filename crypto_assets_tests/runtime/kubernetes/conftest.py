"""A double with the rights of the manifests, and Jobs as dagster-k8s and others make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crypto_assets_tests.runtime.kubernetes.double import Cluster
from crypto_assets_tests.runtime.kubernetes.production import IMAGE, NAMESPACE, rights


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """An empty namespace; this process is the code location's service account."""
    folder = tmp_path / "node"
    folder.mkdir()
    with Cluster(folder, NAMESPACE, rights(), {IMAGE}) as made:
        monkeypatch.setenv("KUBECONFIG", str(made.node.kubeconfigs["crypto-assets-code"]))
        monkeypatch.setenv("CRYPTO_ASSETS_KUBE_NAMESPACE", NAMESPACE)
        yield made


JobMaker = Callable[..., dict[str, Any]]


@pytest.fixture
def submit(cluster: Cluster) -> JobMaker:
    """Puts a Job into the double as the server would take it: ``submit(name, run_id, args=…, container=…, pod=…, ours=…)``."""

    def make(name: str, run_id: str, *args: str, ours: bool = True, **spec: Any) -> dict[str, Any]:
        labels = {"dagster/run-id": run_id, "app.kubernetes.io/component": "run_worker"}
        if ours:
            labels["crypto-assets/owner"] = "crypto-assets"
        container = {
            "name": "dagster",
            "image": IMAGE,
            "args": list(args or ("sleep", "60")),
            **spec.pop("container", {}),
        }
        body = {
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"restartPolicy": "Never", "containers": [container], **spec.pop("pod", {})},
                },
                **spec,
            },
        }
        return cluster.create("jobs", NAMESPACE, body)

    return make
