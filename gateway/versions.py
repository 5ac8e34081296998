"""Versions of apps, compared as Semantic Versioning does; one to four numbers are accepted."""

import re

_VERSION = re.compile(r"v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})(?:-([0-9A-Za-z.-]{1,64}))?(?:\+[0-9A-Za-z.-]{0,64})?")
_RELEASED = ((2, 0, ""),)
Key = tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]


def key(version: str) -> Key | None:
    """What versions are ordered by; None if this is none. `2` is `2.0.0`; `2.0.0-rc.1` comes before it."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    numbers = tuple(int(number) for number in found[1].split("."))
    return numbers + (0,) * (4 - len(numbers)), _before_release(found[2]) if found[2] else _RELEASED


def _before_release(text: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split("."))
