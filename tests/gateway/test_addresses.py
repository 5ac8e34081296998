"""Whose request it is, whatever a client writes into X-Forwarded-For."""

import pytest

from gateway.addresses import chain, client, group, plain
from gateway.request import Request

PEER = b"10.0.0.1"


@pytest.mark.parametrize(
    ("hops", "header", "expected"),
    [
        (0, None, b"10.0.0.1"),
        (0, b"6.6.6.6", b"10.0.0.1"),
        (1, None, b"10.0.0.1"),
        (1, b"192.0.2.1", b"192.0.2.1"),
        (1, b"6.6.6.6, 192.0.2.1", b"192.0.2.1"),
        (1, b"6.6.6.6,,, 192.0.2.1 ", b"192.0.2.1"),
        (1, b"192.0.2.1:4711", b"192.0.2.1"),
        (1, b"[2001:db8::1]:4711", b"2001:db8::1"),
        (1, b"2001:DB8:0::1", b"2001:db8::1"),
        (1, b"::ffff:192.0.2.1", b"192.0.2.1"),
        (1, b"fe80::1%eth0", b"fe80::1"),
        (1, b"somewhere", b"unknown"),
        (1, b'"},{"a":"b', b"unknown"),
        (1, b"192.0.2.1\xff", b"unknown"),
        (1, b"6.6.6.6,", b"unknown"),
        (2, b"192.0.2.1, 10.0.0.2", b"192.0.2.1"),
        (2, b"6.6.6.6, 192.0.2.1, 10.0.0.2", b"192.0.2.1"),
        (2, b"6.6.6.6", b"10.0.0.1"),  # it did not come through both proxies
        (3, b"192.0.2.1, 10.0.0.3, 10.0.0.2", b"192.0.2.1"),
    ],
)
def test_the_address_is_counted_from_the_right(hops: int, header: bytes | None, expected: bytes) -> None:
    request = Request(b"/")
    request.forwarded_for = header
    assert client(request, PEER, hops) == expected
    assert chain(request, PEER, hops)[-1] == PEER
    assert len(chain(request, PEER, hops)) <= hops + 1


def test_one_network_is_one_client_and_one_ipv4_address_too() -> None:
    assert group(b"192.0.2.1") == group(b"::ffff:192.0.2.1") != group(b"192.0.2.2")
    assert (
        group(b"2001:db8::1") == group(b"2001:db8::ffff:1") == group(b"2001:db8:0:0:ffff::1") != group(b"2001:db8:1::1")
    )
    assert group(plain(b"nothing")) == b"unknown"
