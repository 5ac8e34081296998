"""Sign-ups while relay, consumers, RabbitMQ and PostgreSQL are killed: nothing lost, nothing doubled, nobody called."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg2
import pytest
import requests

from deploy.local import environment
from tests.support.platform import Platform
from tests.support.waiting import eventually

pytestmark = pytest.mark.chaos

VICTIMS = ("auth-worker", "profile-worker", "notify-worker", "rabbitmq", "postgres", "auth-worker", "notify-worker")
CALM_TIMEOUT_S = 180


class SignUps:
    """Keeps signing people up, several at a time, trying again whatever was answered with 5xx, as an app does."""

    def __init__(self, base_url: str, count: int) -> None:
        self.base_url, self.count = base_url, count
        self.accepted: dict[str, UUID] = {}
        self.statuses: Counter[int] = Counter()
        self.is_stopped = threading.Event()

    def run(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._sign_up, range(self.count)))

    def _sign_up(self, number: int) -> None:
        email = f"person{number}@example.org"
        body = {"email": email, "password": f"correct horse {number}"}
        while not self.is_stopped.is_set():
            try:
                answer = requests.post(f"{self.base_url}/auth/v1/signup", json=body, timeout=30)
            except requests.RequestException:
                self.statuses[0] += 1
                time.sleep(0.2)
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.accepted[email] = UUID(answer.json()["id"])
                return
            assert answer.status_code in (502, 503, 504), answer.text
            assert answer.status_code != 503 or "Retry-After" in answer.headers
            time.sleep(0.2)


def test_after_every_server_was_killed_each_accepted_user_has_one_profile_and_one_mail(
    platform: Platform, signups: int
) -> None:
    crowd = SignUps(platform.url("gateway"), signups)
    thread = threading.Thread(target=crowd.run)
    thread.start()
    try:
        for number, victim in enumerate(VICTIMS, start=1):
            eventually(
                lambda share=number: len(crowd.accepted) >= signups * share / (len(VICTIMS) + 1),
                timeout_s=CALM_TIMEOUT_S,
                what=f"the sign-ups before {victim} is killed",
            )
            platform.kill(victim)
        thread.join(CALM_TIMEOUT_S)
        assert not thread.is_alive(), f"the sign-ups did not end: {crowd.statuses}"
    finally:
        crowd.is_stopped.set()
        thread.join()

    assert len(crowd.accepted) == signups
    eventually(lambda: _count_profiles(platform, crowd) >= signups, timeout_s=CALM_TIMEOUT_S, what="the profiles")
    eventually(lambda: len(_mails(platform, crowd)) >= signups, timeout_s=CALM_TIMEOUT_S, what="the welcome mails")
    _wait_until_quiet(platform)

    assert _count_profiles(platform, crowd) == signups
    mails = _mails(platform, crowd)
    assert set(mails) == set(crowd.accepted)
    assert all(len(message_ids) == 1 for message_ids in mails.values()), "a person got two different welcome messages"
    assert _count_messages(platform, crowd) == signups
    assert _users(platform) >= signups


def _rows(platform: Platform, database: str, sql: str, parameters: object = None) -> list[tuple[object, ...]]:
    servers = environment.servers(platform.settings)
    with psycopg2.connect(servers.database_url(database)) as conn, conn.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
    conn.close()
    return rows


def _count_profiles(platform: Platform, crowd: SignUps) -> int:
    """Rows as the event made them; a profile's key is its user, so a second one could only be another user's."""
    ids = [str(user_id) for user_id in crowd.accepted.values()]
    ((count,),) = _rows(platform, "profile", "SELECT count(*) FROM profiles WHERE user_id = ANY(%s::uuid[])", (ids,))
    return int(str(count))


def _count_messages(platform: Platform, crowd: SignUps) -> int:
    ids = [str(user_id) for user_id in crowd.accepted.values()]
    sql = "SELECT count(*) FROM messages WHERE user_id = ANY(%s::uuid[])"
    ((count,),) = _rows(platform, "notify", sql, (ids,))
    return int(str(count))


def _users(platform: Platform) -> int:
    ((count,),) = _rows(platform, "auth", "SELECT count(*) FROM users WHERE email LIKE 'person%%@example.org'", ())
    return int(str(count))


def _mails(platform: Platform, crowd: SignUps) -> dict[str, set[str]]:
    """Address → the different Message-IDs that arrived. A repeated one is the same message, as a mailbox sees it."""
    url = f"{platform.url('simulators')}/api/messages"
    mails: dict[str, set[str]] = {}
    for arrival in requests.get(url, params={"channel": "smtp", "limit": 1000}, timeout=10).json()["items"]:
        if arrival["to"] in crowd.accepted:
            mails.setdefault(arrival["to"], set()).add(arrival["key"])
    return mails


def _wait_until_quiet(platform: Platform) -> None:
    """Every outbox is empty and stays so for a moment: what was to arrive has."""

    def is_empty() -> bool:
        return all(
            _rows(platform, database, "SELECT 1 FROM outbox LIMIT 1") == []
            for database in ("auth", "profile", "notify")
        )

    eventually(is_empty, timeout_s=60, what="empty outboxes")
    time.sleep(2)
    eventually(is_empty, timeout_s=60, what="empty outboxes")
