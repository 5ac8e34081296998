"""The rule of refresh tokens, without I/O: which token of a session may be exchanged, and what its use says.

The tokens of a session are numbered from 0. `issued` is the newest number, `accepted` the last one that was exchanged.
"""

from enum import Enum


class Verdict(Enum):
    """What a presented refresh token means."""

    ROTATE = "rotated"  # the newest: exchange it for the next
    REPEAT = "repeated"  # exchanged a moment ago: two requests of one device, or a lost answer; same answer again
    REISSUE = "reissued"  # exchanged a while ago and nothing newer was seen: the answer was lost; a new number
    REUSE = "reuse_detected"  # somebody has used, or holds, a newer one: a copy is about
    ENDED = "session_ended"
    BANNED = "user_banned"  # the session has ended, and its owner may open no other
    EXPIRED = "session_expired"  # nobody refreshed it for too long
    UNKNOWN = "unknown"  # no such session, or newer than any that was issued: the database was set back


def judge(presented: int, *, issued: int, accepted: int, age_s: float, reuse_interval_s: float) -> Verdict:
    """Judge token number `presented`; `age_s` is the time since the newest was issued.

    A number between `accepted` and `issued` went into an answer that the client was believed to have lost. Who
    presents it shows that the answer arrived: then two hold this session's tokens, and the belief was wrong.
    """
    if presented == issued:
        return Verdict.ROTATE
    if presented > issued:
        return Verdict.UNKNOWN
    if presented != accepted:
        return Verdict.REUSE
    return Verdict.REPEAT if age_s <= reuse_interval_s else Verdict.REISSUE
