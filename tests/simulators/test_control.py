"""The control API: what arrived, faults, counters; for this machine only."""

import os
import re
from dataclasses import fields
from pathlib import Path

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.ports import free_ports
from deploy.local.simulators import Ports, Simulators, config
from tests.simulators.apns_client import ApnsClient


@pytest.fixture
def url(credentials):
    return credentials.web_url


def test_messages_are_newest_first_and_filtered(simulators, credentials):
    with ApnsClient(credentials) as apns:
        for number in range(5):
            apns.push(device=f"{number:064x}")
        apns.push(device="bad")
    everything = simulators.messages(outcome="all")
    assert [message["id"] for message in everything] == sorted((m["id"] for m in everything), reverse=True)
    assert len(everything) == 6
    assert [message["to"] for message in simulators.messages(limit=2)] == [f"{4:064x}", f"{3:064x}"]
    assert [message["to"] for message in simulators.messages(to=f"{1:064x}")] == [f"{1:064x}"]
    assert len(simulators.messages(after=everything[2]["id"], outcome="all")) == 2
    assert simulators.messages(channel="smtp") == []
    assert simulators.call("GET", f"/api/messages/{everything[3]['id']}") == everything[3]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("channel=pigeon", "channel"),
        ("outcome=maybe", "outcome"),
        ("after=x", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("colour=red", "colour"),
    ],
)
def test_a_wrong_query_names_the_parameter(simulators, url, query, name):
    response = requests.get(f"{url}/api/messages?{query}", timeout=10)
    assert (response.status_code, list(response.json()["error"])) == (400, [name])


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ([], "object"),
        ({}, "channel"),
        ({"channel": "fax", "kind": "status"}, "channel"),
        ({"channel": "fcm", "kind": "goaway"}, "kind"),
        ({"channel": "fcm", "kind": "status"}, "status"),
        ({"channel": "fcm", "kind": "status", "status": 200}, "status"),
        ({"channel": "fcm", "kind": "status", "status": "500"}, "status: wrong type"),
        ({"channel": "fcm", "kind": "delay"}, "delay_s"),
        ({"channel": "fcm", "kind": "reset", "count": 0}, "count"),
        ({"channel": "fcm", "kind": "reset", "count": True}, "count: wrong type"),
        ({"channel": "fcm", "kind": "reset", "now": True}, "now"),
        ({"channel": "fcm", "kind": "status", "status": 500, "retry_after": "1\r\nx: y"}, "retry_after"),
        ({"channel": "fcm", "kind": "reset", "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_fault_names_the_field(simulators, url, fault, says):
    response = requests.post(f"{url}/api/faults", json=fault, timeout=10)
    assert response.status_code == 400
    assert says in response.json()["error"]
    assert simulators.call("GET", "/api/faults") == {"items": []}


def test_faults_are_listed_counted_down_and_deleted(simulators, credentials):
    simulators.fault("apns", "status", status=500, count=3, match="00")
    with ApnsClient(credentials) as apns:
        assert [apns.push(device="00" * 32).status, apns.push(device="11" * 32).status] == [500, 200]
    (fault,) = simulators.call("GET", "/api/faults")["items"]
    assert (fault["count"], fault["used"]) == (2, 1)
    simulators.call("DELETE", "/api/faults")
    assert simulators.call("GET", "/api/faults") == {"items": []}


def test_another_sites_page_cannot_use_the_api(simulators, url):
    rebound = requests.get(f"{url}/api/messages", headers={"host": "evil.example"}, timeout=10)
    simple_post = requests.post(f"{url}/api/faults", data='{"channel":"fcm","kind":"reset"}', timeout=10)
    assert (rebound.status_code, simple_post.status_code) == (403, 415)
    assert "access-control-allow-origin" not in requests.get(f"{url}/api/messages", timeout=10).headers


def test_a_machine_that_is_no_viewer_may_send_but_not_look(tmp_path: Path) -> None:
    ports = Ports(*free_ports(3))
    with Simulators(tmp_path, ports, viewers="192.0.2.0/24"):
        url = f"http://127.0.0.1:{ports.web}"
        assert requests.get(f"{url}/api/messages", timeout=10).status_code == 403
        assert requests.get(f"{url}/", timeout=10).status_code == 403
        assert requests.post(f"{url}/token", timeout=10).json()["error"] == "unsupported_grant_type"
        assert requests.get(f"{url}/metrics", timeout=10).status_code == 200


def test_unknown_paths_and_methods_are_told(simulators, url):
    assert requests.get(f"{url}/api/nothing", timeout=10).status_code == 404
    assert requests.get(f"{url}/api/messages/999999999999999999999", timeout=10).status_code == 404
    response = requests.put(f"{url}/api/messages", timeout=10)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, DELETE")
    assert requests.post(f"{url}/api/faults", data=b"x" * 2_000_000, timeout=10).status_code == 413


def test_metrics_count_by_channel_and_outcome(simulators, credentials, url):
    with ApnsClient(credentials) as apns:
        apns.push()
        apns.push(device="bad")
    text = requests.get(f"{url}/metrics", timeout=10).text
    samples = {
        (sample.name, sample.labels.get("channel"), sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["simulator_messages_total", "apns", "accepted"] == 1
    assert samples["simulator_messages_total", "apns", "refused"] == 1
    assert samples["simulator_messages_kept", None, None] == 2


def test_only_the_newest_are_kept_but_all_are_counted(tmp_path: Path) -> None:
    with (
        Simulators(tmp_path, Ports(*free_ports(3)), keep_messages=20, keep_bytes=60_000) as simulators,
        ApnsClient(simulators.credentials) as apns,
    ):
        for number in range(50):
            apns.push(device=f"{number:064x}")
        kept = simulators.messages()
        assert [message["to"] for message in kept] == [f"{number:064x}" for number in range(49, 29, -1)]
        assert simulators.stats()["channels"]["apns"]["accepted"] == simulators.stats()["distinct"] == 50
        assert simulators.call("GET", f"/api/messages/{kept[-1]['id']}")["to"] == f"{30:064x}"
        with pytest.raises(ValueError, match="404"):
            simulators.call("GET", f"/api/messages/{kept[-1]['id'] - 1}")
        for _ in range(10):
            apns.push(body={"aps": {"alert": "x" * 4000}})
        assert simulators.stats()["kept_bytes"] <= 60_000
        assert psutil.Process(simulators.pid).memory_info().rss < 60_000_000


def test_wrong_settings_are_all_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as failed:
        Simulators(tmp_path, Ports(*free_ports(3)), keep_messages="many", keep_byte=1, viewers="x").start()
    assert "SIMULATORS_KEEP_MESSAGES: 'many' is not a whole number" in str(failed.value)
    assert "SIMULATORS_KEEP_BYTE: no such setting" in str(failed.value)
    assert "SIMULATORS_VIEWERS: 'x' does not appear" in str(failed.value)


def test_the_readme_lists_the_settings_as_they_are() -> None:
    readme = (Path(config.__file__).parent / "README.md").read_text()
    rows = dict(re.findall(r"^\| `SIMULATORS_(\w+)` \| `([^`]+)`", readme, re.M))
    defaults = {field.name.upper(): str(field.default) for field in fields(config.Settings)}
    assert rows == {**defaults, "LISTEN": "SIMULATORS_HOST"}


def test_a_busy_port_is_one_clear_sentence(simulators, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cannot listen on") as failed:
        Simulators(tmp_path, simulators.credentials.ports).start()
    assert "Traceback" not in str(failed.value)


def test_sigterm_ends_the_process_with_connections_open(tmp_path: Path) -> None:
    simulators = Simulators(tmp_path, Ports(*free_ports(3))).start()
    process = psutil.Process(simulators.pid)
    stream = requests.get(f"{simulators.credentials.web_url}/api/stream", stream=True, timeout=10)
    with ApnsClient(simulators.credentials) as apns:
        apns.push()
        os.kill(process.pid, 15)
        apns.read_until(lambda: apns.goaway)
    stream.close()
    process.wait(5)
    simulators.stop()
