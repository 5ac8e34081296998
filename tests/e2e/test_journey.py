"""What `make demo` plays, and what its failure looks like, on a whole platform of the test's own."""

import requests

from tests.support.platform import Platform


def test_the_whole_journey_goes_as_it_must(platform: Platform) -> None:
    played = platform.run("deploy.local.demo")
    assert played.returncode == 0, played.stdout + played.stderr
    assert "The whole journey took" in played.stdout
    for secret in ("access_token", "refresh_token", "eyJ"):
        assert secret not in played.stdout


def test_a_step_that_fails_ends_the_run_and_says_what_came(platform: Platform) -> None:
    fault = {"channel": "apns", "kind": "status", "status": 400, "reason": "BadDeviceToken", "count": 1}
    requests.post(f"{platform.url('simulators')}/api/faults", json=fault, timeout=5).raise_for_status()
    played = platform.run("deploy.local.demo")
    assert played.returncode == 1
    assert "expected  a push at APNs" in played.stdout
    assert "came      nothing" in played.stdout


def test_no_log_of_the_platform_holds_a_token_or_a_password(platform: Platform) -> None:
    logs = list(platform.settings.logs.glob("*.log"))
    assert len(logs) > 10
    for log in logs:
        text = log.read_text(errors="replace")
        assert "eyJ" not in text, f"a JWT in {log.name}"
        assert "correct horse" not in text, f"a password in {log.name}"


def test_the_gateway_describes_every_service_in_one_document(platform: Platform) -> None:
    document = requests.get(f"{platform.url('gateway')}/openapi.json", timeout=10).json()
    assert document["openapi"].startswith("3.1")
    for path in ("/auth/v1/signup", "/profile/v1/me", "/data/v1/changes", "/notify/v1/messages"):
        assert path in document["paths"]


def test_internal_pages_of_services_cannot_be_reached_from_outside(platform: Platform) -> None:
    for path in ("/auth/metrics", "/auth/v1/../../metrics", "/auth/v1/%2e%2e/%2e%2e/metrics", "/profile/readyz"):
        request = requests.Request("GET", platform.url("gateway")).prepare()
        request.url = platform.url("gateway") + path
        with requests.Session() as session:
            answer = session.send(request, timeout=5)
        assert answer.status_code in (400, 404)
        assert answer.headers["Content-Type"] == "application/problem+json"
