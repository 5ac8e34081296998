"""Header fields: what a client may say, and what it may not make a service believe."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import headers as rules
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.support.people import Person
from tests.support.waiting import eventually

FORGED = [
    "X-User-Id",
    "x-user-role",
    "X_User_Id",
    "X-User_Id",
    "x_forwarded_for",
    "X-Forwarded-User",
    "X-Forwarded-Port",
    "Forwarded",
    "X-Real-IP",
    "X-Original-URL",
    "X-Rewrite-Url",
    "X-HTTP-Method-Override",
    "Remote-User",
    "X-Auth-Request-Email",
    "TE",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Trailer",
]


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_or_hop_by_hop_field_does_not_pass(gateway: GatewayProcess, name: str) -> None:
    fields = gateway.ask("GET", "/open/x", headers={name: "evil", "X-Kept": "yes"}).json["fields"]
    assert "evil" not in [value for _, value in fields]
    assert ["X-Kept", "yes"] in fields


def test_fields_named_in_connection_do_not_pass(gateway: GatewayProcess) -> None:
    head = "GET /open/x HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n"
    with gateway.wire() as wire:
        answer = wire.ask(f"{head}Connection: keep-alive, X-One\r\nConnection: x-TWO\r\n\r\n")
        names = {name.lower() for name, _ in answer.json["fields"]}
        assert "x-three" in names and not names & {"x-one", "x-two", "connection"}
        assert wire.ask("GET /open/y HTTP/1.1\r\nHost: a\r\n\r\n").status == 200


def test_naming_authorization_in_connection_does_not_hide_it_from_the_service(
    gateway: GatewayProcess, alice: Person
) -> None:
    answer = gateway.ask("GET", "/data/v1/x", headers={**alice.headers, "Connection": "authorization, x-request-id"})
    names = [name for name, _ in answer.json["fields"]]
    assert "authorization" in names and "x-request-id" in names


def test_the_service_learns_the_clients_address_from_the_gateway_alone(gateway: GatewayProcess) -> None:
    claims = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    fields = dict(map(tuple, gateway.ask("GET", "/open/x", headers=claims).json["fields"]))
    assert fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["x-forwarded-proto"] == "http"
    assert fields["x-forwarded-host"] == "gateway.example"
    assert fields["host"] != "gateway.example"


def test_behind_trusted_proxies_only_what_they_added_is_believed(issuer, upstream: Upstream, folder) -> None:
    gateway = GatewayProcess(issuer, upstream.url, folder, TRUSTED_HOPS="1").start()
    try:
        claims = {
            "X-Forwarded-For": "6.6.6.6, 10.0.0.9",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "api.example",
        }
        fields = dict(map(tuple, gateway.ask("GET", "/open/x", headers=claims).json["fields"]))
        assert fields["x-forwarded-for"] == "10.0.0.9, 127.0.0.1"
        assert (fields["x-forwarded-proto"], fields["x-forwarded-host"]) == ("https", "api.example")
        gateway.ask("GET", "/open/x", headers={"X-Forwarded-For": '"},{"a":"b'})

        def logged() -> list[str]:
            return [line["client"] for line in gateway.lines() if line.get("route") == "/open/*"]

        eventually(lambda: logged() == ["10.0.0.9", "unknown"], what="the log names the client")
    finally:
        gateway.stop()


def test_a_request_id_is_kept_if_well_formed_and_made_otherwise(gateway: GatewayProcess) -> None:
    for sent, kept in (("my-request.id_42", True), ("short", False), ("x" * 65, False), ("a b c d e f", False)):
        answer = gateway.ask("GET", "/open/x", headers={"X-Request-Id": sent})
        fields = dict(map(tuple, answer.json["fields"]))
        assert answer.headers.get_all("X-Request-Id") == [fields["x-request-id"]]
        assert (fields["x-request-id"] == sent) is kept
        if not kept:
            assert len(fields["x-request-id"]) == 36 and fields["x-request-id"][14] == "7"


def test_a_trace_is_continued_with_a_new_span_and_a_bad_one_replaced(gateway: GatewayProcess) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

    def sent_on(header: str) -> list[str]:
        fields = dict(map(tuple, gateway.ask("GET", "/open/x", headers={"traceparent": header}).json["fields"]))
        return str(fields["traceparent"]).split("-")

    version, found, new_span, flags = sent_on(f"00-{trace}-{span}-00")
    assert (version, found, flags) == ("00", trace, "00") and new_span != span and len(new_span) == 16
    for bad in (f"00-{'0' * 32}-{span}-01", f"00-{trace.upper()}-{span}-01", "garbage"):
        found = sent_on(bad)[1]
        assert found != trace and len(found) == 32


def test_hop_by_hop_fields_of_an_answer_do_not_pass(gateway: GatewayProcess, upstream: Upstream) -> None:
    def answer(_request: Received, stream: Stream) -> None:
        fields = (
            "Connection: X-Internal, keep-alive\r\nX-Internal: secret\r\nKeep-Alive: timeout=5\r\nServer: gunicorn\r\n"
            "Proxy-Authenticate: Basic\r\nX-Request-Id: another\r\nAccess-Control-Allow-Origin: *\r\nX-Kept: yes\r\n"
        )
        stream.answer(b"{}", fields=fields)

    found = gateway.ask("GET", upstream.on("/open/hop", answer)).headers
    assert found["X-Kept"] == "yes" and found["X-Request-Id"] != "another"
    for name in ("X-Internal", "Keep-Alive", "Server", "Proxy-Authenticate", "Access-Control-Allow-Origin"):
        assert found[name] is None


NAMES = st.text(string.ascii_letters + string.digits + "-_!#$%&'*+.^`|~", min_size=1, max_size=30)
VALUES = st.text([chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=40)
READ_BY_THE_GATEWAY = {
    *("host", "content-length", "transfer-encoding", "connection", "authorization", "expect", "upgrade", "origin"),
    *("x-request-id", "traceparent", "http2-settings", "access-control-request-method"),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_any_other_field_passes_unchanged_or_not_at_all(gateway: GatewayProcess, sent: list[tuple[str, str]]) -> None:
    sent = [(name, value) for name, value in sent if name.lower() not in READ_BY_THE_GATEWAY]
    head = "".join(f"{name}: {value}\r\n" for name, value in sent)
    with gateway.wire() as wire:
        answer = wire.ask(f"GET /open/x HTTP/1.1\r\nHost: a\r\n{head}\r\n")
    assert answer.status == 200
    arrived = [(name, value) for name, value in map(tuple, answer.json["fields"]) if name.lower() != "host"]
    expected = [(name, value) for name, value in sent if rules.may_enter(name.lower().encode())]
    assert arrived[: len(expected)] == expected
    assert not [name for name, _ in arrived if "_" in name or name.lower().startswith("x-user-")]
