"""What a route must declare, what it may answer, and the conditions of RFC 9110, section 13."""

from uuid import UUID

import pytest
from flask.testing import FlaskClient

from shared.routing import Answer, Blueprint, public
from tests.support.problems import problem

STORED = UUID(int=0x0190F5FE7C007A008000000000000001)
NOTHING = UUID(int=0x0190F5FE7C007A008000000000000010)


def test_a_handler_that_does_not_say_who_may_call_it_cannot_be_registered() -> None:
    bp = Blueprint("loose", __name__, url_prefix="/loose/v1")

    def forgotten() -> None:
        return None

    for register in (bp.get, bp.post, bp.put, bp.patch, bp.delete):
        with pytest.raises(TypeError, match="forgotten: say who may call it"):
            register("/x")(forgotten)


def test_access_declared_above_the_route_is_too_late() -> None:
    bp = Blueprint("loose", __name__, url_prefix="/loose/v1")
    with pytest.raises(TypeError):

        @public
        @bp.get("/x")
        def upside_down() -> None:
            return None


def test_an_annotation_that_is_no_model_is_answered_with_204() -> None:
    class Nothing(Answer):
        pass

    bp = Blueprint("tidy", __name__, url_prefix="/tidy/v1")

    @bp.delete("/x")
    @public
    def delete_x() -> None:
        return None

    assert delete_x() is None, "the handler itself stays callable as it is written"


@pytest.mark.parametrize(
    ("thing", "headers", "status"),
    [
        (STORED, {}, 428),
        (STORED, {"If-Match": '"7"'}, 200),
        (STORED, {"If-Match": '"6"'}, 412),
        (STORED, {"If-Match": '"6", "7"'}, 200),
        (STORED, {"If-Match": '"6","7" , "8"'}, 200),
        (STORED, {"If-Match": "*"}, 200),
        (STORED, {"If-Match": 'W/"7"'}, 412),  # strong comparison, section 13.1.1
        (STORED, {"If-Match": "7"}, 412),
        (STORED, {"If-Match": ""}, 412),
        (STORED, {"If-None-Match": "*"}, 412),
        (STORED, {"If-None-Match": '"7"'}, 412),
        (STORED, {"If-None-Match": 'W/"7"'}, 412),  # weak comparison, section 13.1.2
        (STORED, {"If-None-Match": '"6"'}, 200),
        (STORED, {"If-Match": '"7"', "If-None-Match": '"7"'}, 412),
        (NOTHING, {}, 428),
        (NOTHING, {"If-Match": "*"}, 412),
        (NOTHING, {"If-Match": '"7"'}, 412),
        (NOTHING, {"If-None-Match": "*"}, 200),
        (NOTHING, {"If-None-Match": '"7"'}, 200),
    ],
    ids=str,
)
def test_a_write_holds_to_its_conditions(
    client: FlaskClient, thing: UUID, headers: dict[str, str], status: int
) -> None:
    answer = client.put(f"/things/v1/things/{thing}", json={"name": "new"}, headers=headers)
    if status == 428:
        problem(answer, 428, "precondition_required")
    elif status == 412:
        problem(answer, 412, "precondition_failed")
        assert answer.headers.get("ETag") == ('"7"' if thing == STORED else None)
    else:
        assert answer.status_code == status and answer.headers["ETag"] == '"8"'


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 200),
        ('"7"', 304),
        ('W/"7"', 304),
        ('"6", W/"7"', 304),
        ("*", 304),
        ('"6"', 200),
        ("7", 200),
        ("", 200),
    ],
    ids=str,
)
def test_a_read_answers_304_when_the_reader_has_it_already(
    client: FlaskClient, header: str | None, status: int
) -> None:
    for method in ("GET", "HEAD"):
        headers = {} if header is None else {"If-None-Match": header}
        answer = client.open(f"/things/v1/things/{STORED}", method=method, headers=headers)
        assert answer.status_code == status and answer.headers["ETag"] == '"7"'
        assert bool(answer.data) == (status == 200 and method == "GET")
