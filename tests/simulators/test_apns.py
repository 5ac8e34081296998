"""What APNs accepts and what it refuses, with Apple's status and reason."""

import time
import uuid

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.simulators.apns_client import ALERT, DEVICE


def other_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def test_an_answer_carries_the_id_given_or_a_new_one(simulators, apns):
    given = str(uuid.uuid4())
    answer = apns.push({"apns-id": given})
    assert (answer.status, answer.body, answer.headers["apns-id"]) == (200, b"", given.upper())
    assert uuid.UUID(apns.push().headers["apns-id"])
    assert simulators.messages()[1]["key"] == given


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"authorization": None}, 403, "MissingProviderToken"),
        ({"authorization": "bearer"}, 403, "MissingProviderToken"),
        ({"authorization": "bearer not.a.token"}, 403, "InvalidProviderToken"),
        ({"apns-topic": None}, 400, "MissingTopic"),
        ({"apns-topic": "no topic"}, 400, "BadTopic"),
        ({"apns-topic": "com.example.other"}, 400, "DeviceTokenNotForTopic"),
        ({"apns-push-type": "shout"}, 400, "InvalidPushType"),
        ({"apns-push-type": "background"}, 400, "BadPriority"),
        ({"apns-push-type": "voip"}, 400, "DeviceTokenNotForTopic"),
        ({"apns-topic": "app.gatehouse.phone.voip"}, 400, "InvalidPushType"),
        ({"apns-priority": "11"}, 400, "BadPriority"),
        ({"apns-expiration": "tomorrow"}, 400, "BadExpirationDate"),
        ({"apns-id": "not-a-uuid"}, 400, "BadMessageId"),
        ({"apns-collapse-id": "x" * 65}, 400, "BadCollapseId"),
        ({"apns-collapse-id": "é" * 33}, 400, "BadCollapseId"),
    ],
)
def test_a_wrong_header_is_refused_with_apples_reason(simulators, apns, headers, status, reason):
    answer = apns.push(headers)
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.headers["apns-id"]
    assert simulators.messages() == []
    assert simulators.messages(outcome="refused")[0]["reason"] == reason


@pytest.mark.parametrize(
    ("more", "status", "reason"),
    [
        ({"device": "zz" * 32}, 400, "BadDeviceToken"),
        ({"device": "ab" * 16}, 400, "BadDeviceToken"),
        ({"device": ""}, 400, "MissingDeviceToken"),
        ({"path": "/2/device/x"}, 404, "BadPath"),
        ({"method": "GET"}, 405, "MethodNotAllowed"),
        ({"body": b""}, 400, "PayloadEmpty"),
        ({"body": b"{not json"}, 400, "BadPayload"),
        ({"body": b"x" * 4097}, 413, "PayloadTooLarge"),
        ({"body": b"x" * 60_000}, 413, "PayloadTooLarge"),
    ],
)
def test_a_wrong_path_or_payload_is_refused_with_apples_reason(apns, more, status, reason):
    answer = apns.push(**more)
    assert (answer.status, answer.reason) == (status, reason)


@pytest.mark.parametrize("headers", [{"apns-push-type": "background", "apns-priority": "5"}, {"apns-push-type": None}])
def test_right_but_unusual_headers_are_accepted(simulators, apns, headers):
    assert apns.push(headers, body={"aps": {"content-available": 1}}).status == 200
    assert bool(simulators.messages()[0]["warnings"]) == (headers["apns-push-type"] is None)


def test_the_largest_payloads_are_accepted(credentials, apns):
    def payload(size):
        return b'{"aps":{"alert":"' + b"x" * (size - 20) + b'"}}'

    assert len(payload(4096)) == 4096
    assert apns.push(body=payload(4096)).status == 200
    voip = {"apns-push-type": "voip", "apns-topic": credentials.topic + ".voip"}
    assert apns.push(voip, body=payload(5120)).status == 200
    assert apns.push(voip, body=payload(5121)).reason == "PayloadTooLarge"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ({"iat": int(time.time()) - 3_700}, "ExpiredProviderToken"),
        ({"iat": int(time.time()) + 3_700}, "InvalidProviderToken"),
        ({"iat": None}, "InvalidProviderToken"),
        ({"iss": "SOMEBODY12"}, "InvalidProviderToken"),
        ({"kid": "OTHERKEYID"}, "InvalidProviderToken"),
        ({"key": other_key()}, "InvalidProviderToken"),
    ],
)
def test_a_wrong_provider_token_is_refused(apns, token, reason):
    answer = apns.push({"authorization": f"bearer {apns.provider_token(**token)}"})
    assert (answer.status, answer.reason) == (403, reason)


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ({"status": 429, "retry_after_s": 3}, 429, "TooManyRequests"),
        ({"status": 429, "reason": "TooManyProviderTokenUpdates"}, 429, "TooManyProviderTokenUpdates"),
        ({"status": 500}, 500, "InternalServerError"),
        ({"status": 503}, 503, "ServiceUnavailable"),
        ({"status": 503, "reason": "Shutdown"}, 503, "Shutdown"),
        ({"status": 403, "reason": "ExpiredProviderToken"}, 403, "ExpiredProviderToken"),
        ({"status": 410, "reason": "ExpiredToken"}, 410, "ExpiredToken"),
    ],
)
def test_a_status_fault_is_answered_once(simulators, apns, fault, status, reason):
    simulators.fault("apns", "status", count=1, match=DEVICE[:8], **fault)
    answer = apns.push()
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.headers.get("retry-after") == ("3" if "retry_after_s" in fault else None)
    assert apns.push().status == 200


def test_the_same_push_twice_is_counted_as_repeated(simulators, apns):
    given = str(uuid.uuid4())
    for _ in range(2):
        assert apns.push({"apns-id": given}, ALERT).status == 200
    assert simulators.stats()["repeated"] == [{"channel": "apns", "to": DEVICE, "key": given, "count": 2}]
