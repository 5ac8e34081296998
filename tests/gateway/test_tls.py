"""TLS in the worker: what it speaks, what it refuses, and certificates that change under load."""

import contextlib
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.gateway.process import HOST, GatewayProcess
from tests.gateway.test_process import Load
from tests.gateway.test_streaming import PIECE, receive
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Wire
from tests.support.certificates import Authority, MountedPair
from tests.support.issuer import Issuer
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"
GET = f"GET /open/x HTTP/1.1\r\n{H}\r\n"
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # how a handshake begins
MOST_GROWTH = 40_000_000


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def secure(
    issuer: Issuer, upstream: Upstream, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    pair = MountedPair(tmp_path_factory.mktemp("tls"), authority.issue())
    process = GatewayProcess(
        issuer, upstream.url, tmp_path_factory.mktemp("gateway"),
        TLS_HANDSHAKE_TIMEOUT_S="1", HSTS_MAX_AGE_S="3600", KEEPALIVE_S="2",
    ).secure(authority, pair).start()  # fmt: skip
    yield process
    assert process.stop() == 0
    assert [line for line in process.lines() if line["level"] == "ERROR"] == []


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> MountedPair:
    return MountedPair(tmp_path, authority.issue(ends=timedelta(days=10)))


@pytest.fixture
def two_workers(
    issuer: Issuer,
    upstream: Upstream,
    authority: Authority,
    pair: MountedPair,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    process = GatewayProcess(issuer, upstream.url, folder, WEB_WORKERS="2").secure(authority, pair).start()
    eventually(lambda: len(process.begun()) == 2, what="both workers have begun")
    yield process
    assert process.stop() == 0


def raw(gateway: GatewayProcess) -> socket.socket:
    return socket.create_connection((HOST, gateway.tls_port), timeout=10)


def handshake(gateway: GatewayProcess, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(raw(gateway), server_hostname="gateway.example")


def failures(gateway: GatewayProcess, reason: str) -> float:
    return gateway.metric("gateway_tls_handshake_failures_total", reason=reason)


def days_left(gateway: GatewayProcess) -> int:
    """Of the certificate a new connection is served with."""
    with gateway.wire() as wire:
        assert isinstance(wire.socket, ssl.SSLSocket)
        found = wire.socket.getpeercert()
        assert found is not None
        return round((ssl.cert_time_to_seconds(str(found["notAfter"])) - time.time()) / 86_400)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken_without_compression(
    secure: GatewayProcess, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    with handshake(secure, context) as connection:
        assert connection.compression() is None and connection.selected_alpn_protocol() == "http/1.1"
        name, spoken, bits = connection.cipher() or ("", "", 0)
        assert spoken == version.name.replace("_", ".") and bits >= 128
        assert "GCM" in name or "CHACHA20" in name


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AES+SHA256:ECDHE+AES+SHA384:!AESGCM:!CHACHA20:!AESCCM"),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_what_is_older_or_weaker_is_refused_and_counted(
    secure: GatewayProcess, authority: Authority, version: ssl.TLSVersion, ciphers: str
) -> None:
    before = failures(secure, "version_or_cipher")
    context = authority.client_context()
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(secure, context)
    eventually(lambda: failures(secure, "version_or_cipher") == before + 1)


def test_a_client_that_also_offers_h2_gets_http_1_1(secure: GatewayProcess, authority: Authority) -> None:
    context = authority.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with handshake(secure, context) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_a_client_that_speaks_only_h2_is_promised_nothing_and_refused(
    secure: GatewayProcess, authority: Authority
) -> None:
    context = authority.client_context()
    context.set_alpn_protocols(["h2"])
    with handshake(secure, context) as connection:
        assert connection.selected_alpn_protocol() is None
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_services_hear_https_and_clients_are_told_to_stay_with_it(secure: GatewayProcess, upstream: Upstream) -> None:
    def own(_request: Received, stream: Stream) -> None:
        stream.answer(b"{}", fields="Strict-Transport-Security: max-age=1\r\n")

    answer = secure.ask("GET", "/open/x", headers={"X-Forwarded-Proto": "http"})
    assert dict(answer.json["fields"])["x-forwarded-proto"] == "https"
    refused = secure.ask("GET", "/nothing")
    page = secure.ask("GET", "/livez")
    own_answer = secure.ask("GET", upstream.on("/open/own-hsts", own))
    assert (refused.status, page.status) == (404, 200)
    for one in (answer, refused, page, own_answer):
        assert one.headers.get_all("Strict-Transport-Security") == ["max-age=3600"]
    with Wire(secure.port) as plain:
        answer = plain.ask(GET)
        assert dict(answer.json["fields"])["x-forwarded-proto"] == "http"
        assert answer.headers["Strict-Transport-Security"] is None


def test_behind_a_proxy_its_word_counts_for_both(issuer: Issuer, upstream: Upstream, folder: Path) -> None:
    gateway = GatewayProcess(issuer, upstream.url, folder, TRUSTED_HOPS="1", HSTS_MAX_AGE_S="60").start()
    for said, scheme, hsts in (("https", "https", "max-age=60"), ("http", "http", None), ("", "http", None)):
        answer = gateway.ask("GET", "/open/x", headers={"X-Forwarded-Proto": said} if said else {})
        assert dict(answer.json["fields"])["x-forwarded-proto"] == scheme
        assert answer.headers["Strict-Transport-Security"] == hsts
    assert gateway.stop() == 0


def test_plain_http_at_the_port_for_tls_is_closed_without_an_answer(secure: GatewayProcess) -> None:
    before = failures(secure, "not_tls")
    with raw(secure) as connection:
        connection.sendall(GET.encode())
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    eventually(lambda: failures(secure, "not_tls") == before + 1)
    assert secure.ask("GET", "/open/x").status == 200


def test_handshakes_that_do_not_come_to_an_end_are_cut_off_and_hurt_nobody(secure: GatewayProcess) -> None:
    before, resident = failures(secure, "timeout"), secure.resident_bytes()
    descriptors = secure.workers()[0].num_fds()
    slow = [raw(secure) for _ in range(200)]
    for connection in slow[::2]:
        connection.sendall(HELLO)
    for _ in range(50):
        assert secure.ask("GET", "/open/x").status == 200
    for connection in slow:
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
        connection.close()
    eventually(lambda: failures(secure, "timeout") == before + 200)
    assert secure.resident_bytes() - resident < MOST_GROWTH
    eventually(lambda: secure.workers()[0].num_fds() <= descriptors + 5, what="their descriptors are free")


def test_clients_that_leave_in_the_middle_of_a_handshake_are_counted_and_forgotten(secure: GatewayProcess) -> None:
    before = failures(secure, "left")
    for begins in (b"", HELLO, HELLO):
        with raw(secure) as connection:
            connection.sendall(begins)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0 if begins else 5))
    eventually(lambda: failures(secure, "left") > before)
    assert secure.ask("GET", "/open/x").status == 200


def test_a_client_that_does_not_trust_the_certificate_is_counted(secure: GatewayProcess) -> None:
    before = failures(secure, "refused_by_client")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(secure, ssl.create_default_context())
    eventually(lambda: failures(secure, "refused_by_client") == before + 1)


def test_a_session_is_resumed_or_begun_anew_on_any_worker(two_workers: GatewayProcess, authority: Authority) -> None:
    context = authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # its session is known when the handshake is over
    session = None
    for _ in range(20):
        connection = context.wrap_socket(raw(two_workers), server_hostname="gateway.example", session=session)
        with connection:
            connection.sendall(GET.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
            session = connection.session


def test_a_client_cannot_negotiate_anew(secure: GatewayProcess, authority: Authority, tmp_path: Path) -> None:
    """`R` makes openssl's client try."""
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(authority.certificate)
    command = ["openssl", "s_client", "-tls1_2", "-CAfile", str(trusted), "-connect", f"{HOST}:{secure.tls_port}"]
    done = subprocess.run(command, input=b"R\n", capture_output=True, timeout=20, check=False)
    said = done.stdout + done.stderr
    assert b"RENEGOTIATING" in said and b"Verify return code: 0" in said
    assert b"no renegotiation" in said or done.returncode != 0
    assert secure.ask("GET", "/open/x").status == 200


def test_pipelined_requests_and_closing_work_as_without_tls(secure: GatewayProcess) -> None:
    with secure.wire() as wire:
        wire.send(f"GET /open/1 HTTP/1.1\r\n{H}\r\n" * 50 + f"GET /open/2 HTTP/1.1\r\n{H}Connection: close\r\n\r\n")
        for _ in range(50):
            assert wire.read().json["target"] == "/open/1"
        last = wire.read()
        assert (last.json["target"], last.headers["Connection"]) == ("/open/2", "close")
        assert wire.is_closed()


def test_an_idle_client_that_does_not_say_goodbye_is_cut_off(secure: GatewayProcess) -> None:
    """Two seconds idle here, and two for the answer to our goodbye, which this client does not read."""
    with secure.wire() as wire:
        assert wire.ask(GET).status == 200
        eventually(lambda: secure.metric("gateway_client_connections") == 1, what="nobody but who asks", timeout_s=10)


def test_a_refusal_of_an_upload_that_goes_on_arrives(secure: GatewayProcess) -> None:
    with secure.wire() as wire:
        wire.send(f"POST /small/x HTTP/1.1\r\n{H}Content-Length: 500000\r\n\r\n" + "x" * 100_000)
        answer = wire.read("POST")
        assert (answer.status, answer.code, answer.headers["Connection"]) == (413, "payload_too_large", "close")
        assert wire.is_closed()


def test_64_megabytes_pass_both_ways_and_the_slower_side_sets_the_pace(
    secure: GatewayProcess, upstream: Upstream
) -> None:
    size, sent = 64 * 1024 * 1024, 0

    def serve(_request: Received, stream: Stream) -> None:
        nonlocal sent
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            stream.send(PIECE)
            sent += len(PIECE)

    before = secure.resident_bytes()
    with secure.wire(30) as wire:
        wire.send(f"GET {upstream.on('/big/tls', serve)} HTTP/1.1\r\n{H}\r\n")
        response = wire.begin()
        time.sleep(0.7)  # nobody reads: the service must not get far
        assert sent < size // 2
        total = 0
        while piece := response.read(1 << 20):
            total += len(piece)
        assert total == size
        wire.send(f"POST {upstream.on('/big/tls-receive', receive)} HTTP/1.1\r\n{H}Content-Length: {size}\r\n\r\n")
        for _ in range(size // len(PIECE)):
            wire.send(PIECE)
        assert wire.read("POST").json["total"] == size
    assert secure.resident_bytes() - before < MOST_GROWTH


def test_a_web_socket_passes_over_tls(secure: GatewayProcess, upstream: Upstream) -> None:
    def echo(_request: Received, stream: Stream) -> None:
        stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        while data := stream.file.read1(65_536):
            stream.send(data)

    path = upstream.on("/socket/tls", echo)
    with secure.wire() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\n{H}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert wire.file.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        while wire.file.readline() != b"\r\n":
            pass
        assert wire.file.read(5) == b"hello"
        for size in (1, 100_000):
            wire.send(b"x" * size)
            assert wire.file.read(size) == b"x" * size


def test_a_new_certificate_is_taken_under_load_and_no_request_fails(
    two_workers: GatewayProcess, authority: Authority, pair: MountedPair
) -> None:
    assert days_left(two_workers) == 10
    with Load(two_workers, 4) as load:
        pair.put(authority.issue(ends=timedelta(days=20)))
        eventually(lambda: two_workers.metric("gateway_tls_reloads_total", outcome="taken") == 2)
        assert {days_left(two_workers) for _ in range(20)} == {20}
    assert load.lost == [] and load.answered > 20
    name = "gateway_tls_certificate_expires_timestamp"
    eventually(lambda: two_workers.metric(name, file=str(pair.certificate)) > time.time() + 19 * 86_400)


def test_a_bad_pair_is_kept_out_told_and_counted_for_new_workers_too(
    two_workers: GatewayProcess, authority: Authority, pair: MountedPair
) -> None:
    (right, key), (_, other_key) = authority.issue(), authority.issue()
    bad = {
        "does not go with its key": (right, other_key),
        "no certificates that can be read": (b"nothing", key),
        "cannot be used: ": (right, b"nothing"),
        "has expired": authority.issue(begins=-timedelta(days=2), ends=-timedelta(days=1)),
        "is not valid before": authority.issue(begins=timedelta(days=1)),
        "its key is encrypted": authority.issue(password=b"secret"),
    }
    for number, (why, wrong) in enumerate(bad.items(), 1):
        pair.put(wrong)
        eventually(lambda n=2 * number: two_workers.metric("gateway_tls_reloads_total", outcome="refused") == n)
        said = [line["message"] for line in two_workers.lines() if line["level"] == "ERROR"]
        assert why in said[-1]
    workers = {worker.pid for worker in two_workers.workers()}
    assert two_workers.process is not None
    two_workers.process.send_signal(signal.SIGHUP)
    eventually(lambda: workers.isdisjoint(worker.pid for worker in two_workers.workers()), what="new workers")
    assert {days_left(two_workers) for _ in range(10)} == {10}
    pair.put(authority.issue(ends=timedelta(days=25)))
    eventually(lambda: {days_left(two_workers) for _ in range(5)} == {25})
    for pem in (key, other_key):
        assert pem.decode().splitlines()[1] not in two_workers.log.read_text()


def test_sighup_takes_a_new_certificate_and_loses_no_request(
    two_workers: GatewayProcess, authority: Authority, pair: MountedPair
) -> None:
    workers = {worker.pid for worker in two_workers.workers()}
    with Load(two_workers, 4) as load:
        pair.put(authority.issue(ends=timedelta(days=20)))
        assert two_workers.process is not None
        two_workers.process.send_signal(signal.SIGHUP)
        eventually(lambda: workers.isdisjoint(worker.pid for worker in two_workers.workers()), what="new workers")
    assert load.lost == [] and load.answered > 20
    assert days_left(two_workers) == 20


def test_the_certificate_is_chosen_by_the_name_a_client_asks_for(
    issuer: Issuer, upstream: Upstream, authority: Authority, folder: Path
) -> None:
    files = []
    for names in (("gateway.example",), ("other.example", "*.wild.example")):
        made = folder / names[0]
        made.mkdir()
        files.append(MountedPair(made, authority.issue(*names)))
    gateway = GatewayProcess(issuer, upstream.url, folder).secure(authority, files[0])
    gateway.environment["TLS_CERT_FILE"] = ",".join(str(pair.certificate) for pair in files)
    gateway.environment["TLS_KEY_FILE"] = ",".join(str(pair.key) for pair in files)
    gateway.start()
    for name in ("gateway.example", "other.example", "OTHER.example", "a.wild.example"):
        with Wire(gateway.tls_port, tls=gateway.tls, name=name) as wire:
            assert wire.ask(GET).status == 200
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for .unknown\.example"):
        Wire(gateway.tls_port, tls=gateway.tls, name="unknown.example")
    assert gateway.stop() == 0


def test_a_wrong_pair_at_the_start_ends_the_process_with_one_line(
    issuer: Issuer, upstream: Upstream, authority: Authority, folder: Path
) -> None:
    (right, _), (_, other_key) = authority.issue(), authority.issue()
    gateway = GatewayProcess(issuer, upstream.url, folder).secure(authority, MountedPair(folder, (right, other_key)))
    for changed, said in (
        ({}, "does not go with its key"),
        ({"TLS_KEY_FILE": str(folder / "nothing.key")}, "nothing.key: No such file or directory"),
        ({"TLS_KEY_FILE": ""}, "TLS_CERT_FILE and TLS_KEY_FILE must name as many files"),
        ({"TLS_CERT_FILE": "", "TLS_KEY_FILE": ""}, "TLS_BIND needs TLS_CERT_FILE and TLS_KEY_FILE"),
        ({"TLS_BIND": ""}, "TLS_CERT_FILE needs TLS_BIND"),
    ):
        done = gateway.run_until_it_ends(**changed)
        assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr
        assert other_key.decode().splitlines()[1] not in done.stderr + done.stdout


def test_an_expired_certificate_is_told_and_does_not_keep_the_process_from_starting(
    issuer: Issuer, upstream: Upstream, authority: Authority, folder: Path
) -> None:
    """Nor a worker: a certificate that nobody has renewed must not end what comes without TLS."""
    pair = MountedPair(folder, authority.issue(begins=-timedelta(days=2), ends=-timedelta(days=1)))
    gateway = GatewayProcess(issuer, upstream.url, folder).secure(authority, pair).start()
    gateway.workers()[0].kill()
    gateway.wait_for("/livez", 200)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        gateway.wire()
    assert gateway.tls is not None
    gateway.tls.check_hostname, gateway.tls.verify_mode = False, ssl.CERT_NONE
    assert gateway.ask("GET", "/open/x").status == 200
    told = [line["message"] for line in gateway.lines() if line["level"] == "ERROR"]
    assert told and all("has expired at" in message for message in told)
    pair.put(authority.issue())
    eventually(lambda: gateway.metric("gateway_tls_reloads_total", outcome="taken") == 1)
    assert gateway.stop() == 0


def test_many_connections_at_once_all_shake_hands(secure: GatewayProcess) -> None:
    answers: list[int] = []

    def ask() -> None:
        answers.extend(secure.ask("GET", "/open/x").status for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 80
