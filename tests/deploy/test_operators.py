"""The operators' objects of the production overlay: known fields only, and every name leads somewhere.

kubernetes-validate has no schema of them. The fields listed here were held against the operators' own definitions once:
CloudNativePG 1.27, RabbitMQ's topology operator 1.15, MongoDB's community operator 0.9.
"""

from typing import Any

from deploy import credentials
from tests.deploy.manifests import Manifest, name_of, render
from tests.deploy.test_manifests_are_valid import is_custom

REFERENCE = {"rabbitmqClusterReference"}
FIELDS = {
    ("postgresql.cnpg.io/v1", "Cluster"): {
        "instances", "imageName", "inheritedMetadata", "storage", "walStorage", "resources", "postgresql", "managed",
        "monitoring",
    },
    ("postgresql.cnpg.io/v1", "Database"): {"cluster", "name", "owner", "databaseReclaimPolicy"},
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): {
        "replicas", "image", "persistence", "resources", "rabbitmq", "override",
    },
    ("rabbitmq.com/v1beta1", "Vhost"): {"name"} | REFERENCE,
    ("rabbitmq.com/v1beta1", "Exchange"): {"name", "vhost", "type", "durable", "autoDelete"} | REFERENCE,
    ("rabbitmq.com/v1beta1", "User"): {"importCredentialsSecret"} | REFERENCE,
    ("rabbitmq.com/v1beta1", "Permission"): {"vhost", "userReference", "permissions"} | REFERENCE,
    ("rabbitmq.com/v1beta1", "TopicPermission"): {"vhost", "userReference", "permissions"} | REFERENCE,
    ("mongodbcommunity.mongodb.com/v1", "MongoDBCommunity"): {
        "type", "members", "version", "security", "users", "statefulSet",
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): {"selector", "podMetricsEndpoints"},
}  # fmt: skip

SECRETS = {secret["metadata"]["name"]: secret for secret in credentials.kubernetes(with_simulators=False)["items"]}


def custom() -> list[Manifest]:
    return [manifest for manifest in render("overlays/production") if is_custom(manifest)]


def one(kind: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = (manifest["spec"] for manifest in custom() if manifest["kind"] == kind)
    return found


def test_an_object_has_only_fields_that_its_operator_knows() -> None:
    for manifest in custom():
        assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
        assert set(manifest["spec"]) == FIELDS[manifest["apiVersion"], manifest["kind"]], name_of(manifest)


def test_every_reference_leads_to_an_object() -> None:
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in custom()}
    for manifest in custom():
        spec = manifest["spec"]
        if "rabbitmqClusterReference" in spec:
            assert ("RabbitmqCluster", spec["rabbitmqClusterReference"]["name"]) in names, name_of(manifest)
        if "userReference" in spec:
            assert ("User", spec["userReference"]["name"]) in names, name_of(manifest)
        if manifest["kind"] == "Database":
            assert ("Cluster", spec["cluster"]["name"]) in names, name_of(manifest)


def test_each_service_on_postgresql_has_a_role_and_a_database_of_its_own() -> None:
    roles = {role["name"]: role["passwordSecret"]["name"] for role in one("Cluster")["managed"]["roles"]}
    owners = {
        manifest["spec"]["name"]: manifest["spec"]["owner"] for manifest in custom() if manifest["kind"] == "Database"
    }
    assert set(owners) == set(credentials.DATABASES)
    assert set(roles) == {*credentials.DATABASES, *credentials.OWNERS.values()}
    for role, secret in roles.items():
        basic = SECRETS[secret]
        assert basic["type"] == "kubernetes.io/basic-auth"
        assert basic["stringData"]["username"] == role
        database = next((name for name, owner in credentials.OWNERS.items() if owner == role), role)
        assert owners[database] == credentials.OWNERS.get(database, role)
        found = SECRETS[f"{database}-secrets" if database == role else f"{database}-migrate-secrets"]["stringData"]
        url = found["database_url" if database == role else "migrate_database_url"]
        assert url.startswith(f"postgresql://{role}:{basic['stringData']['password']}@postgres-rw:5432/{database}")


def test_the_mongo_account_is_the_one_in_the_url() -> None:
    (user,) = one("MongoDBCommunity")["users"]
    password = SECRETS[user["passwordSecretRef"]["name"]]["stringData"]["password"]
    url = SECRETS["data-secrets"]["stringData"]["mongo_url"]
    assert url.startswith(f"mongodb://{user['name']}:{password}@mongo-0.mongo-svc:27017,")
    assert url.endswith(f"?replicaSet=mongo&authSource={user['db']}")
    assert url.count("mongo-svc") == one("MongoDBCommunity")["members"]


def test_the_operators_pods_bear_the_label_that_network_policies_look_for() -> None:
    key = "gatehouse/store"
    assert one("Cluster")["inheritedMetadata"]["labels"][key] == "postgres"
    broker = one("RabbitmqCluster")["override"]["statefulSet"]["spec"]["template"]["metadata"]
    assert broker["labels"][key] == "rabbitmq"
    assert one("MongoDBCommunity")["statefulSet"]["spec"]["template"]["metadata"]["labels"][key] == "mongo"
