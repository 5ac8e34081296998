"""Deny by default: what is routed, what is not, and the gateway's own pages."""

import time

import pytest

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.people import Person
from tests.support.waiting import eventually


@pytest.mark.parametrize("path", ["/", "/nothing", "/dat", "/data", "/data/v2/x", "/docsx", "/auth/v1x", "/admin"])
def test_what_no_route_names_does_not_exist(gateway: GatewayProcess, path: str) -> None:
    answer = gateway.ask("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_a_wrong_method_is_told_the_right_ones(gateway: GatewayProcess, method: str) -> None:
    answer = gateway.ask(method, "/auth/v1/signup")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_a_services_own_pages_are_not_reached_through_the_gateway(gateway: GatewayProcess, upstream: Upstream) -> None:
    before = len(upstream.requests)
    for path in ("/metrics", "/livez", "/readyz", "/healthz"):
        gateway.ask("GET", path)
    assert len(upstream.requests) == before
    assert gateway.ask("GET", "/livez").body == b"ok\n"
    assert gateway.ask("HEAD", "/livez").body == b""
    assert gateway.ask("POST", "/livez").status == 405


def test_a_route_may_have_another_path_upstream(gateway: GatewayProcess) -> None:
    assert gateway.ask("GET", "/renamed?a=1").json["target"] == "/open/elsewhere?a=1"


def test_methods_query_and_body_arrive_as_they_were_sent(gateway: GatewayProcess) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = gateway.ask(method, "/open/x?a=1&b=%20&c", body=b"" if method == "GET" else b"12345")
        assert answer.json["method"] == method
        assert answer.json["target"] == "/open/x?a=1&b=%20&c"
        assert answer.json["body_bytes"] == (0 if method == "GET" else 5)


def test_status_and_fields_of_an_answer_are_passed_on(gateway: GatewayProcess, upstream: Upstream) -> None:
    def answer_teapot(_request: Received, stream: Stream) -> None:
        stream.answer(b"short", status="418 Whatever", fields='ETag: "1"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n')

    answer = gateway.ask("GET", upstream.on("/open/teapot", answer_teapot))
    assert (answer.status, answer.body, answer.headers["ETag"]) == (418, b"short", '"1"')
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_the_own_pages_tell_of_the_services_and_one_that_is_down_does_not_blank_them(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    document = b"""{"openapi": "3.1.0", "paths": {"/data/v1/x": {"get": {"responses": {"200": {"content":
        {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}}}}}},
        "components": {"schemas": {"Item": {"type": "object"}}, "securitySchemes": {"bearer": {"type": "http"}}}}"""
    upstream.on("/openapi.json", lambda _request, stream: stream.answer(document))
    merged = gateway.ask("GET", "/openapi.json").json
    schema = merged["paths"]["/data/v1/x"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    kind, name = schema["$ref"].removeprefix("#/components/").split("/")
    assert merged["openapi"].startswith("3.1") and merged["components"][kind][name] == {"type": "object"}
    assert "bearer" in merged["components"]["securitySchemes"]

    status = gateway.ask("GET", "/status").json
    assert status["status"] == "degraded"
    assert status["services"]["data"]["is_ready"] and not status["services"]["nobody"]["is_ready"]
    keys = gateway.ask("GET", "/.well-known/jwks.json")
    assert keys.json["keys"][0]["kid"] and "max-age" in keys.headers["Cache-Control"]


def test_the_access_log_names_the_route_and_holds_no_secret(gateway: GatewayProcess, alice: Person) -> None:
    token = alice.token()
    answer = gateway.ask("POST", "/data/v1/x?code=hunter2", body=b"123", headers={"Authorization": f"Bearer {token}"})
    request_id = answer.headers["X-Request-Id"]
    deadline = time.monotonic() + 5
    while not (lines := [line for line in gateway.lines() if line.get("request_id") == request_id]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (line,) = lines
    assert (line["method"], line["route"], line["status"]) == ("POST", "/data/v1/*", 200)
    assert (line["bytes_in"], line["bytes"], line["upstream"]) == (3, len(answer.body), "data")
    assert line["user_id"] == str(alice.user_id) and line["client"] == "127.0.0.1"
    assert 0 < line["upstream_ms"] <= line["duration_ms"] < 5000
    log = gateway.log.read_text()
    assert "hunter2" not in log and token not in log and token.split(".")[2] not in log


def test_the_access_log_names_who_acts_for_a_user_too(gateway: GatewayProcess, alice: Person, mallory: Person) -> None:
    token = alice.token(act={"sub": str(mallory.user_id)})
    answer = gateway.ask("GET", "/data/v1/x", headers={"Authorization": f"Bearer {token}"})
    request_id = answer.headers["X-Request-Id"]
    (line,) = eventually(lambda: [line for line in gateway.lines() if line.get("request_id") == request_id])
    assert (line["user_id"], line["actor_id"]) == (str(alice.user_id), str(mallory.user_id))


def test_metrics_have_bounded_labels(gateway: GatewayProcess) -> None:
    before = gateway.metric("http_requests_total", route="/open/*", status="200")
    for number in range(5):
        gateway.ask("GET", f"/open/{number}")
        gateway.ask("GET", f"/nothing/{number}")
    deadline = time.monotonic() + 5
    while gateway.metric("http_requests_total", route="/open/*", status="200") < before + 5:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert gateway.metric("http_requests_total", route="(none)", status="404") >= 5
    assert gateway.metric("http_request_duration_seconds_count", route="/open/*") >= 5
    assert gateway.metric("gateway_upstream_duration_seconds_count", upstream="data") >= 5
    assert gateway.metric("gateway_upstream_connections", upstream="data", state="idle") >= 1
    assert gateway.metric("http_requests_total", route="/open/1") == 0
