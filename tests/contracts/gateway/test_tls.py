"""TLS at both doors: the same protocols, and what is behind it hears https."""

import ssl
from collections.abc import Iterator

import pytest

from tests.contracts.gateway import doors
from tests.contracts.gateway.doors import Door
from tests.gateway.upstream import Upstream
from tests.support.certificates import Authority, MountedPair
from tests.support.issuer import Issuer


@pytest.fixture(scope="module", params=["gateway", "envoy"])
def secure(
    request: pytest.FixtureRequest, issuer: Issuer, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    authority = Authority()
    pair = MountedPair(tmp_path_factory.mktemp("tls"), authority.issue())
    made = doors.make(request.param, issuer, upstream, tmp_path_factory.mktemp("door"), HSTS_MAX_AGE_S="3600")
    made.secure(authority, pair).start()
    yield made
    assert made.stop() == 0


def test_services_hear_https_and_clients_are_told_to_stay_with_it(secure: Door) -> None:
    answer = secure.ask("GET", "/open/x", headers={"X-Forwarded-Proto": "http"})
    assert dict(answer.json["fields"])["x-forwarded-proto"] == "https"
    assert answer.headers["Strict-Transport-Security"] == "max-age=3600"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_lead_to_http_1_1(secure: Door, version: ssl.TLSVersion) -> None:
    assert secure.tls is not None
    secure.tls.set_alpn_protocols(["h2", "http/1.1"])
    secure.tls.maximum_version = version
    with secure.wire() as wire:
        assert isinstance(wire.socket, ssl.SSLSocket)
        assert wire.socket.version() == version.name.replace("_", ".")
        assert wire.socket.selected_alpn_protocol() == "http/1.1"
        assert wire.ask("GET /open/x HTTP/1.1\r\nHost: gateway.example\r\n\r\n").status == 200
