"""Revoked sessions: refused within a second on every worker, and still after a restart, by way of a real RabbitMQ."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from gateway.revocations import RevocationSet
from shared.contracts import Envelope, SessionRevoked
from shared.ids import new_id
from shared.publisher import Message, Publisher
from shared.tokens import LEEWAY_S, TOKEN_LIFETIME_S
from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Upstream
from tests.support.broker import Broker
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"


def revocation(session_id: UUID, revoked_at: datetime | None = None) -> Message:
    event = SessionRevoked(
        session_id=session_id, user_id=new_id(), reason="logout", revoked_at=revoked_at or datetime.now(UTC)
    )
    return Message.of(Envelope.of(event))


def ask(gateway: GatewayProcess, token: str) -> str:
    answer = gateway.ask("GET", "/data/v1/x", headers={"Authorization": f"Bearer {token}"})
    return "passed" if answer.status == 200 else answer.code


@pytest.fixture
def publisher(broker: Broker):
    made = Publisher(broker.url("auth"))
    yield made
    made.close()


def start(issuer: Issuer, upstream: Upstream, folder: Path, broker: Broker, **environment: str) -> GatewayProcess:
    url = broker.url("gateway")
    return GatewayProcess(issuer, upstream.url, folder, AMQP_URL=url, **environment).start("/readyz")


def test_a_revoked_session_is_refused_within_a_second_on_every_worker_and_after_a_restart(
    issuer: Issuer,
    upstream: Upstream,
    folder: Path,
    broker: Broker,
    publisher: Publisher,
    alice: Person,
    mallory: Person,
) -> None:
    environment = {"WEB_WORKERS": "2", "REVOCATIONS_WAIT_S": "5"}
    gateway = start(issuer, upstream, folder, broker, **environment)
    try:
        token, others = alice.token(), mallory.token()
        assert [ask(gateway, token) for _ in range(10)] == ["passed"] * 10  # both workers have it in their cache
        publisher.publish([revocation(alice.session_id)])
        published_at = time.monotonic()
        eventually(lambda: [ask(gateway, token) for _ in range(10)] == ["session_revoked"] * 10, what="refused by all")
        assert time.monotonic() - published_at < 1
        assert ask(gateway, others) == "passed"
        assert ask(gateway, alice.token(aal="aal2")) == "session_revoked"  # another token of the same session
        eventually(lambda: gateway.metric("gateway_revocations_caught_up") == 1, what="every worker follows")

        killed = gateway.workers()
        for worker in killed:  # as after a crash: the new workers know before they accept
            worker.kill()
        for _ in range(20):
            assert ask(gateway, token) == "session_revoked"
        assert {worker.pid for worker in killed}.isdisjoint(worker.pid for worker in gateway.workers())
    finally:
        gateway.stop()
    gateway = start(issuer, upstream, folder, broker, **environment)
    try:
        assert ask(gateway, token) == "session_revoked"
        assert ask(gateway, others) == "passed"
    finally:
        gateway.stop()


def test_without_the_broker_the_gateway_serves_and_says_so_and_goes_on_where_it_was(
    issuer: Issuer, upstream: Upstream, folder: Path, broker: Broker, publisher: Publisher, alice: Person
) -> None:
    gateway = start(issuer, upstream, folder, broker)
    try:
        first, second = new_id(), new_id()
        publisher.publish([revocation(first), Message("session.revoked", b"not an event", "x")])
        eventually(lambda: ask(gateway, issuer.token(new_id(), sid=first)) == "session_revoked", what="first refused")
        broker.close_connections("gateway")
        publisher.publish([revocation(second)])
        assert ask(gateway, alice.token()) == "passed"
        assert gateway.ask("GET", "/readyz").status == 200  # it was caught up once: it stays in service
        eventually(lambda: ask(gateway, issuer.token(new_id(), sid=second)) == "session_revoked", what="second refused")
        assert ask(gateway, issuer.token(new_id(), sid=first)) == "session_revoked"
        eventually(lambda: gateway.metric("gateway_revocations_caught_up") == 1, what="it follows again")
        eventually(lambda: gateway.metric("gateway_revoked_sessions") == 2, what="it counts both")
    finally:
        gateway.stop()


def test_a_gateway_that_has_never_caught_up_is_not_ready_but_serves(gateway: GatewayProcess, alice: Person) -> None:
    answer = gateway.ask("GET", "/readyz")
    assert (answer.status, answer.code) == (503, "not_ready") and "revocations" in answer.json["detail"]
    assert ask(gateway, alice.token()) == "passed"
    assert gateway.metric("gateway_revocations_caught_up") == 0


def test_the_set_forgets_what_can_no_longer_matter() -> None:
    revoked = RevocationSet()
    now = datetime.now(UTC)
    lifetime = timedelta(seconds=TOKEN_LIFETIME_S + 2 * LEEWAY_S)
    revoked.add("old", (now - lifetime - timedelta(seconds=1)).timestamp())
    revoked.add("almost", (now - lifetime + timedelta(seconds=0.2)).timestamp())
    revoked.add("new", now.timestamp())
    assert "old" not in revoked and "almost" in revoked and "new" in revoked
    time.sleep(0.3)
    revoked.purge()
    assert len(revoked) == 1 and "new" in revoked
