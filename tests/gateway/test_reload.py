"""A changed route table is taken without a restart; a wrong one is not, and says so; no request is lost."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.process import ROUTES, GatewayProcess
from tests.gateway.test_process import Load
from tests.gateway.upstream import Received, Stream, Upstream
from tests.gateway.wire import Answer
from tests.support.issuer import Issuer
from tests.support.people import Person
from tests.support.waiting import eventually

RIGHT = ROUTES.read_text()
NEW = "  - {prefix: /new, upstream: data, access: public}\n"
WRONG = "  - {prefix: /new, upstream: nowhere, access: public}\n"


class Mounted:
    """A folder as Kubernetes mounts a ConfigMap: `routes.yaml` → `..data/routes.yaml`, and `..data` → a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self.file = folder / "routes.yaml"
        self.put(RIGHT)
        self.file.symlink_to("..data/routes.yaml")

    def put(self, text: str) -> None:
        """Write a new folder beside the old one, and turn the link in one step."""
        self.number += 1
        made = self.folder / f"..{self.number}"
        made.mkdir()
        (made / "routes.yaml").write_text(text)
        link = self.folder / "..new"
        link.symlink_to(made.name)
        os.rename(link, self.folder / "..data")


@pytest.fixture
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Mounted:
    return Mounted(tmp_path_factory.mktemp("mounted"))


@pytest.fixture
def gateway(issuer: Issuer, upstream: Upstream, folder: Path, mounted: Mounted) -> Iterator[GatewayProcess]:
    process = GatewayProcess(issuer, upstream.url, folder, ROUTES_FILE=str(mounted.file), WEB_WORKERS="2").start()
    eventually(lambda: len(process.begun()) == 2, what="both workers have begun")
    yield process
    assert process.stop() == 0


def is_connected(gateway: GatewayProcess, port: int) -> bool:
    connections = [found for worker in gateway.workers() for found in worker.net_connections()]
    return any(found.status == "ESTABLISHED" and found.raddr and found.raddr.port == port for found in connections)


def reloads(gateway: GatewayProcess, outcome: str) -> float:
    return gateway.metric("gateway_table_reloads_total", outcome=outcome)


def test_the_configmap_is_swapped_and_every_worker_takes_the_new_table_under_load(
    gateway: GatewayProcess, mounted: Mounted
) -> None:
    workers = {worker.pid for worker in gateway.workers()}
    started_at = time.time()
    assert gateway.ask("GET", "/new/x").status == 404
    with Load(gateway, 6) as load:
        mounted.put(RIGHT + NEW)
        eventually(lambda: reloads(gateway, "taken") == 2, what="both workers take it")
        assert [gateway.ask("GET", "/new/x").status for _ in range(20)] == [200] * 20
        mounted.put(RIGHT)
        eventually(lambda: reloads(gateway, "taken") == 4, what="both workers take it back")
        assert [gateway.ask("GET", "/new/x").status for _ in range(20)] == [404] * 20
    assert load.lost == [] and load.answered > 100
    assert {worker.pid for worker in gateway.workers()} == workers
    assert gateway.metric("gateway_table_loaded_timestamp") > started_at


def test_a_wrong_table_is_told_once_and_the_one_in_use_stays_for_new_workers_too(
    gateway: GatewayProcess, mounted: Mounted
) -> None:
    mounted.put(RIGHT + NEW)
    eventually(lambda: reloads(gateway, "taken") == 2)
    loaded_at = gateway.metric("gateway_table_loaded_timestamp")
    mounted.put(RIGHT + WRONG)
    eventually(lambda: reloads(gateway, "refused") == 2)
    time.sleep(1.5)  # it is not tried again and again
    assert reloads(gateway, "refused") == 2 and gateway.metric("gateway_table_loaded_timestamp") == loaded_at
    errors = [line["message"] for line in gateway.lines() if line["level"] == "ERROR"]
    assert len(errors) == 2 and "upstream: 'nowhere' is not one of: auth, data, nobody" in errors[0]
    before = {worker.pid for worker in gateway.workers()}
    gateway.workers()[0].kill()
    eventually(lambda: len({*gateway.begun()} - before) == 1, what="a new worker")
    eventually(lambda: [gateway.ask("GET", "/new/x").status for _ in range(20)] == [200] * 20)


def test_a_file_that_is_gone_or_half_written_changes_nothing(gateway: GatewayProcess, mounted: Mounted) -> None:
    (mounted.folder / "..data" / "routes.yaml").unlink()
    eventually(lambda: reloads(gateway, "refused") == 2)
    assert gateway.ask("GET", "/open/x").status == 200
    mounted.put(RIGHT + NEW)
    eventually(lambda: reloads(gateway, "taken") == 2)


def test_a_request_that_is_known_by_its_bytes_goes_by_the_table_in_use(
    gateway: GatewayProcess, mounted: Mounted, alice: Person
) -> None:
    request = f"GET /data/v1/known HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer {alice.token()}\r\n\r\n"
    route = "{prefix: /data/v1, upstream: data, access: user"
    with gateway.wire() as wire:
        assert [wire.ask(request).status for _ in range(6)] == [200] * 6
        mounted.put(RIGHT.replace(route, f"{route}, scopes: {{all: [x:y]}}"))
        eventually(lambda: reloads(gateway, "taken") == 2)
        assert [wire.ask(request).status for _ in range(6)] == [403] * 6
        mounted.put(RIGHT)
        eventually(lambda: reloads(gateway, "taken") == 4)
        assert wire.ask(request).status == 200


def test_what_is_under_way_keeps_the_table_it_began_with(
    gateway: GatewayProcess, mounted: Mounted, upstream: Upstream
) -> None:
    """Its upstream moves to another address and its route goes, while its answer is awaited."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(_request: Received, stream: Stream) -> None:
        begun.set()
        go_on.wait(20)
        stream.answer(b"from the old address")

    other = Upstream()
    path = upstream.on("/open/under-way", slow)
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(gateway.ask("GET", path)))
    asking.start()
    assert begun.wait(5)
    changed = RIGHT.replace('data: {url: "${DATA_URL}"', f'moved: {{url: "{other.url}"')
    mounted.put(changed.replace("upstream: data", "upstream: moved").replace("prefix: /open", "prefix: /elsewhere"))
    eventually(lambda: reloads(gateway, "taken") == 2)
    assert gateway.ask("GET", path).status == 404
    assert gateway.ask("GET", "/elsewhere/x").status == 200 and other.seen("/elsewhere/x")
    go_on.set()
    asking.join()
    assert (answers[0].status, answers[0].body) == (200, b"from the old address")
    eventually(lambda: not is_connected(gateway, upstream.port), what="no connection to the old address is kept")
    other.close()
