"""GET /data/v1/spaces"""

from concurrent.futures import ThreadPoolExecutor

from flask import Flask

from services.data.mongo import Database
from tests.data.conftest import Client, note


def test_everybody_has_a_private_space_from_the_first_look(as_alice, as_mallory):
    answer = as_alice.get("/data/v1/spaces")
    assert answer.status_code == 200
    (space,) = answer.json["items"]
    assert space.keys() == {"id", "kind", "role", "seq", "created_at"}
    assert (space["kind"], space["role"], space["seq"]) == ("private", "owner", 0)
    assert answer.json["next_cursor"] is None
    assert as_alice.get("/data/v1/spaces").json == answer.json
    assert as_mallory.space_id() != space["id"]


def test_its_seq_is_that_of_the_latest_write(as_alice):
    revision = as_alice.put(note(), {"n": 1}).json["revision"]
    assert as_alice.get("/data/v1/spaces").json["items"][0]["seq"] == revision


def test_many_first_looks_and_writes_at_once_make_one_space(app: Flask, db: Database, alice):
    def look_or_write(n: int) -> int:
        client = Client(app, alice)
        return (client.put(note(), {"n": n}) if n % 2 else client.get("/data/v1/spaces")).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(look_or_write, range(24))) == {200, 201}
    with db.connection() as conn:
        assert conn["spaces"].count_documents({"owner_id": alice.user_id}) == 1


def test_without_a_token_there_are_no_spaces(app: Flask):
    assert app.test_client().get("/data/v1/spaces").status_code == 401
