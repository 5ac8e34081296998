"""A service as gunicorn serves it, in two worker processes: what only a real connection and a real process show."""

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.ports import free_ports
from tests.support.clients import NOBODYS_BROKER
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.process import Process
from tests.support.waiting import eventually

THINGS = "/things/v1/things"


class Web:
    def __init__(self, folder: Path, issuer: Issuer) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.not_ready = folder / "not-ready"
        self.process = Process(
            *("gunicorn", "-c", "shared/gunicorn_conf.py", "tests.shared.service:create_app()"),
            folder=folder,
            BIND=f"127.0.0.1:{self.port}",
            WEB_WORKERS="2",
            WEB_THREADS="4",
            AMQP_URL=NOBODYS_BROKER,
            ISSUER=issuer.issuer,
            JWKS_URL=issuer.jwks_url,
            MAX_BODY_BYTES="20000",
            NOT_READY_FILE=str(self.not_ready),
            TMPDIR=str(folder),
        )

    def is_up(self) -> bool:
        try:
            return requests.get(f"{self.url}/livez", timeout=2).ok
        except requests.RequestException:  # it listens before its workers are there
            return False

    def say(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """The answer to these very bytes: status, headers in lower case, body. The connection is closed after it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(data)
            answer = b""
            while b"\r\n\r\n" not in answer or len(answer) < _length(answer):
                received = connection.recv(65_536)
                if not received:
                    break
                answer += received
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        return int(lines[0].split()[1]), headers, body

    def log_lines(self) -> list[dict[str, Any]]:
        """The access log."""
        parsed = [json.loads(line) for line in self.process.out().splitlines() if line.startswith("{")]
        return [line for line in parsed if line["logger"] == "access"]

    def logged(self, request_id: str) -> dict[str, Any]:
        found = eventually(lambda: [line for line in self.log_lines() if line.get("request_id") == request_id])
        return found[-1]

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of a metric by their label values."""
        families = text_string_to_metric_families(requests.get(f"{self.url}/metrics", timeout=5).text)
        return {
            tuple(sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
            if sample.name == name
        }


def _length(answer: bytes) -> int:
    """How long the whole answer is, as its head says."""
    head, _, _ = answer.partition(b"\r\n\r\n")
    match = re.search(rb"(?i)content-length: (\d+)", head)
    return len(head) + 4 + (int(match[1]) if match else 0)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    made = Web(folder, issuer)
    try:
        eventually(made.is_up, timeout_s=30, what="the service's answer")
        yield made
    finally:
        status = made.process.end()
    assert status == 0, made.process.out()
    assert not list(folder.glob("gatehouse-metrics-*")), "the folder for metrics is removed at the end"


def request_of(body: bytes, *headers: str, path: str = THINGS) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers, "Connection: close"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def test_a_chunked_body_without_a_length_is_read_like_any_other(web: Web) -> None:
    body = chunked(b'{"name":"b', b'all","count":1}')
    status, _, answer = web.say(request_of(body, "Transfer-Encoding: chunked"))
    assert status == 201 and json.loads(answer)["name"] == "ball"


def test_a_chunked_body_above_the_limit_is_a_413_though_nothing_announced_its_length(web: Web) -> None:
    body = chunked(b'{"name":"', *[b"a" * 5000] * 10, b'"}')
    status, headers, answer = web.say(request_of(body, "Transfer-Encoding: chunked"))
    assert status == 413 and headers["content-type"] == "application/problem+json"
    assert json.loads(answer)["code"] == "payload_too_large"


def test_an_announced_body_above_the_limit_is_a_413_before_it_is_sent(web: Web) -> None:
    status, _, answer = web.say(request_of(b"", "Content-Length: 99999999"))
    assert status == 413 and json.loads(answer)["code"] == "payload_too_large"


@pytest.mark.parametrize("body", [b"zz\r\n{}\r\n0\r\n\r\n", b"5\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n0\r\n\r\n"])
def test_broken_chunks_are_a_400(web: Web, body: bytes) -> None:
    assert web.say(request_of(body, "Transfer-Encoding: chunked"))[0] == 400


def test_a_path_that_is_not_utf8_is_a_400(web: Web) -> None:
    for path in (b"/things/v1/names/%FF", b"/things/v1/names/%00", b"/things/v1/things?word=%C0%80"):
        status, headers, _ = web.say(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (status, headers["content-type"]) == (400, "application/problem+json")


def test_two_requests_on_one_connection_are_both_answered_even_after_a_refused_body(web: Web) -> None:
    with requests.Session() as session:
        assert session.post(web.url + THINGS, data="{]", headers={"Content-Type": "text/plain"}).status_code == 415
        assert session.post(web.url + THINGS, json={"name": "a", "count": 1}).status_code == 201


def test_the_access_log_is_json_with_the_route_and_neither_token_nor_query(web: Web, alice: Person) -> None:
    token = alice.token()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"Authorization": f"Bearer {token}", "X-Request-Id": "logged-0001", "traceparent": trace}
    requests.get(f"{web.url}/things/v1/me?access_token={token}&secret=hunter2", headers=headers, timeout=5)
    logged = web.logged("logged-0001")
    assert logged["route"] == "/things/v1/me" and logged["method"] == "GET" and logged["status"] == 200
    assert logged["trace_id"] == "0af7651916cd43dd8448eb211c80319c" and logged["user_id"] == str(alice.user_id)
    assert logged["component"] == "things" and logged["duration_ms"] >= 0 and logged["bytes"] > 0
    assert token not in web.process.out() and "hunter2" not in web.process.out() and "actor_id" not in logged


def test_the_access_log_names_who_acts_for_a_user_too(web: Web, alice: Person, mallory: Person) -> None:
    headers = {
        "Authorization": f"Bearer {alice.token(act={'sub': str(mallory.user_id)})}",
        "X-Request-Id": "logged-0042",
    }
    requests.get(f"{web.url}/things/v1/me", headers=headers, timeout=5)
    logged = web.logged("logged-0042")
    assert (logged["user_id"], logged["actor_id"]) == (str(alice.user_id), str(mallory.user_id))


def test_the_log_holds_the_template_of_a_path_and_never_the_path(web: Web) -> None:
    requests.get(f"{web.url}/things/v1/names/private-name", headers={"X-Request-Id": "logged-0002"}, timeout=5)
    requests.get(f"{web.url}/no/such/private-name", headers={"X-Request-Id": "logged-0003"}, timeout=5)
    assert web.logged("logged-0002")["route"] == "/things/v1/names/<name>"
    assert web.logged("logged-0003")["route"] == "(none)"
    assert "private-name" not in web.process.out()


def test_an_exception_is_in_the_log_with_its_cause_but_without_the_password_in_it(web: Web) -> None:
    requests.get(f"{web.url}/things/v1/broken", headers={"X-Request-Id": "logged-0004"}, timeout=5)
    web.logged("logged-0004")
    errors = [line for line in web.log_lines() if line["level"] == "ERROR" and line["request_id"] == "logged-0004"]
    assert "RuntimeError: no connection to postgresql://[redacted]@db/things" in errors[0]["error"]
    assert "hunter2" not in web.process.out()


def test_the_counts_of_both_processes_add_up_and_no_path_or_method_becomes_a_label(web: Web) -> None:
    route = ("GET", "/things/v1/names/<name>", "200")
    before = web.samples("http_requests_total").get(route, 0)

    sent = 0

    def ask(number: int) -> None:  # a connection each: which process gets it is the kernel's choice
        requests.get(f"{web.url}/things/v1/names/private-{number}", timeout=5)

    def both_have_counted() -> bool:
        nonlocal sent
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(40)))
        sent += 40
        return len(_workers(web)) == 2

    eventually(both_have_counted)
    requests.get(f"{web.url}/no/such/private-thing", timeout=5)
    requests.request("BREW", f"{web.url}/private", timeout=5)
    after = web.samples("http_requests_total")
    assert after[route] - before == sent
    text = requests.get(f"{web.url}/metrics", timeout=5).text
    assert "private" not in text and "BREW" not in text
    assert web.samples("http_request_duration_seconds_count")[route[:2]] >= sent
    assert after[("(other)", "(none)", "404")] == 1


def _workers(web: Web) -> set[str]:
    """The processes that have counted, by the files that they count in."""
    folder = next(web.not_ready.parent.glob("gatehouse-metrics-*"))
    return {file.stem.split("_")[-1] for file in folder.glob("counter_*.db")}


def test_readiness_says_what_is_missing_and_comes_back(web: Web) -> None:
    web.not_ready.touch()
    answer = requests.get(f"{web.url}/readyz", timeout=5)
    web.not_ready.unlink()
    assert answer.status_code == 503 and "queue" in answer.json()["detail"] and "hunter2" not in answer.text
    assert requests.get(f"{web.url}/readyz", timeout=5).status_code == 200


def test_a_request_under_way_is_finished_when_the_process_is_told_to_end(tmp_path: Path, issuer: Issuer) -> None:
    web = Web(tmp_path, issuer)
    try:
        eventually(web.is_up, timeout_s=30)
        with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
            body = b'{"name":"slow","count":1}'
            connection.sendall(request_of(body[:5], f"Content-Length: {len(body)}"))
            time.sleep(0.3)
            ended = ThreadPoolExecutor(1).submit(web.process.end)
            time.sleep(0.5)
            connection.sendall(body[5:])
            assert connection.recv(4096).startswith(b"HTTP/1.1 201")
        assert ended.result(20) == 0
    finally:
        web.process.end()
