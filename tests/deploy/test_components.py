"""`deploy/k8s/components`: what an overlay may add. Each opens one way out, for those it names, and no other."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import COMPONENTS, K8S, Manifest, matches, name_of, render
from tests.deploy.test_manifests_are_valid import VERSIONS, what_is_wrong

OPTIONS = sorted(path.name for path in (K8S / "components").iterdir())
OVERLAY = "overlays/production"
Render = Callable[..., dict[str, Manifest]]


@pytest.fixture
def render_with(tmp_path: Path) -> Render:
    """`render_with("redis")`: the objects of the production overlay and these components, by name."""

    def rendered(*options: str) -> dict[str, Manifest]:
        file = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "gatehouse",
            "resources": [os.path.relpath(K8S / OVERLAY, tmp_path)],
            "components": [os.path.relpath(K8S / "components" / option, tmp_path) for option in options],
        }
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(file))
        return by_name(render(os.path.relpath(tmp_path, K8S)))

    return rendered


def by_name(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    return {name_of(manifest): manifest for manifest in manifests}


def egress(policy: Manifest) -> list[tuple[str, list[int]]]:
    assert policy["spec"]["policyTypes"] == ["Egress"] and "ingress" not in policy["spec"]
    return [(str(rule["to"]), [port["port"] for port in rule["ports"]]) for rule in policy["spec"]["egress"]]


def test_all_together_are_valid_in_every_supported_version(render_with: Render) -> None:
    before, after = by_name(render(OVERLAY)), render_with(*OPTIONS)
    added = [after[name] for name in sorted(after.keys() - before.keys())]
    assert {manifest["kind"] for manifest in added} == {"NetworkPolicy", "ConfigMap"}
    assert [what_is_wrong(manifest, version) for manifest in added for version in VERSIONS] == [None] * (
        len(added) * len(VERSIONS)
    )
    assert all(manifest["metadata"]["namespace"] == "gatehouse" for manifest in added)


@pytest.mark.parametrize(
    ("option", "policy", "for_whom", "port"),
    [
        ("redis", "gateway-to-redis", ["gateway"], 6379),
        ("issuers", "gateway-to-issuers", ["gateway"], 443),
        ("providers", "auth-to-providers", ["auth"], 443),
        ("otlp", "traces", COMPONENTS, 4318),
    ],
)
def test_each_opens_one_port_for_those_who_need_it(
    render_with: Render, option: str, policy: str, for_whom: list[str], port: int
) -> None:
    before, after = by_name(render(OVERLAY)), render_with(option)
    new = {name for name in after.keys() - before.keys() if name.startswith("NetworkPolicy/")}
    assert new == {f"NetworkPolicy/{policy}"}
    made = after[f"NetworkPolicy/{policy}"]
    selected = [one for one in COMPONENTS if matches(made["spec"]["podSelector"], {"app.kubernetes.io/name": one})]
    assert selected == for_whom
    ((peers, ports),) = egress(made)
    assert ports == [port] and peers != "[{}]"


def test_the_ways_out_are_narrow(render_with: Render) -> None:
    after = render_with(*OPTIONS)
    (to_redis,) = after["NetworkPolicy/gateway-to-redis"]["spec"]["egress"]
    assert to_redis["to"] == [{"podSelector": {"matchLabels": {"gatehouse/store": "redis"}}}]
    (to_issuers,) = after["NetworkPolicy/gateway-to-issuers"]["spec"]["egress"]
    four, six = (peer["ipBlock"] for peer in to_issuers["to"])
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(four["except"])
    assert six["cidr"] == "2000::/3", "global addresses only"
    (to_collector,) = after["NetworkPolicy/traces"]["spec"]["egress"]
    assert all({"namespaceSelector", "podSelector"} == peer.keys() for peer in to_collector["to"])


def test_traces_go_where_the_policy_lets_them_from_every_component(render_with: Render) -> None:
    maps = {
        manifest["metadata"]["labels"]["app.kubernetes.io/name"]: manifest["data"]
        for name, manifest in render_with("otlp").items()
        if name.startswith("ConfigMap/") and "-config-" in name
    }
    assert set(maps) == set(COMPONENTS)
    for component, data in maps.items():
        assert data["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://opentelemetry-collector.observability:4318", component
        assert data["ISSUER"].startswith("https://"), "the rest is as before"


def test_mail_templates_are_mounted_where_notify_looks_for_them(render_with: Render) -> None:
    """In every process of notify: each reads the same settings, and they name the folder."""
    after = render_with("mail-templates")
    (config,) = [data for name, data in after.items() if name.startswith("ConfigMap/notify-config-")]
    (files,) = [data for name, data in after.items() if name.startswith("ConfigMap/notify-mail-templates-")]
    owners = [
        one for one in after.values() if one["kind"] in ("Deployment", "Job") and "notify" in one["metadata"]["name"]
    ]
    assert len(owners) == 3
    for owner in owners:
        pod = owner["spec"]["template"]["spec"]
        mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        volumes = {volume["name"]: volume.get("configMap", {}).get("name") for volume in pod["volumes"]}
        assert volumes[mounts[config["data"]["MAIL_TEMPLATES_DIR"]]] == files["metadata"]["name"], name_of(owner)


def test_the_guide_names_every_component() -> None:
    guide = (K8S / "README.md").read_text()
    assert [option for option in OPTIONS if f"`components/{option}`" not in guide] == []
