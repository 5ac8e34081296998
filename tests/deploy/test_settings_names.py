"""A deployment and the code name the same settings: what one says, the other reads, in both directions."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import credentials
from shared.settings import load
from tests.deploy.manifests import (
    BASES,
    COMPONENTS,
    K8S,
    OVERLAYS,
    ROOT,
    containers,
    name_of,
    of_kind,
    pod_templates,
    render,
)
from tests.deploy.settings_names import default, names, read, required_names, secret_names, settings_class

SECRETS_DIR = "/run/secrets/gatehouse"
SENDER = {"fcm-service-account.json": "{}", "apns-key.p8": "-", "apns_key_id": "ABCDEFGHIJ", "simulators-ca.pem": "-"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_base_names_every_setting_that_is_no_secret_and_no_other(component: str) -> None:
    given, shown = read(K8S / "base" / component / "config.env")
    found, wanted = set(given) | set(shown), names(component) - secret_names(component)
    assert not wanted - found, f"add to deploy/k8s/base/{component}/config.env, as #NAME=default: {wanted - found}"
    assert not found - wanted, f"no setting of {component}: {found - wanted}"
    assert not set(given) & set(shown)


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_a_base_shows_behind_a_hash_is_the_default(component: str) -> None:
    _, shown = read(K8S / "base" / component / "config.env")
    assert shown == {name: default(component, name) for name in shown}


@pytest.mark.parametrize("component", COMPONENTS)
def test_secrets_are_made_for_every_secret_setting_and_no_other(component: str) -> None:
    made = {
        name.upper() for name in credentials.of_component(component, credentials.Passwords(), credentials.COMPOSE_HOSTS)
    }
    assert made <= secret_names(component)
    assert required_names(component) & secret_names(component) <= made


@pytest.mark.parametrize("target", [*BASES, *OVERLAYS])
def test_no_config_map_holds_a_secret(target: str) -> None:
    for config in of_kind(target, "ConfigMap"):
        component = config["metadata"]["labels"]["app.kubernetes.io/name"]
        if component in COMPONENTS:
            assert not set(config["data"]) & secret_names(component), name_of(config)
            assert set(config["data"]) <= names(component), name_of(config)
    assert not of_kind(target, "Secret"), "a committed Secret is no secret"


def secrets_of(volume: dict[str, Any]) -> set[str]:
    """The names of the Secrets that make a volume."""
    parts = [part["secret"]["name"] for part in volume.get("projected", {}).get("sources", []) if "secret" in part]
    return {*parts, *([volume["secret"]["secretName"]] if "secret" in volume else [])}


def is_migration(owner: dict[str, Any]) -> bool:
    return bool(owner["kind"] == "Job")


@pytest.mark.parametrize("target", [*BASES, *OVERLAYS])
def test_only_migrations_have_the_password_of_the_role_that_owns_the_tables(target: str) -> None:
    for owner, template in pod_templates(target):
        for volume in template["spec"]["volumes"]:
            if any("migrate" in name for name in secrets_of(volume)):
                assert is_migration(owner), f"{target} {name_of(owner)}"
    for component in COMPONENTS:
        files = credentials.of_component(component, credentials.Passwords(), credentials.KUBERNETES_HOSTS)
        assert not any(role in text for role in credentials.OWNERS.values() for text in files.values())


@pytest.mark.parametrize("target", [*BASES, *OVERLAYS])
def test_every_secret_a_pod_mounts_is_made_by_deploy_credentials(target: str) -> None:
    made = {secret["metadata"]["name"] for secret in credentials.kubernetes(with_simulators=True)["items"]}
    for owner, template in pod_templates(target):
        for volume in template["spec"]["volumes"]:
            assert secrets_of(volume) <= made, f"{target} {name_of(owner)}"


@pytest.mark.parametrize("target", BASES)
def test_every_process_of_a_component_has_the_same_environment(target: str) -> None:
    component = target.removeprefix("base/")
    for owner, template in pod_templates(target):
        (container,) = containers(template)
        (source,) = container["envFrom"]
        assert source["configMapRef"]["name"].startswith(f"{component}-config-"), name_of(owner)
        assert container["env"] == [{"name": "SECRETS_DIR", "value": SECRETS_DIR}], name_of(owner)
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        own = {f"{component}-migrate-secrets"} if is_migration(owner) and component in credentials.OWNERS else set()
        assert secrets_of(volumes[mounts[SECRETS_DIR]]) == {f"{component}-secrets"} | own, name_of(owner)
        assert "/tmp" in mounts, name_of(owner)


@pytest.mark.parametrize("target", BASES)
def test_ports_are_where_the_processes_listen(target: str) -> None:
    (config,) = of_kind(target, "ConfigMap")
    for _, template in pod_templates(target):
        for port in (port for container in containers(template) for port in container.get("ports", [])):
            metrics = "OPS_BIND" if target == "base/gateway" else "WORKER_BIND"
            name = {"http": "BIND", "metrics": metrics}[port["name"]]
            assert config["data"][name] == f"0.0.0.0:{port['containerPort']}"


@pytest.mark.parametrize("target", OVERLAYS)
def test_addresses_of_each_other_are_services_that_exist(target: str) -> None:
    services = {
        f"http://{service['metadata']['name']}:{port['port']}"
        for service in of_kind(target, "Service")
        for port in service["spec"]["ports"]
    }
    config_maps = {
        config["metadata"]["labels"]["app.kubernetes.io/name"]: config["data"]
        for config in of_kind(target, "ConfigMap")
    }
    for component in COMPONENTS:
        config = config_maps[component]
        for name, value in config.items():
            if name in ("JWKS_URL", "AUTH_URL", "PROFILE_URL", "DATA_URL", "NOTIFY_URL"):
                address = value.removesuffix("/auth/v1/.well-known/jwks.json")
                own = "http://localhost:8000" if component == "auth" else None
                assert address in services or address == own, f"{component} {name}"
    issuers = {config_maps[component]["ISSUER"] for component in COMPONENTS}
    assert issuers == {config_maps["auth"]["PUBLIC_URL"] + "/auth/v1"}


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("target", ["overlays/dev", "overlays/production", "compose", "compose --simulators"])
def test_a_component_accepts_what_it_is_given(
    target: str, component: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, files = given(target, component)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for name in set(os.environ) & names(component):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace(SECRETS_DIR, str(tmp_path)))
    load(settings_class(component))


def given(target: str, component: str) -> tuple[dict[str, str], dict[str, str]]:
    """(environment, files in SECRETS_DIR) of a component."""
    hosts = credentials.COMPOSE_HOSTS if target.startswith("compose") else credentials.KUBERNETES_HOSTS
    files = credentials.of_component(component, credentials.Passwords(), hosts)
    if component == "notify" and target in ("overlays/dev", "compose --simulators"):
        files |= SENDER
    if target.startswith("compose"):
        return compose_environment(component, with_simulators="--simulators" in target), files
    (config,) = [
        config
        for config in of_kind(target, "ConfigMap")
        if config["metadata"]["name"].startswith(f"{component}-config-")
    ]
    return {**config["data"], "SECRETS_DIR": SECRETS_DIR}, files


def compose_environment(component: str, *, with_simulators: bool) -> dict[str, str]:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"][component]
    notify_env = "deploy/compose/notify-simulators.env" if with_simulators else "deploy/compose/notify.env"
    environment: dict[str, str] = {}
    for file in service["env_file"]:
        environment |= read(ROOT / file.replace("${NOTIFY_ENV:-deploy/compose/notify.env}", notify_env))[0]
    values = {"${PUBLIC_URL:?run python3 -m deploy.credentials compose}": "http://localhost:8080"}
    for name, value in service["environment"].items():
        for placeholder, replacement in values.items():
            value = value.replace(placeholder, replacement)
        assert "${" not in value, f"{name}: {value}"
        environment[name] = value
    return environment


@pytest.mark.parametrize("component", COMPONENTS)
def test_compose_sets_only_names_that_the_component_reads(component: str) -> None:
    for with_simulators in (True, False):
        environment = compose_environment(component, with_simulators=with_simulators)
        assert set(environment) - {"SECRETS_DIR"} <= names(component) - secret_names(component)
        assert environment["SECRETS_DIR"] == SECRETS_DIR


def test_env_files_that_only_show_a_setting_name_one_that_exists() -> None:
    for path in [*K8S.glob("overlays/*/notify.env"), *(ROOT / "deploy" / "compose").glob("notify*.env")]:
        given, shown = read(path)
        assert set(given) | set(shown) <= names("notify") - secret_names("notify"), path


def test_every_object_of_an_overlay_is_in_its_namespace() -> None:
    for target in OVERLAYS:
        (namespace,) = of_kind(target, "Namespace")
        for manifest in render(target):
            if manifest is not namespace:
                assert manifest["metadata"]["namespace"] == namespace["metadata"]["name"], name_of(manifest)
