"""FCM HTTP v1, called through pyfcm where it can say it, and by hand where pyfcm would not let a mistake through."""

import json
import time
from collections.abc import Iterator

import pytest
import requests
from pyfcm import FCMNotification
from pyfcm.baseapi import BaseAPI
from pyfcm.errors import FCMNotRegisteredError, FCMSenderIdMismatchError, InvalidDataError

from deploy.local.simulators import Credentials, Simulators
from tests.simulators.fcm_client import DEVICE, FcmClient

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


@pytest.fixture
def fcm(credentials: Credentials) -> Iterator[FcmClient]:
    client = FcmClient(credentials, json.loads(credentials.service_account_file.read_text()))
    yield client
    client.close()


@pytest.fixture
def pyfcm_client(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> Iterator[FCMNotification]:
    monkeypatch.setattr(BaseAPI, "FCM_END_POINT_BASE", credentials.fcm_url)
    client = FCMNotification(str(credentials.service_account_file), credentials.project_id)
    yield client
    client.requests_session.close()


def error_codes(response: requests.Response) -> list[str]:
    details = response.json()["error"]["details"]
    return [detail["errorCode"] for detail in details if detail["@type"] == FCM_ERROR]


def test_pyfcm_delivers_and_what_it_sent_can_be_read(simulators, credentials, pyfcm_client):
    answer = pyfcm_client.notify(DEVICE, "New sign-in", "From Lisbon", data_payload={"message_id": "m-1"})
    (message,) = simulators.wait_for(channel="fcm", to=DEVICE)
    assert answer == {"name": message["provider_id"]}
    assert message["provider_id"].startswith(f"projects/{credentials.project_id}/messages/")
    assert (message["title"], message["text"], message["key"]) == ("New sign-in", "From Lisbon", "m-1")
    assert message["body"]["message"]["data"] == {"message_id": "m-1"}
    assert message["headers"]["content-type"] == "application/json"
    assert "eyJ" not in message["headers"]["authorization"]


def test_pyfcm_meets_its_own_errors(simulators, pyfcm_client):
    simulators.fault("fcm", "unregistered", match=DEVICE)
    with pytest.raises(FCMNotRegisteredError):
        pyfcm_client.notify(DEVICE, "gone")
    with pytest.raises(InvalidDataError):
        pyfcm_client.notify("x y", "bad token")
    simulators.fault("fcm", "status", status=403, match="other")
    with pytest.raises(FCMSenderIdMismatchError):
        pyfcm_client.notify("other" + DEVICE, "mismatch")
    assert pyfcm_client.notify(DEVICE[::-1], "still fine")["name"]


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "message", "Recipient of the message is not set."),
        ({"message": {"notification": {"title": "x"}}}, "message", "Recipient of the message is not set."),
        ({"message": {"token": None}}, "message", "Recipient of the message is not set."),
        ({"message": {"token": DEVICE, "topic": "news"}}, "message", "oneof"),
        ({"message": {"token": "short"}}, "message.token", "not a valid FCM registration token"),
        ({"message": {"token": 12}}, "message.token", "(TYPE_STRING), 12"),
        ({"message": {"topic": "no spaces"}}, "message.topic", "Invalid topic name"),
        ({"message": {"token": DEVICE, "color": "red"}}, "message", "Unknown name \"color\" at 'message'"),
        ({"mesage": {}}, "", 'Unknown name "mesage"'),
        ({"message": {"token": DEVICE, "data": {"a": 12}}}, "message.data[0].value", "(TYPE_STRING), 12"),
        ({"message": {"token": DEVICE, "data": {"from": "me"}}}, "message.data", "Invalid data payload key: from"),
        ({"message": {"token": DEVICE, "data": {"google.x": "1"}}}, "message.data", "Invalid data payload key"),
        ({"message": {"token": DEVICE, "data": [1]}}, "message.data", "message.data"),
        ({"message": {"token": DEVICE, "android": {"priority": "urgent"}}}, "message.android.priority", "TYPE_ENUM"),
        ({"message": {"token": DEVICE, "android": {"ttl": "1 day"}}}, "message.android.ttl", "duration"),
        ({"message": {"token": DEVICE, "android": {"ttl": "2419201s"}}}, "message.android.ttl", "Invalid ttl"),
        ({"message": {"token": DEVICE, "data": {"k": "é" * 2048}}}, "message", "too big"),
        ({"message": {"token": DEVICE, "notification": {"body": "x" * 4093}}}, "message", "too big"),
        ({"message": {"token": DEVICE, "apns": {"payload": {"x": "y" * 4096}}}}, "message", "too big"),
        ({"message": []}, "message", "Invalid value"),
        ([1], "", "Invalid value"),
        (b"null", "message", "Recipient of the message is not set."),
        (b"{not json", "", "Invalid JSON payload"),
        (b"\xff\xfe", "", "Invalid JSON payload"),
        (b"[" * 100_000, "", "Invalid JSON payload"),
    ],
)
def test_a_malformed_message_is_invalid_argument_and_names_the_field(simulators, fcm, body, field, says):
    response = fcm.post(body)
    error = response.json()["error"]
    violations = [v for detail in error["details"] for v in detail.get("fieldViolations", [])]
    assert (response.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert field in [violation["field"] for violation in violations]
    assert says in error["message"]
    assert simulators.messages() == []
    assert simulators.messages(outcome="refused")[0]["reason"] == "INVALID_ARGUMENT"


def test_a_payload_of_exactly_4096_bytes_is_accepted(fcm):
    assert fcm.send(data={"k": "x" * 4095}).status_code == 200
    assert fcm.send(data={"k": "x" * 4096}).status_code == 400


def test_camel_case_field_names_are_the_same_fields(simulators, fcm):
    assert fcm.send(android={"collapseKey": "chat-1", "ttl": "60s"}).status_code == 200
    (message,) = simulators.messages(channel="fcm")
    assert message["key"] == "chat-1"


def test_validate_only_checks_but_delivers_nothing(simulators, fcm):
    response = fcm.post({"validate_only": True, "message": {"token": DEVICE}})
    assert response.json()["name"].endswith("/fake_message_id")
    assert simulators.messages() == []


def test_without_a_good_bearer_token_nothing_is_sent(simulators, fcm):
    good = fcm.access_token()
    for token, reason in (
        ("", "CREDENTIALS_MISSING"),
        ("ya29.made-up", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        (good[:-4] + "AAAA", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    ):
        response = fcm.post({"message": {"token": DEVICE}}, token=token)
        error = response.json()["error"]
        assert (response.status_code, error["status"]) == (401, "UNAUTHENTICATED")
        assert error["details"][0]["reason"] == reason
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert fcm.post({"message": {"token": DEVICE}}, token=good).status_code == 200
    assert len(simulators.messages(channel="fcm")) == 1


def test_another_project_is_refused(fcm):
    response = fcm.post({"message": {"token": DEVICE}}, project="somebody-else")
    assert (response.status_code, response.json()["error"]["status"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iss": "mallory@example.com"}, "invalid_grant"),
        ({"aud": "https://example.com/token"}, "invalid_grant"),
        ({"exp": 1}, "invalid_grant"),
        ({"exp": int(time.time()) + 7_300}, "invalid_grant"),
        ({"iat": int(time.time()) + 3_000}, "invalid_grant"),
        ({"exp": None}, "invalid_grant"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
        ({"key": "x" * 32, "algorithm": "HS256"}, "invalid_grant"),
    ],
)
def test_a_wrong_assertion_gets_no_access_token(fcm, claims, error):
    response = fcm.exchange(**claims)
    assert (response.status_code, response.json()["error"]) == (400, error)
    assert response.json()["error_description"]


def test_the_token_endpoint_wants_a_jwt_bearer_grant(fcm, credentials):
    response = requests.post(credentials.token_uri, data={"grant_type": "password"}, timeout=10)
    assert response.json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    ("status", "canonical", "code"),
    [
        (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        (500, "INTERNAL", "INTERNAL"),
        (503, "UNAVAILABLE", "UNAVAILABLE"),
        (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
        (404, "NOT_FOUND", "UNREGISTERED"),
    ],
)
def test_a_status_fault_answers_as_google_does_and_is_used_up(simulators, fcm, status, canonical, code):
    simulators.fault("fcm", "status", status=status, count=2, retry_after_s=2)
    for _ in range(2):
        response = fcm.send()
        assert (response.status_code, response.json()["error"]["status"]) == (status, canonical)
        assert error_codes(response) == [code]
        assert response.headers["retry-after"] == "2"
    assert fcm.send().status_code == 200


def test_other_faults(simulators: Simulators, fcm: FcmClient) -> None:
    simulators.fault("fcm", "status", status=401, reason="THIRD_PARTY_AUTH_ERROR", count=1)
    assert error_codes(fcm.send()) == ["THIRD_PARTY_AUTH_ERROR"]
    simulators.fault("fcm", "status", status=401, count=1)
    assert fcm.send().json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"
    simulators.fault("fcm", "status", status=502, count=1, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    response = fcm.send()
    assert (response.status_code, response.headers["content-type"]) == (502, "text/html; charset=UTF-8")
    assert response.headers["retry-after"].startswith("Wed")
    simulators.fault("oauth", "status", status=503, count=1)
    assert fcm.exchange().status_code == 503
    assert fcm.exchange().status_code == 200


def test_a_reset_before_or_after_the_message_was_taken(simulators, fcm):
    simulators.fault("fcm", "reset", count=1)
    with pytest.raises(requests.ConnectionError):
        fcm.send()
    assert simulators.messages() == []
    simulators.fault("fcm", "reset", count=1, after_accept=True)
    with pytest.raises(requests.ConnectionError):
        fcm.send()
    assert len(simulators.messages()) == 1


def test_a_delay_holds_back_the_answer(simulators, fcm):
    simulators.fault("fcm", "delay", delay_s=0.3, count=1)
    began = time.monotonic()
    assert fcm.send().status_code == 200
    assert time.monotonic() - began >= 0.3
