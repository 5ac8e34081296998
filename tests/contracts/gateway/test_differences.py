"""docs/envoy.md lists what differs: every row has a reason and is asked about, and nothing listed is equal."""

import re
from datetime import UTC, datetime
from pathlib import Path

from shared.contracts import Envelope, SessionRevoked
from shared.ids import new_id
from shared.publisher import Message, Publisher
from tests.contracts.gateway import doors
from tests.contracts.gateway.doors import DIFFERENCES, Door, outcome
from tests.contracts.gateway.test_paths import LISTED
from tests.contracts.gateway.test_websockets import echo, open_socket
from tests.gateway.test_tokens import ATTACKS
from tests.gateway.upstream import Upstream
from tests.support.broker import Broker
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually


def test_every_row_differs_has_a_reason_and_is_asked_about() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    asked = set(re.findall(r'\.says\("([^"]+)"\)', source))
    asked |= {f"token: {attack}" for attack in ATTACKS} | {f"path `{path}`" for path in LISTED}
    asked |= {f"page {path}" for path in ("/docs", "/openapi.json", "/status", "/metrics")}
    assert len(DIFFERENCES) > 20
    assert DIFFERENCES.keys() <= asked
    for what, row in DIFFERENCES.items():
        assert row["gateway"] != row["envoy"] and len(row["reason"]) > 5, what


def test_a_session_that_has_ended(
    issuer: Issuer, upstream: Upstream, broker: Broker, tmp_path: Path, alice: Person
) -> None:
    ours: Door = doors.make("gateway", issuer, upstream, tmp_path, AMQP_URL=broker.url("gateway"))
    other: Door = doors.make("envoy", issuer, upstream, tmp_path)
    publisher = Publisher(broker.url("auth"))

    def asked(door: Door) -> str:
        return outcome(door.ask("GET", "/data/v1/x", headers=headers))

    headers = alice.headers
    try:
        ours.start("/readyz")
        other.start()
        assert [asked(ours), asked(other)] == ["200", "200"]
        sockets = [door.wire() for door in (ours, other)]
        for wire in sockets:
            open_socket(wire, upstream.on("/socket/ended", echo), f"Authorization: {headers['Authorization']}\r\n")
            assert wire.file.read(5) == b"hello"
        event = SessionRevoked(
            session_id=alice.session_id, user_id=new_id(), reason="logout", revoked_at=datetime.now(UTC)
        )
        publisher.publish([Message.of(Envelope.of(event))])
        eventually(lambda: asked(ours) == ours.says("a session that has ended"), what="refused by the gateway")
        assert asked(other) == other.says("a session that has ended")
        for door, wire in zip((ours, other), sockets, strict=True):
            state = "closed" if wire.is_closed(1) else "open"
            assert state == door.says("a web socket of a session that has ended")
            wire.close()
    finally:
        publisher.close()
        assert [ours.stop(), other.stop()] == [0, 0]
