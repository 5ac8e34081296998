"""Random hexadecimal digits for ids, cut from a block: asking for each id anew costs twice as much."""

import os

BLOCK_BYTES = 8_192


class Digits:
    """Each digit is given out once. One for each process: `fork` must not give two the same block."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self._block = os.urandom(BLOCK_BYTES).hex().encode()
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many of them, in lower case."""
        if self._at + count > len(self._block):
            self.renew()
        start = self._at
        self._at = end = start + count
        return self._block[start:end]
