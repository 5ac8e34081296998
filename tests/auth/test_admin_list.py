"""GET /admin/users."""

import pytest

from tests.auth.conftest import Person, Service


def _people(service: Service, count: int) -> None:
    service.rows(
        """
        INSERT INTO users (id, email) SELECT gen_random_uuid(), 'p' || n || '@example.com'
        FROM generate_series(1, %(count)s) AS n
        """,
        count=count,
    )


def test_pages_hold_everybody_once_and_the_last_one_names_no_next(service: Service, root: Person) -> None:
    _people(service, 6)
    seen: list[str] = []
    for page, has_next in ((1, True), (2, True), (3, False)):
        reply = root.administer("GET", f"?page={page}&per_page=3")
        seen += [user["id"] for user in reply["users"]]
        link = f'<users?page={page + 1}&per_page=3>; rel="next"' if has_next else None
        assert reply.headers.get("Link") == link
        assert "x-total-count" not in reply.headers
    assert len(seen) == len(set(seen)) == 7


def test_a_cursor_leads_through_everybody_though_people_come_and_go(service: Service, root: Person) -> None:
    _people(service, 6)
    first = root.administer("GET", "?per_page=3")
    service.rows("DELETE FROM users WHERE id = %(id)s", id=first["users"][0]["id"])
    second = root.administer("GET", f"?per_page=3&cursor={first['next_cursor']}")
    third = root.administer("GET", f"?per_page=3&cursor={second['next_cursor']}")
    seen = [user["id"] for reply in (first, second, third) for user in reply["users"]]
    assert len(seen) == len(set(seen)) == 7
    assert third["next_cursor"] is None


def test_the_client_that_was_not_told_a_page_gets_the_first(service: Service, root: Person, alice: Person) -> None:
    reply = root.administer("GET", "?page=&per_page=")
    assert {user["email"] for user in reply["users"]} == {root.email, alice.email}
    assert reply["next_cursor"] is None
    assert "password_hash" not in reply.text
    assert service.deeds(root) == [("users.listed", None)]


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "per_page=1001", "cursor=7", "filter=a&cursor=%25", "filter=a&cursor=7"]
)
def test_a_page_that_cannot_be_is_refused(root: Person, query: str) -> None:
    assert root.administer("GET", f"?{query}").status in (400, 422)


def test_users_are_found_by_how_their_address_begins(service: Service, root: Person) -> None:
    service.rows(
        """
        INSERT INTO users (id, email) SELECT gen_random_uuid(), email
        FROM unnest(%(emails)s) AS email
        """,
        emails=["Anna@example.com", "ann@example.com", "bann@example.com", "an_@example.com", "änn@example.com"],
    )
    found = [user["email"] for user in root.administer("GET", "?filter=aNN")["users"]]
    assert found == ["ann@example.com", "Anna@example.com"]
    for prefix, emails in (("an_", ["an_@example.com"]), ("%25", []), ("%C3%A4", ["änn@example.com"])):
        assert [user["email"] for user in root.administer("GET", f"?filter={prefix}")["users"]] == emails
    seen, cursor = [], ""
    for _ in range(3):
        page = root.administer("GET", f"?filter=an&per_page=1{cursor}")
        seen += [user["email"] for user in page["users"]]
        cursor = f"&cursor={page['next_cursor']}"
        assert "Link" not in page.headers
    assert (seen, page["next_cursor"]) == (["an_@example.com", "ann@example.com", "Anna@example.com"], None)
