"""Events that a relay has taken from an outbox, whichever store that is in."""

from collections.abc import Iterable

from shared.contracts import Envelope


class Held(list[Envelope]):
    """Events taken from an outbox. What is put into `unread` is kept aside when the others are forgotten."""

    def __init__(self, envelopes: Iterable[Envelope]) -> None:
        super().__init__(envelopes)
        self.unread: list[Envelope] = []
