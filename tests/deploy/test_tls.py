"""The examples with TLS at the gateway: what is mounted is what it is told to read, and the port leads there."""

from pathlib import PurePosixPath

import pytest
import yaml

from gateway.config import GatewaySettings
from shared.settings import load
from tests.deploy.manifests import ROOT, containers, of_kind, pod_templates, ports_of
from tests.deploy.test_settings_names import compose_environment, given

TARGET = "overlays/tls"


def test_the_overlay_mounts_a_certificates_secret_where_the_gateway_looks_for_it() -> None:
    ((_, template),) = pod_templates(TARGET)
    (config,) = of_kind(TARGET, "ConfigMap")
    (container,) = containers(template)
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    for setting, key in (("TLS_CERT_FILE", "tls.crt"), ("TLS_KEY_FILE", "tls.key")):
        path = PurePosixPath(config["data"][setting])
        mount = mounts[str(path.parent)]
        assert path.name == key and mount["readOnly"] is True
        assert "subPath" not in mount, "a file mounted so is never updated"
        assert volumes[mount["name"]]["secret"]["secretName"] == "gateway-tls"
    assert config["data"]["TLS_BIND"] == f"0.0.0.0:{ports_of(template)['https']}"


def test_the_overlay_lets_clients_in_by_https_and_by_nothing_new() -> None:
    (service,) = of_kind(TARGET, "Service")
    assert {(port["name"], port["port"], port["targetPort"]) for port in service["spec"]["ports"]} == {
        ("http", 8080, "http"),
        ("https", 443, "https"),
    }
    (policy,) = of_kind(TARGET, "NetworkPolicy")
    for_all = [rule["ports"] for rule in policy["spec"]["ingress"] if "from" not in rule]
    assert for_all == [[{"port": "http"}, {"port": "https"}]]


def test_the_gateway_accepts_what_both_examples_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose" / "tls.yaml").read_text())["services"]["gateway"]
    overlay, files = given(TARGET, "gateway")
    beside = compose_environment("gateway", with_simulators=False) | compose["environment"]
    for environment in (overlay, beside):
        with monkeypatch.context() as patch:
            for name, value in {**environment, **{key.upper(): text for key, text in files.items()}}.items():
                if name != "SECRETS_DIR":
                    patch.setenv(name, value)
            settings = load(GatewaySettings)
        assert list(settings.binds) == ["public", "tls", "operator"] and settings.hsts_max_age_s
    (mount,) = compose["volumes"]
    ((certificate, key),) = settings.tls_files
    assert {str(certificate.parent), str(key.parent)} == {mount["target"]} and mount["read_only"] is True
    assert compose["ports"] == ["${GATEWAY_TLS_ADDRESS:-127.0.0.1:8443}:8443"]
    assert compose["environment"]["TLS_BIND"] == "0.0.0.0:8443"
