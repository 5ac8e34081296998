"""When a delivery is tried again, and what is kept of what a provider said."""

import pytest

from services.notify import retries
from services.notify.providers import RETRIED, Outcome, Result
from services.notify.providers.transport import Answer
from tests.notify.test_content import claimed

POLICY = retries.Policy(max_attempts=8, base_s=5)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.POSTPONED])
def test_what_is_retried_is_retried_until_the_attempts_are_over(outcome: Outcome) -> None:
    first = retries.judge(claimed("message", attempt=1), Result(outcome), POLICY)
    last = retries.judge(claimed("message", attempt=8), Result(outcome), POLICY)

    assert (first["retry_s"] is not None) == (outcome in RETRIED)
    assert first["state"] == {True: "retrying", False: "failed"}[outcome in RETRIED] or outcome is Outcome.ACCEPTED
    assert last["retry_s"] is None
    assert last["state"] == ("sent" if outcome is Outcome.ACCEPTED else "failed")


def test_what_was_not_begun_is_no_attempt() -> None:
    last = retries.judge(claimed("message", attempt=8), Result(Outcome.POSTPONED), POLICY)

    assert (last["state"], last["is_attempt"]) == ("retrying", False)


def test_waits_double_up_to_an_hour() -> None:
    waits = [retries.wait_s(attempt, None, POLICY) for attempt in range(1, 15)]

    for wait, least in zip(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600, 3600], strict=True):
        assert least <= wait <= least * 1.1


@pytest.mark.parametrize(("asked", "least"), [(0, 1), (7, 7), (4000, 4000), (1e9, 86_400)])
def test_retry_after_is_never_undercut_within_reason(asked: float, least: float) -> None:
    assert least <= retries.wait_s(1, asked, POLICY) <= least * 1.1


def test_hops_through_the_delay_queues_come_to_the_wait() -> None:
    remaining, hops = 4000.0, 0
    while remaining > 0:
        remaining -= retries.delay_for(remaining)
        hops += 1

    assert -1 <= remaining <= 0
    assert hops < 30


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("99999999999999999999", 999_999_999),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("\u0661", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_nonsense_is_no_wait(value: str, seconds: float | None) -> None:
    assert Answer(429, {"retry-after": value}, b"").retry_after_s == seconds


def test_what_a_provider_says_can_be_stored() -> None:
    said = Result(Outcome.BAD_REQUEST, "a\x00b\ud800c\n" + "x" * 1000)

    reason = retries.judge(claimed("message"), said, POLICY)["reason"]

    assert reason.startswith("abcx") and len(reason) == retries.MAX_TEXT
