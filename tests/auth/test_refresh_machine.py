"""The state machine of refresh tokens, as the README writes it down, against the real service and its real store."""

from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from services.auth import store
from services.auth.devices import Device
from services.auth.tokens import encode_refresh_token
from tests.auth.conftest import Person, Reply, Service, at_once

ENDS = ("refresh_token_already_used", "session_not_found")


class Machine(RuleBasedStateMachine):
    """One session, its owner and whoever copied tokens; `issued` and `accepted` are what the README says."""

    def __init__(self, service: Service, person: Person) -> None:
        super().__init__()
        self.service, self.person = service, person
        with service.db.transaction() as conn:
            session = store.insert_session(conn, UUID(person.user_id), Device("Phone", "", None), [])
        self.session_id = session.id
        self.tokens = [encode_refresh_token(service.parts.sealer, session.id, 0)]
        self.issued, self.accepted, self.is_recent, self.is_alive = 0, -1, True, True

    def present(self, number: int) -> Reply:
        return self.service.post("/token?grant_type=refresh_token", {"refresh_token": self.tokens[number]})

    @precondition(lambda self: self.is_alive)
    @rule(data=st.data())
    def a_token_is_presented(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(max(0, self.issued - 3), self.issued))
        self.expect(number, [self.present(number)])

    @precondition(lambda self: self.is_alive)
    @rule(data=st.data(), times=st.integers(2, 5))
    def a_token_is_presented_several_times_at_once(self, data: st.DataObject, times: int) -> None:
        number = data.draw(st.integers(max(0, self.issued - 1), self.issued))
        if number == self.accepted and not self.is_recent:
            return  # the first of them is an answer lost long ago, and makes the others recent: no single expectation
        self.expect(number, at_once(lambda _: self.present(number), times))

    @rule()
    def time_passes(self) -> None:
        self.service.rows(
            "UPDATE sessions SET refreshed_at = now() - interval '1 hour' WHERE id = %(id)s", id=self.session_id
        )
        self.is_recent = False

    @precondition(lambda self: not self.is_alive)
    @rule(data=st.data())
    def a_dead_session_stays_dead(self, data: st.DataObject) -> None:
        reply = self.present(data.draw(st.integers(0, self.issued)))
        assert (reply.status, reply.code) == (400, "session_not_found")

    def expect(self, number: int, replies: list[Reply]) -> None:
        if number not in (self.issued, self.accepted):
            self.is_alive = False
            assert {reply.status for reply in replies} == {400}
            assert sorted({str(reply.code) for reply in replies}) == sorted({*ENDS[: len(replies)]})
            return
        if number == self.issued or not self.is_recent:
            self.issued, self.accepted, self.is_recent = self.issued + 1, number, True
        assert {reply.status for reply in replies} == {200}
        (newest,) = {str(reply["refresh_token"]) for reply in replies}
        if self.issued == len(self.tokens):
            self.tokens.append(newest)
        assert newest == self.tokens[self.issued], "the same number is the same token"

    @invariant()
    def the_row_holds_two_numbers_and_the_others_hear_of_the_end_once(self) -> None:
        (row,) = self.service.rows(
            "SELECT refresh_issued, refresh_accepted, ended_at FROM sessions WHERE id = %(id)s", id=self.session_id
        )
        assert (row["refresh_issued"], row["refresh_accepted"]) == (self.issued, self.accepted)
        assert (row["ended_at"] is None) is self.is_alive
        ends = [event for event in self.service.events("session.revoked") if event.subject == str(self.session_id)]
        assert [event.data["reason"] for event in ends] == ([] if self.is_alive else ["reuse_detected"])

    def teardown(self) -> None:
        self.service.rows("DELETE FROM outbox")
        self.service.rows("DELETE FROM sessions WHERE id = %(id)s", id=self.session_id)


def test_every_history_of_refreshes_goes_as_the_readme_says(service: Service, alice: Person) -> None:
    checks = settings(max_examples=25, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(lambda: Machine(service, alice), settings=checks)  # type: ignore[no-untyped-call]
