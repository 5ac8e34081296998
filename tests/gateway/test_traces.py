"""Traces: one for a request through every process it meets, none where nobody asked for them, and never in the way."""

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from deploy.local.ports import free_ports
from gateway.config import ROUTES_FILE
from tests.gateway.process import HOST, REPOSITORY, GatewayProcess
from tests.gateway.upstream import Upstream
from tests.support.broker import Broker
from tests.support.issuer import Issuer
from tests.support.otlp import Collector, Span
from tests.support.people import Person
from tests.support.process import Process
from tests.support.waiting import eventually

PHONE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


Traced = Callable[..., GatewayProcess]


@pytest.fixture
def traced(issuer: Issuer, upstream: Upstream, folder: Path, collector: Collector) -> Iterator[Traced]:
    """A gateway that sends its spans to the collector, or where a test says."""
    with ExitStack() as running:

        def start(**environment: str) -> GatewayProcess:
            where = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **SOON, **environment}
            return running.enter_context(_running(GatewayProcess(issuer, upstream.url, folder, **where)))

        yield start


@contextmanager
def _running(process: GatewayProcess) -> Iterator[GatewayProcess]:
    try:
        yield process.start()
    finally:
        assert process.stop() == 0


def sampled(header: str | None) -> tuple[str, str, str]:
    """Trace id, span id and flags."""
    assert header is not None
    _, trace_id, span_id, flags = header.split("-")
    return trace_id, span_id, flags


def phones(flags: str) -> dict[str, str]:
    return {"traceparent": f"00-{PHONE[0]}-{PHONE[1]}-{flags}"}


def test_one_trace_goes_from_the_phone_through_gateway_auth_outbox_and_broker_to_notify(
    folder: Path, issuer: Issuer, broker: Broker, collector: Collector, fresh_database: Callable[[str], str]
) -> None:
    web, auth_worker, notify_worker = free_ports(3)
    common = {
        "ISSUER": issuer.issuer,
        "JWKS_URL": issuer.jwks_url,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
        **SOON,
    }
    auth = {
        **common,
        "DATABASE_URL": fresh_database("auth"),
        "AMQP_URL": broker.url("auth"),
        "SECRET_KEYS": base64.b64encode(bytes(range(32))).decode(),
        "PUBLIC_URL": "https://app.example.com",
        "BIND": f"{HOST}:{web}",
        "WORKER_BIND": f"{HOST}:{auth_worker}",
    }
    notify = {
        **common,
        "DATABASE_URL": fresh_database("notify"),
        "AMQP_URL": broker.url("notify"),
        "WORKER_BIND": f"{HOST}:{notify_worker}",
    }
    with ExitStack() as running:

        def start(service: str, verb: str, environment: dict[str, str]) -> None:
            home = folder / f"{service}-{verb}"
            home.mkdir()
            process = Process(f"services.{service}", verb, folder=home, **environment)
            running.callback(process.end)

        start("notify", "worker", notify)
        start("auth", "serve", auth)
        start("auth", "worker", auth)
        for port in (web, auth_worker, notify_worker):
            eventually(lambda port=port: _is_ready(port), timeout_s=40, what=f"the process at {port}")
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **SOON, "ROUTES_FILE": str(ROUTES_FILE)}
        gateway = running.enter_context(_running(GatewayProcess(issuer, f"http://{HOST}:{web}", folder, **environment)))
        body = b'{"email": "alice@example.org", "password": "correct horse battery staple"}'
        headers = {"Content-Type": "application/json", **phones("01")}
        assert gateway.ask("POST", "/auth/v1/signup", body=body, headers=headers).status == 200

        def way_back() -> list[Span]:
            """From the effect to where it came from, as far as the spans have arrived: each process sends its own."""
            spans = {span.span_id: span for span in collector.of(PHONE[0])}
            way = [span for span in spans.values() if span.name == "process notify.user.registered"]
            while way and (parent := spans.get(way[-1].parent_id)) is not None:
                way.append(parent)
            return way if way and way[-1].parent_id == PHONE[1] else []

        way = eventually(way_back, what="the effect in notify, traced back to the phone")
        assert [(span.service, span.kind, span.name) for span in reversed(way)] == [
            ("gateway", "server", "POST /auth/v1/signup"),
            ("gateway", "client", "POST /auth/v1/signup"),
            ("auth", "server", "POST /auth/v1/signup"),
            ("auth-worker", "producer", "publish user.registered"),
            ("notify-worker", "consumer", "process notify.user.registered"),
        ]
        assert all(0 <= span.seconds < 60 and not span.is_error for span in way)
    assert b"alice@example.org" not in collector.raw and b"correct horse" not in collector.raw


def _is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://{HOST}:{port}/readyz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def test_a_span_says_what_the_access_log_says_and_no_more(
    traced: Traced, collector: Collector, upstream: Upstream, alice: Person
) -> None:
    gateway = traced()
    headers = {**alice.headers, **phones("01"), "X-Request-Id": "request-of-alice"}
    assert gateway.ask("GET", "/data/v1/private-thing?code=secret", headers=headers).status == 200
    assert gateway.ask("GET", "/data/v1/private-thing", headers=phones("01")).status == 401
    assert gateway.ask("GET", "/nothing/private-thing", headers=phones("01")).status == 404
    assert gateway.ask("GET", "/nobody/private-thing", headers=phones("01")).status == 502
    eventually(lambda: len(collector.of(PHONE[0])) == 6)
    servers = {span.attributes["http.response.status_code"]: span for span in collector.spans if span.kind == "server"}
    assert servers[200].name == "GET /data/v1/*" and servers[200].attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/data/v1/*",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": HOST,
        "gatehouse.request_id": "request-of-alice",
    }
    assert servers[404].name == "GET" and "http.route" not in servers[404].attributes
    assert {status for status, span in servers.items() if span.is_error} == {502} and len(servers) == 4
    assert {span.parent_id for span in servers.values()} == {PHONE[1]}
    calls = {span.parent_id: span for span in collector.spans if span.kind == "client"}
    good, bad = calls[servers[200].span_id], calls[servers[502].span_id]
    assert good.attributes["server.port"] == upstream.port and good.attributes["peer.service"] == "data"
    assert bad.is_error and bad.attributes["error.type"] == "no_answer"
    (request,) = upstream.seen("/data/v1/private-thing")
    assert sampled(request.value("traceparent")) == (PHONE[0], good.span_id, "01")
    for secret in (b"private-thing", b"secret", alice.headers["Authorization"].encode()[7:]):
        assert secret not in collector.raw

    def logged() -> list[str]:
        return [line["trace_id"] for line in gateway.lines() if line.get("logger") == "access"]

    eventually(lambda: logged() == [PHONE[0]] * 4)


def test_the_sampler_decides_on_new_traces_and_a_parents_word_is_kept_and_passed_on(
    traced: Traced, collector: Collector, upstream: Upstream
) -> None:
    gateway = traced(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.25")
    for number in range(80):
        assert gateway.ask("GET", f"/open/ratio-{number}").status == 200
    passed_on = [sampled(upstream.seen(f"/open/ratio-{number}")[0].value("traceparent")) for number in range(80)]
    chosen = {trace_id for trace_id, _, flags in passed_on if flags == "01"}
    assert {flags for _, _, flags in passed_on} == {"00", "01"} and 3 <= len(chosen) <= 45
    assert gateway.ask("GET", "/open/yes", headers=phones("01")).status == 200
    assert gateway.ask("GET", "/open/no", headers=phones("00")).status == 200
    assert sampled(upstream.seen("/open/yes")[0].value("traceparent"))[::2] == (PHONE[0], "01")
    assert sampled(upstream.seen("/open/no")[0].value("traceparent"))[::2] == (PHONE[0], "00")
    eventually(lambda: {span.trace_id for span in collector.spans} == chosen | {PHONE[0]})
    assert len(collector.of(PHONE[0])) == 2


def test_what_waits_is_sent_when_the_worker_ends(traced: Traced, collector: Collector) -> None:
    gateway = traced(OTEL_BSP_SCHEDULE_DELAY="600000")
    assert gateway.ask("GET", "/open/last", headers=phones("01")).status == 200
    assert collector.spans == []
    assert gateway.stop() == 0
    assert len(collector.of(PHONE[0])) == 2


def test_with_nobody_to_take_them_requests_are_served_and_spans_are_dropped_and_counted(traced: Traced) -> None:
    (nobody,) = free_ports(1)
    gateway = traced(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{HOST}:{nobody}",
        OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="1",
        OTEL_BSP_MAX_QUEUE_SIZE="20",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="20",
    )
    assert {gateway.ask("GET", f"/open/{number}").status for number in range(60)} == {200}
    eventually(lambda: gateway.metric("trace_spans_total", outcome="dropped") > 0, what="what did not fit")
    eventually(lambda: gateway.metric("trace_spans_total", outcome="failed") > 0, what="what could not be sent")
    assert gateway.metric("trace_spans_total", outcome="sent") == 0
    assert gateway.ask("GET", "/open/after").status == 200


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}],
    ids=["by default", "disabled"],
)
def test_where_no_traces_are_wanted_nothing_of_opentelemetry_is_imported(environment: dict[str, str]) -> None:
    program = (
        "import sys, gateway.gate, gateway.worker, services.auth.app, services.notify.worker, shared.bus\n"
        "from shared import trace; trace.start('x'); gateway.gate._tracing(); trace.begin(None)\n"
        "sys.exit(any(name.partition('.')[0] == 'opentelemetry' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_a_running_gateway_without_an_endpoint_has_not_loaded_it_either(gateway: GatewayProcess) -> None:
    paths = [region.path for worker in gateway.workers() for region in worker.memory_maps()]
    assert any("uvloop" in path for path in paths)
    assert not any("/google/" in path for path in paths), "protobuf's native part"
