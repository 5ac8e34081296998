"""What `deploy/k8s` renders to, and small questions to ask of it."""

import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
SERVICES = ["auth", "profile", "data", "notify"]
COMPONENTS = ["gateway", *SERVICES]
BASES = [f"base/{component}" for component in COMPONENTS]
OVERLAYS = ["overlays/dev", "overlays/production"]
EXAMPLES = ["overlays/tls"]  # to be put into an overlay of one's own: see their kustomization.yaml
TARGETS = [*BASES, *OVERLAYS, *EXAMPLES]

Manifest = dict[str, Any]


@cache
def render(target: str) -> tuple[Manifest, ...]:
    """Every object of a base or an overlay, as kustomize prints it."""
    done = subprocess.run([K8S / "kustomize", K8S / target], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{target} does not render:\n{done.stderr}"
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(target: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in render(target) if manifest["kind"] in kinds]


def name_of(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod_templates(target: str) -> list[tuple[Manifest, Manifest]]:
    """(owner, pod template) of everything that makes pods."""
    return [(owner, owner["spec"]["template"]) for owner in of_kind(target, "Deployment", "StatefulSet", "Job")]


def containers(template: Manifest) -> list[Manifest]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def ports_of(template: Manifest) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for box in containers(template) for port in box.get("ports", [])}


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A label selector as Kubernetes reads it; an empty one matches everything."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        is_in = labels.get(rule["key"]) in rule["values"]
        if is_in != {"In": True, "NotIn": False}[rule["operator"]]:
            return False
    return True


def pods_selected(target: str, selector: Mapping[str, Any]) -> Iterator[Manifest]:
    for _, template in pod_templates(target):
        if matches(selector, template["metadata"]["labels"]):
            yield template
