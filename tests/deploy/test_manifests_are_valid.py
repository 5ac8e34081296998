"""Every base and overlay renders, and Kubernetes 1.30 to 1.35 would take each object as it is written."""

from functools import cache
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils
import pytest

from tests.deploy.manifests import K8S, TARGETS, containers, name_of, pod_templates, render

# A version's definitions are megabytes, which the library reads again for each object.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
VERSIONS = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_object_is_valid_in_every_supported_version(target: str) -> None:
    wrong = [
        f"{version} {name_of(manifest)}: {error}"
        for manifest in render(target)
        if not is_custom(manifest)
        for version in VERSIONS
        if (error := what_is_wrong(manifest, version))
    ]
    assert not wrong, "\n".join(wrong)


def what_is_wrong(manifest: dict[str, Any], version: str) -> str | None:
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return str(error)
    return None


def is_custom(manifest: dict[str, Any]) -> bool:
    """Kubernetes' own groups are bare words or end in k8s.io; the operators' objects are another test's."""
    group = manifest["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def test_a_file_holds_one_object_and_is_listed_once() -> None:
    """A file that no kustomization names is never applied."""
    listed = set()
    for kustomization in sorted(K8S.rglob("kustomization.yaml")):
        folder = kustomization.parent
        text = kustomization.read_text()
        for path in folder.glob("*"):
            if path.is_file() and path != kustomization and f" {path.name}" in text.replace("[", " ").replace(",", " "):
                listed.add(path)
    manifests = {path for path in K8S.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert manifests <= listed, f"never applied: {sorted(str(path) for path in manifests - listed)}"
    for path in manifests:
        lines = path.read_text().splitlines()
        assert sum(line.startswith("kind:") for line in lines) <= 1, f"{path} holds several objects"
        assert "---" not in lines, f"{path} holds several documents"


@pytest.mark.parametrize("target", TARGETS)
def test_every_pod_runs_as_nobody_on_a_read_only_root(target: str) -> None:
    for owner, template in pod_templates(target):
        where = f"{target} {name_of(owner)}"
        pod = template["spec"]
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, where
        assert security["runAsUser"] > 0, where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert pod["automountServiceAccountToken"] is False, where
        for container in containers(template):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["readOnlyRootFilesystem"] is True, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert set(container["resources"]) == {"requests", "limits"}, where
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}, where


@pytest.mark.parametrize("target", TARGETS)
def test_every_image_has_a_fixed_version(target: str) -> None:
    for owner, template in pod_templates(target):
        for container in containers(template):
            _, _, tag = container["image"].partition(":")
            assert tag and tag != "latest", f"{target} {name_of(owner)}: {container['image']}"


@pytest.mark.parametrize("target", TARGETS)
def test_a_rollout_takes_no_pod_away_before_a_new_one_is_ready(target: str) -> None:
    for owner, template in pod_templates(target):
        if owner["kind"] != "Deployment" or owner["metadata"]["name"] == "simulators":
            continue
        assert owner["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, name_of(owner)
        for container in containers(template):
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name_of(owner)
