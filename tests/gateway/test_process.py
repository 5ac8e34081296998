"""gunicorn's process model: graceful stop, reload without a lost request, several workers, wrong settings."""

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.gateway.process import ROUTES, GatewayProcess
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Wire
from tests.support.issuer import Issuer
from tests.support.waiting import eventually

H = "Host: gateway.example\r\n"


@pytest.fixture
def two_workers(issuer: Issuer, upstream: Upstream, folder: Path):
    process = GatewayProcess(issuer, upstream.url, folder, WEB_WORKERS="2").start()
    yield process
    assert process.stop() == 0


def slow(_request: Received, stream: Stream) -> None:
    time.sleep(0.6)
    stream.answer(b'{"slow": true}')


def test_on_sigterm_what_is_in_flight_is_answered(issuer: Issuer, upstream: Upstream, folder: Path) -> None:
    gateway = GatewayProcess(issuer, upstream.url, folder).start()
    path = upstream.on("/open/in-flight", slow)
    with gateway.wire() as busy, gateway.wire() as idle:
        assert idle.ask(f"GET /open/x HTTP/1.1\r\n{H}\r\n").status == 200
        busy.send(f"GET {path} HTTP/1.1\r\n{H}\r\n")
        time.sleep(0.2)
        assert gateway.process is not None
        gateway.process.terminate()
        answer = busy.read()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        last = idle.ask(f"GET /open/y HTTP/1.1\r\n{H}\r\n")  # it was on its way
        assert (last.status, last.headers["Connection"]) == (200, "close")
        assert busy.is_closed() and idle.is_closed()
    assert gateway.stop() == 0


class Load:
    """Clients with kept-alive connections that ask on and on; `lost` holds what went wrong."""

    def __init__(self, gateway: GatewayProcess, clients: int) -> None:
        self.gateway = gateway
        self.answered = 0
        self.lost: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        wire: Wire | None = None
        while not self._stop.is_set():
            try:
                wire = wire or self.gateway.wire()
                answer = wire.ask(f"POST /open/load HTTP/1.1\r\n{H}Content-Length: 3\r\n\r\nabc", "POST")
                if answer.status != 200:
                    self.lost.append(f"{answer.status} {answer.body!r}")
                self.answered += 1
                if answer.headers["Connection"] == "close":
                    wire.close()
                    wire = None
            except Exception as error:
                self.lost.append(repr(error))
                wire = None
        if wire is not None:
            wire.close()


def test_a_reload_under_load_loses_no_request(two_workers: GatewayProcess) -> None:
    before = {worker.pid for worker in two_workers.workers()}
    with Load(two_workers, 8) as load:
        assert two_workers.process is not None
        for _ in range(2):
            time.sleep(0.5)
            two_workers.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while before & {worker.pid for worker in two_workers.workers()} and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.3)
    assert load.lost == []
    assert load.answered > 100
    assert not before & {worker.pid for worker in two_workers.workers()}


def test_a_reload_takes_a_new_table_and_keeps_the_old_one_if_the_new_is_wrong(
    issuer: Issuer, upstream: Upstream, folder: Path
) -> None:
    table = folder / "routes.yaml"
    table.write_text(ROUTES.read_text())
    gateway = GatewayProcess(issuer, upstream.url, folder, ROUTES_FILE=str(table)).start()

    def reload(text: str) -> None:
        before = {worker.pid for worker in gateway.workers()}
        table.write_text(text)
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: not before & {worker.pid for worker in gateway.workers()}, what="new workers")

    try:
        assert gateway.ask("GET", "/new/x").status == 404
        reload(ROUTES.read_text() + "  - {prefix: /new, upstream: data, access: public}\n")
        assert gateway.ask("GET", "/new/x").status == 200
        reload(ROUTES.read_text() + "  - {prefix: /new, upstream: nowhere, access: public}\n")
        assert gateway.ask("GET", "/new/x").status == 200  # not the table from the start: the last right one
        line = next(line for line in gateway.lines() if line["level"] == "ERROR")
        assert "upstream: 'nowhere' is not one of: auth, data, nobody" in line["message"]
    finally:
        assert gateway.stop() == 0


def test_numbers_of_all_workers_add_up_and_outlive_a_worker(two_workers: GatewayProcess) -> None:
    for number in range(60):
        assert two_workers.ask("GET", f"/open/{number}").status == 200
    time.sleep(1)
    name = "http_requests_total"
    assert two_workers.metric(name, route="/open/*", status="200") == 60
    assert two_workers.metric("http_request_duration_seconds_bucket", route="/open/*", le="+Inf") == 60
    two_workers.workers()[0].terminate()
    time.sleep(2.5)
    assert two_workers.metric(name, route="/open/*", status="200") == 60
    assert len(two_workers.workers()) == 2


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AUTH_URL": ""}, "AUTH_URL"),
        ({"DATA_URL": "https://data"}, "upstreams.data.url"),
        ({"ROUTES_FILE": "nowhere.yaml"}, "nowhere.yaml"),
        ({"HEADER_TIMEOUT_S": "soon", "KEEPALIVE_S": "-1"}, "KEEPALIVE_S"),
    ],
)
def test_a_wrong_setting_ends_the_process_with_one_line(
    issuer: Issuer, upstream: Upstream, folder: Path, environment: dict[str, str], said: str
) -> None:
    done = GatewayProcess(issuer, upstream.url, folder, **environment).run_until_it_ends()
    assert done.returncode != 0
    assert said in done.stderr and "Traceback" not in done.stderr
