"""The rule of refresh tokens, against every history a device and a thief can make."""

from hypothesis import given
from hypothesis import strategies as st

from services.auth.rotation import Verdict, judge

SOON, LATE = 1.0, 100.0


class Server:
    """The two numbers of a session, moved as the service moves them."""

    def __init__(self) -> None:
        self.issued, self.accepted, self.is_alive = 0, -1, True

    def present(self, number: int, age_s: float) -> int | None:
        if not self.is_alive:
            return None
        verdict = judge(number, issued=self.issued, accepted=self.accepted, age_s=age_s, reuse_interval_s=10)
        if verdict in (Verdict.ROTATE, Verdict.REISSUE):
            self.issued, self.accepted = self.issued + 1, number
        if verdict is Verdict.REUSE:
            self.is_alive = False
            return None
        return self.issued


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([SOON, LATE]))))
def test_a_lone_device_is_never_logged_out_whatever_answers_are_lost(history: list[tuple[bool, float]]) -> None:
    server, held = Server(), 0
    for is_lost, age_s in history:
        answer = server.present(held, age_s)
        assert answer is not None
        if not is_lost:
            held = answer


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([SOON, LATE])), max_size=12))
def test_two_holders_of_one_token_are_found_out_once_both_have_used_what_they_got(
    history: list[tuple[bool, float]],
) -> None:
    server = Server()
    held: dict[bool, int] = {True: 0, False: 0}
    for who, age_s in [*history, (True, LATE), (False, LATE), (True, LATE), (False, LATE), (True, LATE)]:
        answer = server.present(held[who], age_s)
        if answer is None:
            break
        held[who] = answer
    assert not server.is_alive


def test_the_words() -> None:
    def verdict(number: int, age_s: float = SOON) -> Verdict:
        return judge(number, issued=5, accepted=4, age_s=age_s, reuse_interval_s=10)

    assert verdict(5) is verdict(5, LATE) is Verdict.ROTATE
    assert verdict(4) is Verdict.REPEAT
    assert verdict(4, LATE) is Verdict.REISSUE
    assert verdict(3) is verdict(3, LATE) is Verdict.REUSE
    assert verdict(6) is Verdict.UNKNOWN
