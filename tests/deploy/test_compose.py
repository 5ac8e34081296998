"""compose.yaml refuses to start without its secrets, reaches what it names, and gives our processes no privilege."""

import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy import credentials
from tests.deploy.manifests import COMPONENTS, ROOT, SERVICES, containers, pod_templates
from tests.deploy.test_settings_names import compose_environment

TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVERS = ["postgres", "rabbitmq", "mongo"]


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def test_each_service_has_its_three_processes_from_one_image() -> None:
    ours = {"gateway", *(f"{name}{suffix}" for name in SERVICES for suffix in ("", "-worker", "-migrate"))}
    assert set(COMPOSE["services"]) == ours | set(SERVERS) | {"simulators"}
    for name in SERVICES:
        assert service(name)["command"] == ["serve"]
        assert service(f"{name}-worker")["command"] == ["worker"]
        assert service(f"{name}-migrate")["command"] == ["migrate"]
        images = {service(f"{name}{suffix}")["image"] for suffix in ("", "-worker", "-migrate")}
        assert len(images) == 1
        for suffix in ("", "-worker"):
            waits = service(f"{name}{suffix}")["depends_on"]
            assert waits[f"{name}-migrate"] == {"condition": "service_completed_successfully"}
    assert service("simulators")["profiles"] == ["dev"]


def test_only_migrations_are_given_the_role_that_owns_the_tables() -> None:
    for name in SERVICES:
        for suffix in ("", "-worker"):
            (mount,) = service(f"{name}{suffix}")["volumes"]
            assert mount["source"] == f"deploy/compose/secrets/{name}"
        (mount,) = service(f"{name}-migrate")["volumes"]
        own = "-migrate" if name in credentials.OWNERS else ""
        assert mount["source"] == f"deploy/compose/secrets/{name}{own}"


def test_ours_run_without_any_privilege_on_a_read_only_root() -> None:
    for name, found in COMPOSE["services"].items():
        if name not in SERVERS:
            assert found["read_only"] is True, name
            assert found["cap_drop"] == ["ALL"], name
            assert found["security_opt"] == ["no-new-privileges:true"], name
            assert found["tmpfs"] == ["/tmp"], name
            assert (ROOT / found["build"]["dockerfile"]).exists(), name


def test_servers_have_the_versions_of_the_dev_overlay() -> None:
    dev = {
        owner["metadata"]["name"]: containers(template)[0]["image"]
        for owner, template in pod_templates("overlays/dev")
        if owner["kind"] == "StatefulSet"
    }
    assert {name: service(name)["image"] for name in SERVERS} == dev


def test_it_refuses_to_start_before_secrets_were_made(tmp_path: Path) -> None:
    assert "${PUBLIC_URL:?run python3 -m deploy.credentials compose}" in TEXT
    assert not re.search(r"(?i)password\s*[:=]\s*\w", TEXT), "a default password boots in production"
    generated = "deploy/compose/secrets/"
    for name, found in COMPOSE["services"].items():
        for mount in found["volumes"]:
            if mount["type"] == "bind" and mount["source"].startswith(generated):
                assert mount["bind"] == {"create_host_path": False}, name
                assert mount["read_only"] is True, name


def test_whatever_is_mounted_is_in_the_repository_or_made_by_deploy_credentials(tmp_path: Path) -> None:
    credentials.compose(tmp_path, "http://localhost:8080", with_simulators=True)
    for name, found in COMPOSE["services"].items():
        for mount in found["volumes"]:
            if mount["type"] == "bind":
                assert any((base / mount["source"]).exists() for base in (ROOT, tmp_path)), f"{name}: {mount['source']}"
            else:
                assert mount["source"] in COMPOSE["volumes"], name


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_shares_a_network_with_every_host_it_is_told_of(component: str) -> None:
    files = credentials.of_component(component, credentials.Passwords(), credentials.COMPOSE_HOSTS)
    environment = compose_environment(component, with_simulators=True)
    urls = [value for value in [*environment.values(), *files.values()] if "://" in value]
    hosts = {urlsplit(url).hostname for url in urls} | {environment.get("SMTP_HOST")}
    for host in hosts - {"localhost", "fcm.googleapis.com", None}:
        assert set(service(str(host))["networks"]) & set(service(component)["networks"]), f"{component} to {host}"


def test_the_stores_are_on_networks_without_a_way_out_and_only_the_door_is_published() -> None:
    for name in SERVERS:
        assert all(COMPOSE["networks"][network]["internal"] for network in service(name)["networks"])
    published = {name: found["ports"] for name, found in COMPOSE["services"].items() if "ports" in found}
    assert published == {
        "gateway": ["${GATEWAY_ADDRESS:-127.0.0.1:8080}:8080"],
        "simulators": ["127.0.0.1:8100:8100"],
    }


def test_secrets_are_made_once_and_nobody_else_on_the_host_can_come_to_them(tmp_path: Path) -> None:
    credentials.compose(tmp_path, "https://api.example.com", with_simulators=False)
    kept = tmp_path / "deploy" / "compose" / "secrets"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    before = {path: path.read_text() for path in kept.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError):
        credentials.compose(tmp_path, "https://api.example.com", with_simulators=False)
    assert before == {path: path.read_text() for path in kept.rglob("*") if path.is_file()}
    passwords = [path.read_text() for folder in ("postgres", "mongo") for path in (kept / folder).iterdir()]
    assert len(set(passwords)) == len(passwords), "two accounts share a password"
    assert (tmp_path / ".env").read_text() == "PUBLIC_URL=https://api.example.com\n"
