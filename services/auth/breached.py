"""Passwords that everybody tries first: a filter of the 100,000 most common ones, and a question to a service.

The file is a Bloom filter (20 bits a password, 14 hashes): a common password is always found, another one is taken for
common once in some 15,000 times. `breached_build.py` makes it again, bit for bit.
"""

import hashlib
import logging
import time
import unicodedata
from functools import cache
from pathlib import Path

import requests

from shared import answers

log = logging.getLogger(__name__)

FILE = Path(__file__).parent / "breached.bloom"
COUNT, BITS_EACH, HASHES = 100_000, 20, 14
BITS = COUNT * BITS_EACH
TIMEOUT_S, MAX_ANSWER_BYTES = 1.5, 1_048_576


def is_common(password: str) -> bool:
    """True if it is one of the most common passwords, however it is capitalised."""
    bits = _filter()
    return all(bits[position >> 3] >> (position & 7) & 1 for position in positions(password))


def is_known_at(url: str, password: str) -> bool:
    """True if the service at `url` knows the password from a breach (the protocol of Have I Been Pwned, k-anonymity).

    Five hexadecimal digits of the SHA-1 leave this machine, shared by some thousand other passwords. A service that
    fails or is slow says nothing: nobody is kept out because of it.
    """
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    ends_at, padded = time.monotonic() + TIMEOUT_S, {"Add-Padding": "true"}
    try:
        with requests.get(
            f"{url}/range/{digest[:5]}", headers=padded, timeout=TIMEOUT_S, allow_redirects=False, stream=True
        ) as answer:
            answer.raise_for_status()
            text = answers.read(answer, ends_at=ends_at, max_bytes=MAX_ANSWER_BYTES).decode("ascii", "replace")
    except requests.RequestException as error:
        log.warning("breached passwords cannot be looked up: %s", type(error).__name__)
        return False
    found = dict(line.strip().upper().split(":", 1) for line in text.splitlines() if ":" in line)
    return found.get(digest[5:], "0").strip() not in ("", "0")  # padding has a count of 0


def positions(password: str) -> list[int]:
    """The bits of the filter that stand for this password."""
    digest = hashlib.sha256(unicodedata.normalize("NFC", password).casefold().encode()).digest()
    first, step = int.from_bytes(digest[:8]), int.from_bytes(digest[8:16]) | 1
    return [(first + number * step) % BITS for number in range(HASHES)]


@cache
def _filter() -> bytes:
    return FILE.read_bytes()
