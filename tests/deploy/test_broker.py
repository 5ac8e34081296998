"""The broker's users may do the same in Kubernetes as everywhere: deploy/local/broker_permissions.py says what."""

from typing import Any

import yaml

from deploy import credentials
from deploy.local import broker_permissions
from tests.deploy.manifests import COMPONENTS, K8S, ROOT, of_kind

DEFINITIONS = broker_permissions.definitions(dict.fromkeys(broker_permissions.USERS, "a password"))


def declared(kind: str) -> list[dict[str, Any]]:
    return [found for found in of_kind("overlays/production", kind) if found["apiVersion"] == "rabbitmq.com/v1beta1"]


def test_the_topology_operator_gives_each_user_the_same_permissions() -> None:
    wanted = [each for each in DEFINITIONS["permissions"] if each["user"] != broker_permissions.ADMIN]
    found = [
        {"user": spec["userReference"]["name"], "vhost": spec["vhost"], **spec["permissions"]}
        for spec in (permission["spec"] for permission in declared("Permission"))
    ]
    assert sorted(found, key=lambda each: each["user"]) == sorted(wanted, key=lambda each: each["user"])


def test_the_topology_operator_gives_each_user_the_same_topics() -> None:
    found = [
        {"user": spec["userReference"]["name"], "vhost": spec["vhost"], **spec["permissions"]}
        for spec in (permission["spec"] for permission in declared("TopicPermission"))
    ]
    assert sorted(found, key=lambda each: each["user"]) == sorted(
        DEFINITIONS["topic_permissions"], key=lambda each: each["user"]
    )


def test_vhost_and_exchange_are_those_of_the_definitions() -> None:
    assert [vhost["spec"]["name"] for vhost in declared("Vhost")] == [vhost["name"] for vhost in DEFINITIONS["vhosts"]]
    (exchange,) = DEFINITIONS["exchanges"]
    (found,) = (each["spec"] for each in declared("Exchange"))
    assert (found["name"], found["vhost"], found["type"]) == (exchange["name"], exchange["vhost"], exchange["type"])
    assert (found["durable"], found["autoDelete"]) == (exchange["durable"], exchange["auto_delete"])


def test_every_user_has_its_own_password_secret() -> None:
    made = {secret["metadata"]["name"]: secret for secret in credentials.kubernetes(with_simulators=False)["items"]}
    users = {user["metadata"]["name"]: user["spec"]["importCredentialsSecret"]["name"] for user in declared("User")}
    assert set(users) == set(COMPONENTS)
    for user, secret in users.items():
        assert made[secret]["stringData"]["username"] == user
        assert made[f"{user}-secrets"]["stringData"]["amqp_url"].startswith(
            f"amqp://{user}:{made[secret]['stringData']['password']}@rabbitmq:5672/"
        )


def test_dev_and_compose_load_the_definitions_from_where_they_are_mounted() -> None:
    path = "/run/secrets/rabbitmq/definitions.json"
    assert f"load_definitions = {path}\n" in (K8S / "overlays" / "dev" / "rabbitmq" / "rabbitmq.conf").read_text()
    (broker,) = (each for each in of_kind("overlays/dev", "StatefulSet") if each["metadata"]["name"] == "rabbitmq")
    mounts = {each["mountPath"] for each in broker["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]}
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["rabbitmq"]
    targets = {each["target"] for each in service["volumes"]}
    assert "/run/secrets/rabbitmq" in mounts & targets
