"""Apps that live for years: too old, deprecated, closed for maintenance, linked to the host; 304 for what they have."""

from pathlib import Path

import pytest

from gateway import routes
from gateway.versions import key
from tests.gateway.process import ROUTES, GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.issuer import Issuer
from tests.support.waiting import eventually


def app(platform: str, version: str) -> dict[str, str]:
    return {"X-App-Platform": platform, "x-app-version": version}


def test_versions_are_in_the_order_of_semantic_versioning() -> None:
    order = ["0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1"]
    order += ["v1", "1.0.1", "1.2", "1.10", "2", "2.0.0.1", "10.0.0"]
    keys = [key(version) for version in order]
    assert None not in keys and sorted(keys, key=lambda found: found or ()) == keys and len({*keys}) == len(keys)
    assert key("1") == key("1.0.0") == key("1.0.0+build.7")
    assert [key(text) for text in ("", "x", "1.", "1..2", "1.2.3.4.5", "-1", "1 2", "9" * 10)] == [None] * 8


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"X-App-Platform": "ios"}, 200),
        ({"X-App-Version": "0.1"}, 200),
        (app("web", "0.1"), 200),
        (app("ios", "2.4.0"), 200),
        (app("iOS", "2.4"), 200),
        (app("ios", "10.0"), 200),
        (app("ios", "2.3.99"), 426),
        (app("ios", "2.4.0-rc.1"), 426),
        (app("ios", "newest"), 426),
        (app("ios", ""), 426),
        (app("android", "1.9"), 426),
        (app("android", "1.10.1"), 200),
    ],
)
def test_an_app_that_is_too_old_is_sent_to_its_store(
    gateway: GatewayProcess, headers: dict[str, str], status: int
) -> None:
    for _ in range(3):
        answer = gateway.ask("GET", "/open/x", headers=headers)
        assert answer.status == status
    if status == 426:
        assert answer.code == "app_too_old" and answer.headers["Upgrade"].startswith("app/")
        assert answer.json["store_url"].startswith("https://") and answer.json["minimum_version"] in ("2.4.0", "1.10")
    assert gateway.ask("GET", "/open/any-version", headers=headers).status == 200
    assert gateway.ask("GET", "/livez", headers=headers).status == 200


def test_the_headers_an_app_names_itself_in_go_on_to_the_service(gateway: GatewayProcess) -> None:
    fields = gateway.ask("GET", "/open/x", headers=app("ios", "2.4.0")).json["fields"]
    assert ["X-App-Platform", "ios"] in fields and ["x-app-version", "2.4.0"] in fields


def test_a_deprecated_route_says_so_in_every_answer(gateway: GatewayProcess, upstream: Upstream) -> None:
    def answer_all(_request: Received, stream: Stream) -> None:
        stream.answer(
            b"x", fields="Deprecation: @1\r\nSunset: Mon, 01 Jan 2024 00:00:00 GMT\r\nLink: </a>; rel=next\r\n"
        )

    paths = ["/old/x"] * 3 + [upstream.on("/old/own", answer_all)] * 3
    for answer in [gateway.ask("GET", path) for path in paths] + [
        gateway.ask("GET", "/old/x", headers=app("ios", "1"))
    ]:
        assert answer.headers.get_all("Deprecation") == ["@1767225600"]
        assert answer.headers.get_all("Sunset") == ["Thu, 31 Dec 2026 11:00:00 GMT"]
        assert '<https://docs.example/new>; rel="deprecation"' in answer.headers.get_all("Link", [])
    assert gateway.ask("GET", "/open/x").headers["Deprecation"] is None


def test_the_apps_of_the_host_are_named_for_android_and_ios(gateway: GatewayProcess) -> None:
    android = gateway.ask("GET", "/.well-known/assetlinks.json")
    assert android.headers["Content-Type"] == "application/json" and "max-age" in android.headers["Cache-Control"]
    (statement,) = android.json
    assert statement["target"]["package_name"] == "com.example.app"
    assert "delegate_permission/common.handle_all_urls" in statement["relation"]
    assert len(statement["target"]["sha256_cert_fingerprints"][0].split(":")) == 32
    apple = gateway.ask("GET", "/.well-known/apple-app-site-association")
    assert apple.headers["Content-Type"] == "application/json"
    assert apple.json["webcredentials"]["apps"] == ["ABCDE12345.com.example.app"]
    assert apple.json["applinks"]["details"] == [
        {"appIDs": ["ABCDE12345.com.example.app"], "components": [{"/": "/open/*"}]}
    ]


def test_an_etag_and_a_304_pass_through_untouched(gateway: GatewayProcess, upstream: Upstream) -> None:
    def answer(request: Received, stream: Stream) -> None:
        if request.value("if-none-match") == 'W/"7"':
            stream.send(b'HTTP/1.1 304 Not Modified\r\nETag: W/"7"\r\nCache-Control: max-age=5\r\n\r\n')
        else:
            stream.answer(b"all of it", fields='ETag: W/"7"\r\n')

    path = upstream.on("/open/etag", answer)
    for _ in range(3):
        first = gateway.ask("GET", path)
        assert (first.status, first.headers["ETag"], first.body) == (200, 'W/"7"', b"all of it")
        second = gateway.ask("GET", path, headers={"If-None-Match": 'W/"7"'})
        assert (second.status, second.headers["ETag"], second.body) == (304, 'W/"7"', b"")
        assert second.headers["Cache-Control"] == "max-age=5" and second.headers["Content-Length"] is None


def test_maintenance_is_switched_on_and_off_by_the_table(issuer: Issuer, upstream: Upstream, folder: Path) -> None:
    right = ROUTES.read_text()
    table = folder / "routes.yaml"
    table.write_text(right)
    gateway = GatewayProcess(issuer, upstream.url, folder, ROUTES_FILE=str(table)).start()

    def becomes(text: str, path: str, status: int) -> None:
        table.write_text(right + text)
        eventually(lambda: gateway.ask("GET", path).status == status, what=f"{path} answers {status}")

    try:
        becomes("\nmaintenance: {upstreams: [data], retry_after_s: 600, exempt: [/optional]}\n", "/open/x", 503)
        answer = gateway.ask("GET", "/open/x")
        assert (answer.code, answer.headers["Retry-After"]) == ("maintenance", "600")
        assert gateway.ask("GET", "/data/v1/x").code == "maintenance"  # before it asks for a token
        assert gateway.ask("GET", "/optional/x").status == 200
        assert gateway.ask("POST", "/auth/v1/signup").status == 200
        assert gateway.ask("GET", "/livez").status == gateway.ask("GET", "/status").status == 200
        becomes('\nmaintenance: {detail: "Back at noon."}\n', "/optional/x", 503)
        assert gateway.ask("POST", "/auth/v1/signup").json["detail"] == "Back at noon."
        assert gateway.ask("GET", "/nothing").status == 404
        becomes("", "/open/x", 200)
    finally:
        assert gateway.stop() == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("maintenance: {upstreams: [b]}", "line 4: maintenance.upstreams[0]: 'b' is not one of: a"),
        ("maintenance: {exempt: [/b]}", "maintenance.exempt[0]: no route is at or below /b"),
        ("clients: {minimum: {ios: {version: new, store_url: 'https://x'}}}", "clients.minimum.ios.version: a version"),
        ("clients: {minimum: {}, exempt: [/b]}", "clients.exempt[0]: no route is at or below /b"),
        ("apps: {apple: [com.example.app]}", "apps.apple[0]"),
    ],
)
def test_a_mistake_about_apps_is_told_with_its_place(more: str, said: str) -> None:
    text = "upstreams: {a: {url: 'http://a'}}\nroutes:\n  - {path: /a, upstream: a, access: user}\n"
    with pytest.raises(routes.Mistakes) as caught:
        routes.parse(f"{text}{more}\n")
    assert said in str(caught.value)


def test_a_sunset_is_not_before_the_deprecation() -> None:
    dates = "deprecation: {deprecated_at: 2026-02-01, sunset_at: 2026-01-01}"
    with pytest.raises(routes.Mistakes, match="sunset_at is not before deprecated_at"):
        routes.parse(
            f"upstreams: {{a: {{url: 'http://a'}}}}\nroutes:\n  - {{path: /a, upstream: a, access: user, {dates}}}\n"
        )
