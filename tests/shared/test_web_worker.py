"""The worker that carries requests to the services: a short way for plain ones, gunicorn's own for all others.

Every request is also sent to gunicorn's own thread worker, and has to get the same answer from both.
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local.ports import free_ports
from shared.web_worker import HEAD
from tests.support.databases import ROOT
from tests.support.waiting import eventually

OURS, GUNICORNS = "shared.web_worker.Worker", "gthread"
PLAIN = b"GET /a%20b?x=%201&y HTTP/1.1\r\nHost: example.org\r\nX-One: 1\r\n\r\n"


@dataclass(frozen=True)
class Server:
    port: int
    process: subprocess.Popen[str]

    @contextlib.contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection

    def ask(self, *pieces: bytes, after: bytes = PLAIN) -> tuple[str, Any]:
        """Status line and body; `after` goes first on the same connection, so that it is a kept one."""
        with self.connection() as connection:
            if after:
                connection.sendall(after)
                assert answer_from(connection)[0].endswith("200 OK")
            for piece in pieces:
                connection.sendall(piece)
            return answer_from(connection)


def answer_from(connection: socket.socket) -> tuple[str, Any]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return "", None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)) or (
        "transfer-encoding" in headers and not body.endswith(b"0\r\n\r\n")
    ):
        body += connection.recv(65536)
    is_json = headers.get("content-type") == "application/json"
    said = {name: value for name, value in json.loads(body).items() if name not in OWN} if is_json else body
    return lines[0], said


OWN = {"SERVER_PORT", "SERVER_SOFTWARE"}


@contextlib.contextmanager
def served(worker_class: str) -> Iterator[Server]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "gunicorn", "-c", "shared/gunicorn_conf.py", "-k", worker_class]
    command += ["-b", f"127.0.0.1:{port}", "--threads", "2", "tests.support.echo_app:app"]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE)
    server = Server(port, process)
    try:
        eventually(lambda: _answers(server), what="gunicorn answers")
        yield server
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _answers(server: Server) -> bool:
    try:
        return server.ask(PLAIN, after=b"")[0].endswith("200 OK")
    except OSError:
        return False


@pytest.fixture(scope="module")
def ours() -> Iterator[Server]:
    with served(OURS) as server:
        yield server


@pytest.fixture(scope="module")
def gunicorns() -> Iterator[Server]:
    with served(GUNICORNS) as server:
        yield server


HOST = b"Host: example.org\r\n"
POST = b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
REQUESTS = {
    "a plain one": [PLAIN],
    "bytes above ASCII in the path": [b"GET /z%C3%BCrich/%2F%00 HTTP/1.1\r\n" + HOST + b"\r\n"],
    "Latin-1 in a value": [b"GET / HTTP/1.1\r\n" + HOST + b"X-Name: Z\xfcrich\r\n\r\n"],
    "spaces around a value": [b"GET / HTTP/1.1\r\n" + HOST + b"X-Name:  \t a b \t \r\n\r\n"],
    "an empty value": [b"GET / HTTP/1.1\r\n" + HOST + b"X-Name:\r\n\r\n"],
    "a header twice": [b"GET / HTTP/1.1\r\n" + HOST + b"X-Name: a\r\nX-Name: b\r\n\r\n"],
    "a name with an underscore": [b"GET / HTTP/1.1\r\n" + HOST + b"X_User_Id: 1\r\n\r\n"],
    "two slashes in front": [b"GET //evil.example/x HTTP/1.1\r\n" + HOST + b"\r\n"],
    "a whole URL": [b"GET http://example.org/x HTTP/1.1\r\n" + HOST + b"\r\n"],
    "a fragment": [b"GET /x#y HTTP/1.1\r\n" + HOST + b"\r\n"],
    "a body": [POST + b'Content-Length: 7\r\n\r\n{"a":1}'],
    "a body that comes later": [POST + b"Content-Length: 7\r\n\r\n", b'{"a":1}'],
    "a body in pieces": [POST + b'Content-Length: 7\r\n\r\n{"a', b'":', b"1}"],
    "a body without a length": [POST + b"\r\n"],
    "a body larger than a read": [POST + b"Content-Length: 200000\r\n\r\n", b"x" * 200_000],
    "a chunked body": [POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
    "length and chunks at once": [POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    "two lengths": [POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"],
    "a length with a sign": [POST + b"Content-Length: +3\r\n\r\nabc"],
    "a head in pieces": [PLAIN[:20], PLAIN[20:]],
    "line feeds alone": [PLAIN.replace(b"\r\n", b"\n")],
    "a folded header": [b"GET / HTTP/1.1\r\n" + HOST + b"X-Name: a\r\n b\r\n\r\n"],
    "a space before the colon": [b"GET / HTTP/1.1\r\n" + HOST + b"X-Name : a\r\n\r\n"],
    "a NUL in a value": [b"GET / HTTP/1.1\r\n" + HOST + b"X-Name: a\x00b\r\n\r\n"],
    "a carriage return in a value": [b"GET / HTTP/1.1\r\n" + HOST + b"X-Name: a\rb\r\n\r\n"],
    "an unknown method": [b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n"],
    "a method in lower case": [b"get / HTTP/1.1\r\n" + HOST + b"\r\n"],
    "an older version": [b"GET / HTTP/1.0\r\n" + HOST + b"\r\n"],
    "what is not HTTP": [b"\x16\x03\x01\x02\x00\x01\r\n\r\n"],
    "a connection to be closed": [b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"],
    "HEAD": [b"HEAD /nothing HTTP/1.1\r\n" + HOST + b"\r\n"],
    "no content": [b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n"],
    "a stream": [b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n"],
    "a proxy's word about the scheme": [b"GET / HTTP/1.1\r\n" + HOST + b"X-Forwarded-Proto: https\r\n\r\n"],
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_answered_as_gunicorn_answers_it(ours: Server, gunicorns: Server, name: str) -> None:
    status, body = ours.ask(*REQUESTS[name])
    assert (status, body) == gunicorns.ask(*REQUESTS[name])
    assert ours.ask(*REQUESTS[name], after=b"") == (status, body), "and as the first one of a connection"


def test_several_requests_at_once_are_answered_in_their_order(ours: Server) -> None:
    with ours.connection() as connection:
        connection.sendall(PLAIN)
        answer_from(connection)
        connection.sendall(b"".join(PLAIN.replace(b"X-One: 1", b"X-One: %d" % number) for number in range(3)))
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 3 or not data.endswith(b"}"):
            data += connection.recv(65536)
    assert [data.find(b'"HTTP_X_ONE": "%d"' % number) > 0 for number in range(3)] == [True] * 3
    assert data.find(b'"HTTP_X_ONE": "0"') < data.find(b'"HTTP_X_ONE": "1"') < data.find(b'"HTTP_X_ONE": "2"')


def test_more_connections_than_threads_are_all_served_in_turn(ours: Server) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(ours.connection()) for _ in range(12)]
        for _ in range(5):
            for connection in connections:
                connection.sendall(PLAIN)
            for connection in connections:
                assert answer_from(connection)[0].endswith("200 OK")


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(ours: Server) -> None:
    with ours.connection() as connection:
        connection.sendall(PLAIN)
        answer_from(connection)
        connection.sendall(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(b"abc")
        assert answer_from(connection)[1]["body"] == "abc"


def test_a_body_that_stops_half_way_ends_as_it_does_with_gunicorn(ours: Server, gunicorns: Server) -> None:
    ends = []
    for server in (ours, gunicorns):
        with server.connection() as connection:
            connection.sendall(PLAIN)
            answer_from(connection)
            connection.sendall(POST + b"Content-Length: 30\r\n\r\nabc")
            connection.shutdown(socket.SHUT_WR)
            ends.append(answer_from(connection))
    assert ends[0] == ends[1]


def test_an_application_that_fails_or_splits_its_headers_answers_nothing_of_it(ours: Server) -> None:
    for path in (b"/fails", b"/splits"):
        status, body = ours.ask(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert "Set-Cookie" not in status and not status.endswith("200 OK")
        assert b"on purpose" not in (body or b"")
    assert ours.ask(PLAIN)[0].endswith("200 OK")


def test_nothing_that_has_two_readings_goes_the_short_way() -> None:
    for head in (b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\n", PLAIN[:-4] + b"\r\n", b" " + PLAIN[:-4], PLAIN[:-4] + b"\n"):
        assert HEAD.fullmatch(head) is None
    assert HEAD.fullmatch(PLAIN[:-4]) is not None


def test_a_worker_that_stops_answers_what_was_sent_and_says_that_it_closes() -> None:
    with served(OURS) as server, server.connection() as connection:
        connection.sendall(PLAIN)
        answer_from(connection)
        server.process.send_signal(signal.SIGTERM)
        answer = b""
        while b"Connection: close" not in answer:  # until the signal has arrived
            connection.sendall(PLAIN)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK")
        assert server.process.wait(30) == 0
