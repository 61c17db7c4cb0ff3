"""The double refuses and delays what the real server does: without this the tests beside it would show less than they say."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import kubernetes.client
import pytest
from kubernetes.client.exceptions import ApiException

from crypto_assets_tests.runtime.kubernetes.conftest import JobMaker
from crypto_assets_tests.runtime.kubernetes.double import Cluster
from crypto_assets_tests.runtime.kubernetes.objects import wait_for
from crypto_assets_tests.runtime.kubernetes.production import NAMESPACE


@pytest.fixture
def batch(cluster: Cluster) -> kubernetes.client.BatchV1Api:
    """The stock client as the daemon's service account."""
    found = kubernetes.client.Configuration()
    path = str(cluster.node.kubeconfigs["crypto-assets-daemon"])
    kubernetes.config.load_kube_config(path, client_configuration=found)
    found.retries = False
    return kubernetes.client.BatchV1Api(kubernetes.client.ApiClient(found))


def job(name: str = "j", **pod: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "registry.example/crypto-assets:0.1.0", "args": ["sleep", "60"]}
    spec = {"restartPolicy": "Never", "containers": [container], **pod}
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": spec}}}


def volume(name: str) -> dict[str, Any]:
    return {"name": name, "emptyDir": {}}


CONTAINER = job()["spec"]["template"]["spec"]["containers"][0]
LIMITED = {"requests": {"memory": "3Gi"}, "limits": {"memory": "2Gi"}}
BROKEN: list[tuple[dict[str, Any], int, str]] = [
    (job(volumes=[volume("tmp"), volume("tmp")]), 422, 'spec.template.spec.volumes[1].name: Duplicate value: "tmp"'),
    (job(containers=[CONTAINER, CONTAINER]), 422, 'spec.template.spec.containers[1].name: Duplicate value: "c"'),
    (job(containers=[{"name": "c"}]), 422, "spec.template.spec.containers[0].image: Required value"),
    (job(containers=[{"image": "x"}]), 422, "spec.template.spec.containers[0].name: Required value"),
    (job(restartPolicy="Always"), 422, "spec.template.spec.restartPolicy: Required value"),
    (job("Bad_Name"), 422, 'metadata.name: Invalid value: "Bad_Name"'),
    (job("n" * 64), 422, "must be no more than 63 bytes"),
    (job(containers=[{**CONTAINER, "resources": LIMITED}]), 422, "must be less than or equal to memory limit of 2Gi"),
    (
        job(containers=[{**CONTAINER, "volumeMounts": [{"name": "gone", "mountPath": "/x"}]}]),
        422,
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "gone"',
    ),
    (
        job(
            volumes=[volume("a"), volume("b")],
            containers=[{**CONTAINER, "volumeMounts": [{"name": n, "mountPath": "/tmp"} for n in "ab"]}],
        ),
        422,
        'volumeMounts[1].mountPath: Invalid value: "/tmp": must be unique',
    ),
    (job(containers=[{**CONTAINER, "imgae": "x"}]), 400, "strict decoding error"),
    (job(containers="none"), 400, "is not of type 'array'"),
    ({"metadata": {"name": "j"}, "spec": {}}, 422, "spec.template: Required value"),
]


@pytest.mark.parametrize(("body", "code", "words"), BROKEN, ids=[words[:60] for _, _, words in BROKEN])
def test_an_object_that_the_server_would_refuse_is_refused(
    cluster: Cluster, batch: kubernetes.client.BatchV1Api, body: dict[str, Any], code: int, words: str
) -> None:
    with pytest.raises(ApiException) as caught:
        batch.create_namespaced_job(NAMESPACE, body)
    assert caught.value.status == code
    assert words.replace('"', '\\"') in str(caught.value.body) or words in str(caught.value.body)
    assert cluster.jobs() == []


def test_what_is_taken_is_taken_once(cluster: Cluster, batch: kubernetes.client.BatchV1Api) -> None:
    batch.create_namespaced_job(NAMESPACE, job())
    with pytest.raises(ApiException, match="already exists") as caught:
        batch.create_namespaced_job(NAMESPACE, job())
    assert caught.value.status == 409
    wrong = kubernetes.client.V1DeleteOptions(preconditions=kubernetes.client.V1Preconditions(uid="other"))
    with pytest.raises(ApiException, match="Precondition failed") as caught:
        batch.delete_namespaced_job("j", NAMESPACE, body=wrong)
    assert caught.value.status == 409


def test_a_deletion_takes_its_time(cluster: Cluster, submit: JobMaker) -> None:
    made = submit("j", "run", pod={"terminationGracePeriodSeconds": 7})
    made["metadata"]["finalizers"] = ["example.com/held"]
    wait_for(cluster.node.running)
    with cluster.store.lock:
        cluster.store.delete_job(made, "Background")
    assert "deletionTimestamp" in cluster.jobs()[0]["metadata"], "held"
    cluster.node.silent = True
    cluster.store.release(made, "example.com/held")
    wait_for(lambda: not cluster.jobs())
    pod = wait_for(lambda: next((p for p in cluster.pods() if "deletionTimestamp" in p["metadata"]), None))
    assert (pod["status"]["phase"], pod["metadata"]["deletionGracePeriodSeconds"]) == ("Running", 7)
    assert cluster.node.running(), "the kubelet has not heard of it"
    cluster.node.silent = False
    wait_for(lambda: not cluster.pods())
    assert not cluster.node.running()


def test_a_job_fails_only_when_its_pods_are_over(cluster: Cluster, submit: JobMaker) -> None:
    made = submit("j", "run")
    wait_for(cluster.node.running)
    cluster.node.silent = True
    with cluster.store.lock:  # not from the start: a slow machine would pass it before anybody sees the pod run
        made["spec"]["activeDeadlineSeconds"] = 1

    def said() -> list[str]:
        return [c["type"] for found in cluster.jobs() for c in found.get("status", {}).get("conditions", ())]

    wait_for(lambda: said() == ["FailureTarget"])
    wait_for(lambda: cluster.jobs()[0]["status"]["terminating"] == 1)
    cluster.node.silent = False
    wait_for(lambda: said() == ["FailureTarget", "Failed"])


Refusal = Callable[[Cluster], None]
REFUSALS: list[tuple[str, Refusal, str]] = [
    ("account", lambda c: c.store.admission.accounts.clear(), 'serviceaccount "crypto-assets-run" not found'),
    ("standard", lambda c: setattr(c.store.admission, "restricted", True), 'violates PodSecurity "restricted:latest"'),
    ("quota", lambda c: c.store.admission.quota.update(pods=0), "exceeded quota: crypto-quota, requested: pods=1"),
]


@pytest.mark.parametrize(("refuse", "words"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_a_pod_that_is_not_admitted_is_an_event_of_its_job(
    cluster: Cluster, submit: JobMaker, refuse: Refusal, words: str
) -> None:
    refuse(cluster)
    made = submit("j", "run", pod={"serviceAccountName": "crypto-assets-run"})
    event = wait_for(lambda: next(iter(copy.deepcopy(cluster.store.events)), None))
    assert (event["reason"], event["involvedObject"]["uid"]) == ("FailedCreate", made["metadata"]["uid"])
    assert event["message"].startswith('Error creating: pods "j-" is forbidden: ')
    assert words in event["message"]
    assert cluster.pods() == []


def test_a_quota_of_jobs_refuses_with_403(cluster: Cluster, batch: kubernetes.client.BatchV1Api) -> None:
    cluster.store.admission.quota["count/jobs.batch"] = 0
    with pytest.raises(ApiException, match="exceeded quota") as caught:
        batch.create_namespaced_job(NAMESPACE, job())
    assert caught.value.status == 403


def test_a_list_in_pages_shows_one_instant_until_its_token_is_too_old(
    cluster: Cluster, batch: kubernetes.client.BatchV1Api
) -> None:
    for name in "abc":
        batch.create_namespaced_job(NAMESPACE, job(name))
    first = batch.list_namespaced_job(NAMESPACE, limit=2)
    batch.create_namespaced_job(NAMESPACE, job("d"))
    rest = batch.list_namespaced_job(NAMESPACE, limit=2, _continue=first.metadata._continue)
    assert [found.metadata.name for found in [*first.items, *rest.items]] == ["a", "b", "c"]
    again = batch.list_namespaced_job(NAMESPACE, limit=2)
    cluster.expire_next = 1
    with pytest.raises(ApiException, match="too old") as caught:
        batch.list_namespaced_job(NAMESPACE, limit=2, _continue=again.metadata._continue)
    assert caught.value.status == 410


def test_a_busy_server_says_when_to_come_again(cluster: Cluster, batch: kubernetes.client.BatchV1Api) -> None:
    cluster.busy(1, 7, "list")
    with pytest.raises(ApiException) as caught:
        batch.list_namespaced_job(NAMESPACE)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "7")
    assert batch.list_namespaced_job(NAMESPACE).items == []
