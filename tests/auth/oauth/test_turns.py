"""An app that comes for its tokens while what it was granted ends: both take turns, and nothing is left over."""

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.auth.browsers import Tab
from tests.auth.conftest import Person, Reply, Service, claims_of
from tests.auth.oauth.apps import App, agree, browser_of, parameters

API = "https://app.example.com"
Task = Callable[[], Reply]


@contextmanager
def _held(service: Service, sql: str, row_id: object) -> Iterator[Callable[[Task], "Future[Reply]"]]:
    """While a row is held: what begins a task, and comes back when one more is waiting for a lock."""
    sql_waiting = """
        SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    waiting = 0

    def begin(task: Task) -> "Future[Reply]":
        nonlocal waiting
        waiting += 1
        future = pool.submit(task)
        patience = time.monotonic() + 20
        while service.rows(sql_waiting)[0]["n"] < waiting and time.monotonic() < patience:
            time.sleep(0.01)
        assert service.rows(sql_waiting)[0]["n"] >= waiting, "it does not wait where it should"
        return future

    with ThreadPoolExecutor(2) as pool, service.db.transaction() as conn:
        with conn.cursor() as cursor:
            cursor.execute(sql, {"id": row_id})
        yield begin


SESSION = "SELECT 1 FROM sessions WHERE id = %(id)s FOR UPDATE"
USER = "SELECT 1 FROM users WHERE id = %(id)s FOR UPDATE"


@pytest.fixture
def bob(service: Service, request: pytest.FixtureRequest) -> Person:
    return service.member(f"bob.{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}")


@pytest.fixture
def tab(bob: Person) -> Tab:
    return browser_of(bob)


def _code(app: App, tab: Tab) -> str:
    return parameters(agree(tab, app.request(resource=API)))["code"]


def _living_sessions(service: Service, bob: Person) -> list[object]:
    sql = """
        SELECT id FROM sessions WHERE user_id = %(id)s AND ended_at IS NULL
          AND amr @> '[{"method": "oauth_provider/authorization_code"}]'
    """
    return [row["id"] for row in service.rows(sql, id=bob.user_id)]


def test_a_refresh_and_a_new_password_do_not_wait_for_each_other(
    service: Service, bob: Person, tab: Tab, own_app: App
) -> None:
    tokens = own_app.redeem(_code(own_app, tab))
    with _held(service, SESSION, claims_of(tokens["access_token"])["sid"]) as begin:
        changed = begin(lambda: bob.change(password="another long password"))
        refreshed = begin(lambda: own_app.refresh(tokens["refresh_token"]))
    assert changed.result().status == 200
    assert refreshed.result()["error"] == "invalid_grant"
    assert _living_sessions(service, bob) == []


def test_a_code_and_a_new_password_do_not_wait_for_each_other(
    service: Service, bob: Person, tab: Tab, own_app: App
) -> None:
    code = _code(own_app, tab)
    with _held(service, SESSION, tab.session_id()) as begin:
        changed = begin(lambda: bob.change(password="another long password"))
        redeemed = begin(lambda: own_app.redeem(code))
    assert changed.result().status == 200
    assert redeemed.result()["error"] == "invalid_grant"
    assert _living_sessions(service, bob) == []


def test_access_that_is_taken_back_while_a_code_is_exchanged_leaves_no_session(
    service: Service, bob: Person, tab: Tab, own_app: App
) -> None:
    code = _code(own_app, tab)
    with _held(service, USER, bob.user_id) as begin:
        begin(lambda: own_app.redeem(code))
        taken_back = begin(lambda: bob.delete(f"/user/oauth/grants?client_id={own_app.client_id}"))
    assert taken_back.result().status == 204
    assert _living_sessions(service, bob) == []
