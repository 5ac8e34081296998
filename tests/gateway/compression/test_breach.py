"""What a browser signs by itself is never compressed: another page could read secrets from lengths (BREACH)."""

import gzip

import pytest

from tests.gateway.compression.document import DOCUMENT, ask, is_plain, serves
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Upstream
from tests.support.people import Person


@pytest.mark.parametrize("header", [{"Cookie": "session=1"}, {"Authorization": "Basic YTpi"}])
def test_a_request_that_a_browser_signs_by_itself_is_answered_uncompressed(
    gateway: GatewayProcess, upstream: Upstream, header: dict[str, str]
) -> None:
    path = upstream.on("/open/signed", serves())
    assert is_plain(ask(gateway, path, **header))
    assert ask(gateway, path).headers["Content-Encoding"] == "gzip"


def test_a_route_that_browsers_may_send_cookies_to_is_answered_uncompressed(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    assert is_plain(ask(gateway, upstream.on("/cookies/a", serves())))


def test_a_signed_in_users_answer_is_compressed(gateway: GatewayProcess, upstream: Upstream, alice: Person) -> None:
    path = upstream.on("/data/v1/mine", serves())
    for _ in range(3):
        assert gzip.decompress(ask(gateway, path, **alice.headers).body) == DOCUMENT
