"""What one object says of another is true: labels, ports, names. A schema does not see these."""

from typing import Any

import pytest

from shared import gunicorn_conf, worker
from tests.deploy.manifests import (
    BASES,
    COMPONENTS,
    OVERLAYS,
    SERVICES,
    TARGETS,
    containers,
    matches,
    name_of,
    of_kind,
    pod_templates,
    pods_selected,
    ports_of,
)

OUTSIDE_PORTS = {443, 2197, 465, 587}  # FCM and its OAuth, APNs (also on its alternative port), mail submission


@pytest.mark.parametrize("target", TARGETS)
def test_selectors_find_their_pods_and_no_others(target: str) -> None:
    for owner, template in pod_templates(target):
        if owner["kind"] != "Job":
            found = list(pods_selected(target, owner["spec"]["selector"]))
            assert found == [template], f"{target} {name_of(owner)} selects {len(found)} kinds of pods"
    for budget in of_kind(target, "PodDisruptionBudget"):
        assert len(list(pods_selected(target, budget["spec"]["selector"]))) == 1, name_of(budget)
    for owner, template in pod_templates(target):
        for constraint in template["spec"].get("topologySpreadConstraints", []):
            assert matches(constraint["labelSelector"], template["metadata"]["labels"]), name_of(owner)


@pytest.mark.parametrize("target", TARGETS)
def test_services_lead_to_ports_that_containers_have(target: str) -> None:
    for service in of_kind(target, "Service"):
        pods = list(pods_selected(target, {"matchLabels": service["spec"]["selector"]}))
        assert len(pods) == 1, f"{name_of(service)} selects {len(pods)} kinds of pods"
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports_of(pods[0]), f"{name_of(service)} has no port {port['targetPort']}"


@pytest.mark.parametrize("target", TARGETS)
def test_probes_ask_ports_that_containers_have(target: str) -> None:
    for owner, template in pod_templates(target):
        for container in containers(template):
            names = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asks = container.get(probe, {})
                for how in ("httpGet", "tcpSocket"):
                    if how in asks:
                        assert asks[how]["port"] in names, f"{name_of(owner)} {probe}"


@pytest.mark.parametrize("target", TARGETS)
def test_an_autoscaler_has_its_deployment_and_owns_the_number(target: str) -> None:
    deployments = {deployment["metadata"]["name"]: deployment for deployment in of_kind(target, "Deployment")}
    for scaler in of_kind(target, "HorizontalPodAutoscaler"):
        deployment = deployments[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in deployment["spec"], f"{name_of(deployment)}: each apply would undo the autoscaler"


@pytest.mark.parametrize("target", TARGETS)
def test_volumes_config_maps_and_accounts_exist(target: str) -> None:
    maps = {found["metadata"]["name"] for found in of_kind(target, "ConfigMap")}
    accounts = {found["metadata"]["name"] for found in of_kind(target, "ServiceAccount")}
    for owner, template in pod_templates(target):
        where = f"{target} {name_of(owner)}"
        pod = template["spec"]
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for box in containers(template) for mount in box.get("volumeMounts", [])}
        assert mounted == set(volumes) | claims, where
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, where
        for container in containers(template):
            for source in container.get("envFrom", []):
                assert source["configMapRef"]["name"] in maps, where
        if "serviceAccountName" in pod:
            assert pod["serviceAccountName"] in accounts, where


@pytest.mark.parametrize("target", BASES)
def test_a_pod_outlives_its_own_graceful_stop(target: str) -> None:
    for owner, template in pod_templates(target):
        if owner["kind"] == "Job":
            continue
        pod = template["spec"]
        waits_s = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        is_worker = owner["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
        stop_s = worker.STOP_TIMEOUT_S if is_worker else gunicorn_conf.graceful_timeout
        assert pod["terminationGracePeriodSeconds"] > waits_s + stop_s, name_of(owner)


@pytest.mark.parametrize("target", BASES)
def test_labels_are_the_recommended_ones(target: str) -> None:
    component = target.removeprefix("base/")
    for manifest in (*of_kind(target, *KINDS_OF_A_BASE), *(template for _, template in pod_templates(target))):
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == component
        assert labels["app.kubernetes.io/part-of"] == "gatehouse"


KINDS_OF_A_BASE = [
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
]


@pytest.mark.parametrize("target", BASES)
def test_a_base_is_whole(target: str) -> None:
    kinds = {manifest["kind"] for manifest in of_kind(target, *KINDS_OF_A_BASE)}
    assert kinds == set(KINDS_OF_A_BASE) - ({"Job"} if target == "base/gateway" else set())
    names = {name_of(deployment) for deployment in of_kind(target, "Deployment")}
    component = target.removeprefix("base/")
    assert names == {f"Deployment/{component}", *([f"Deployment/{component}-worker"] if component in SERVICES else [])}


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_pod_of_a_component_is_behind_its_network_policy(component: str) -> None:
    (policy,) = of_kind(f"base/{component}", "NetworkPolicy")
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    templates = [template for _, template in pod_templates(f"base/{component}")]
    assert list(pods_selected(f"base/{component}", policy["spec"]["podSelector"])) == templates


def allows(target: str, source: dict[str, Any], goal: dict[str, Any], port: str) -> bool:
    """Whether the policies of both ends let pods made from `source` connect to that named port of `goal`."""
    number = ports_of(goal)[port]

    def passes(direction: str, selected: dict[str, Any], peer: dict[str, Any]) -> bool:
        policies = [
            policy["spec"]
            for policy in of_kind(target, "NetworkPolicy")
            if direction in policy["spec"]["policyTypes"]
            and matches(policy["spec"]["podSelector"], selected["metadata"]["labels"])
        ]
        peers = {"Ingress": "from", "Egress": "to"}[direction]
        return not policies or any(
            (peers not in rule or any(is_peer(each, peer) for each in rule[peers]))
            and any(entry["port"] in (port, number) for entry in rule["ports"])
            for policy in policies
            for rule in policy.get(direction.lower(), [])
        )

    return passes("Egress", source, goal) and passes("Ingress", goal, source)


def is_peer(peer: dict[str, Any], template: dict[str, Any]) -> bool:
    return (
        "namespaceSelector" not in peer
        and "podSelector" in peer
        and matches(peer["podSelector"], template["metadata"]["labels"])
    )


@pytest.mark.parametrize("target", OVERLAYS)
def test_the_network_lets_through_what_the_design_says_and_nothing_else(target: str) -> None:
    pods = {owner["metadata"]["name"]: template for owner, template in pod_templates(target)}
    wanted = {("gateway", service) for service in SERVICES} | {
        (f"{service}{suffix}", "auth")
        for service in SERVICES
        if service != "auth"
        for suffix in ("", "-worker", "-migrate")
    }
    ours = [name for name in pods if name.split("-")[0] in COMPONENTS]
    doors = [name for name in ours if "http" in ports_of(pods[name]) and name != "gateway"]
    allowed = {
        (source, goal)
        for source in ours
        for goal in doors
        if source != goal and allows(target, pods[source], pods[goal], "http")
    }
    assert allowed == wanted


@pytest.mark.parametrize("component", COMPONENTS)
def test_policies_name_ports_that_exist(component: str) -> None:
    (policy,) = of_kind(f"base/{component}", "NetworkPolicy")
    own = {name for _, template in pod_templates(f"base/{component}") for name in ports_of(template)}
    for rule in policy["spec"]["ingress"]:
        assert {port["port"] for port in rule["ports"]} <= own
    known = {53, 5432, 5672, 27017, 8000} | (OUTSIDE_PORTS if component == "notify" else set())
    for rule in policy["spec"]["egress"]:
        assert {port["port"] for port in rule["ports"]} <= known
