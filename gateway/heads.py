"""Heads met again, byte for byte: what llhttp once found in exactly these bytes is remembered, not looked for again.

A phone sends the same fields, token included, with every request until its token changes; a service answers with the
same head for a second or so. Nothing is cut apart here but a head from what follows: all is read by llhttp, once.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import httptools

from gateway.forwarding import rendered
from gateway.headers import connection_says
from gateway.request import Request, judge_field

if TYPE_CHECKING:
    from gateway.config import GatewaySettings
    from gateway.table import Route, Table

MOST_HEADS, MOST_HEAD_BYTES = 4_096, 2_048  # of each of two generations
MOST_LINES, MOST_LINE_BYTES = 1_024, 512
MOST_ANSWERS, MOST_ANSWER_BYTES = 64, 1_024
Fields = dict[str, Any]


class KnownFields:
    """What a request's fields say, by their bytes: all that follows the first line of a request without a body.

    Learned when they come a second time; two generations, so that what is not in use leaves.
    """

    def __init__(self, settings: "GatewaySettings") -> None:
        self._most_bytes = min(MOST_HEAD_BYTES, settings.max_header_bytes - MOST_LINE_BYTES)
        self._young: dict[bytes, Fields] = {}
        self._old: dict[bytes, Fields] = {}
        self._seen: set[int] = set()

    def get(self, fields: bytes) -> Fields | None:
        """The attributes of a `Request` with these fields, or None."""
        known = self._young.get(fields)
        if known is None and (known := self._old.get(fields)) is not None:
            self._keep(fields, known)
        return known

    def see(self, fields: bytes) -> None:
        """Remember fields that a request with a good token had, if they have come before."""
        if len(fields) > self._most_bytes:
            return
        number = hash(fields)
        if number not in self._seen:
            if len(self._seen) >= MOST_HEADS:
                self._seen.clear()
            self._seen.add(number)
            return
        known = _Reader().read(fields)
        if known is not None:
            self._keep(fields, known)

    def _keep(self, fields: bytes, known: Fields) -> None:
        if len(self._young) >= MOST_HEADS:
            self.grow_old()
        self._young[fields] = known

    def grow_old(self) -> None:
        """Forget what has not been met since the last time."""
        self._old, self._young = self._young, {}


class _Reader:
    """Lets llhttp read fields below a request line of our own, apart from any connection."""

    def __init__(self) -> None:
        self._request = Request(b"/")
        self._complete = 0

    def read(self, fields: bytes) -> Fields | None:
        """What the fields say; None if they are not those of one whole request without anything out of the ordinary."""
        request = self._request
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(b"GET / HTTP/1.1\r\n" + fields)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        request.judge_fields()
        ends = fields.find(b"\r\n\r\n") + 4
        if self._complete != 1 or ends != len(fields) or request.has_body or request.problem is not None:
            return None
        if request.connection is not None and not connection_says(request.connection):
            return None
        request.rendered = rendered(request)
        request.is_known = True
        return {name: value for name, value in vars(request).items() if name not in ("target", "body")}

    def on_header(self, name: bytes, value: bytes) -> None:
        judge_field(self._request, name, value)

    def on_message_complete(self) -> None:
        self._complete += 1


class KnownLine(NamedTuple):
    """What a request line says, and where it leads: by `table`, the one in use when it was learned, and no other."""

    method: bytes
    target: bytes
    table: "Table"
    route: "Route"
    sent_on: bytes  # the target as the service gets it


class KnownLines:
    """Request lines by their bytes; those of HTTP/1.1 only."""

    def __init__(self) -> None:
        self._lines: dict[bytes, KnownLine] = {}
        self.get = self._lines.get

    def learn(self, line: bytes, request: Request, table: "Table") -> None:
        """Remember a line that llhttp has read as this request's."""
        if line != b"%b %b HTTP/1.1\r\n" % (request.method, request.target) or len(line) > MOST_LINE_BYTES:
            return
        route, sent_on, _ = table.place(request.method, request.target)
        if route is not None:
            if len(self._lines) >= MOST_LINES:
                self._lines.clear()
            self._lines[line] = KnownLine(request.method, request.target, table, route, sent_on)


class KnownAnswer(NamedTuple):
    """What a response's head says: rendered for the client, and how long the body is."""

    status: int
    fields: bytes
    length: int


class KnownAnswers:
    """Heads of one service's responses: those with a length, after which the connection stays. Kept for a second."""

    def __init__(self) -> None:
        self._answers: dict[bytes, KnownAnswer] = {}
        self.get = self._answers.get

    def has_room_for(self, head: bytes) -> bool:
        """Asked before an answer is made ready to be learned: where none comes twice, that would be in vain."""
        return len(self._answers) < MOST_ANSWERS and len(head) <= MOST_ANSWER_BYTES

    def learn(self, head: bytes, answer: KnownAnswer) -> None:
        if self.has_room_for(head):
            self._answers[head] = answer

    def forget(self) -> None:
        """Heads hold a date: those of the last second will not come again."""
        self._answers.clear()
