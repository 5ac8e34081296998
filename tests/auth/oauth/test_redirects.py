"""Which places a client may register and a request may name: one spelling, one reading (RFC 8252, RFC 9700 4.1)."""

import pytest

from services.auth.oauth.redirects import is_among, is_assured, require_registrable

GOOD = (
    "https://app.test/back",
    "https://app.test",
    "https://app.test:8443/back?a=b",
    "https://127.0.0.1/back",
    "http://127.0.0.1/back",
    "http://127.0.0.1:8080/back",
    "http://[::1]/back",
    "http://localhost:3000/back",
    "com.example.app:/back",
    "com.example.app://back",
    "com.example.my-app+x:/",
)
BAD = (
    "", "x", "/back", "//app.test/back", "https:", "https://", "https:///back", "https://app.test/back#x", "http://app.test/back",
    "http://10.0.0.1/back", "http://0.0.0.0/back", "http://127.0.0.2/back", "http://localhost.evil.test/back",
    "https://a@app.test/", "https://a:b@app.test/", "http://x@127.0.0.1/", "https://app.test:port/", "https://app.test:99999/",
    "https://0x7f000001/", "https://1.1.1.1/", "https://[::2]/", "https://app.test/\\back", "https://app.test/ back",
    "https://app.test/\nback", "https://app.test/\x00", "https://äpp.test/", "https://*.app.test/", "https://app.test/*",
    'https://app.test/"', "https://app.test/<x>", "myapp:/back", "javascript:alert(1)", "data:text/html,x", "file:///x",
    "blob:https://app.test/x",
    "vbscript:x.y", "com.example.app", "com..example:/x", ".com.example:/x", "1com.example:/x",
    "COM.example.app:/x", "com.example.app:/x#y", "com.example.app://user@x", "https://app.test/" + "x" * 2048,
)  # fmt: skip


@pytest.mark.parametrize("uri", GOOD)
def test_a_place_that_an_app_can_own_may_be_registered_and_named_as_it_is(uri: str) -> None:
    assert require_registrable(uri) == uri
    assert is_among([uri], uri)


@pytest.mark.parametrize("uri", BAD)
def test_any_other_may_not_be_registered(uri: str) -> None:
    with pytest.raises(ValueError, match=r"is|names|[Pp]ort"):
        require_registrable(uri)


def test_only_the_port_of_a_loopback_address_is_the_app_s_to_choose() -> None:
    registered = ["http://127.0.0.1/back?x=1", "http://[::1]:1/back", "https://app.test:1/back"]
    for good in (
        "http://127.0.0.1:5/back?x=1",
        "http://127.0.0.1/back?x=1",
        "http://[::1]/back",
        "http://[::1]:9/back",
    ):
        assert is_among(registered, good), good
    for bad in (
        "http://127.0.0.1:5/back", "http://127.0.0.1:5/back?x=2", "http://127.0.0.1:5/Back?x=1", "http://localhost:5/back?x=1",
        "https://127.0.0.1:5/back?x=1", "http://127.0.0.1:5/back?x=1#y", "http://a@127.0.0.1:5/back?x=1", "http://[::1]:x/back",
        "http://127.0.0.1:/back?x=1\n", "https://app.test/back", "https://app.test:2/back", "http://[::1/back", "http://::1/back",
        "http://127.0.0.1:5\\@evil.test/back?x=1", "http://127.0.0.1:70000/back?x=1",
    ):  # fmt: skip
        assert not is_among(registered, bad), bad


def test_only_https_goes_to_one_app_for_sure() -> None:
    assert is_assured("https://app.test/back")
    for place in ("com.example.app:/back", "http://127.0.0.1/back", "http://localhost/back"):
        assert not is_assured(place)
