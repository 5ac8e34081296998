"""Strict JSON (RFC 8259) from an untrusted body: what a parser forgives and a database does not is refused here."""

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from shared.errors import BadRequest, FieldError

MAX_DEPTH = 32
# Whatever could be an integer beyond 64 bits: what stores and other languages would round or refuse.
LONG_NUMBER = re.compile(rb"\d{19}")


def parse(data: bytes) -> Any:
    """Decode one JSON object or array. Raise BadRequest(malformed_json) with the reason."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"The body is not valid UTF-8 (byte {error.start}).") from error
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_int64 if LONG_NUMBER.search(data) else None,
            object_pairs_hook=_unique,
        )
    except _NumberRefused as error:
        problem = _malformed(f"The body holds {error}.")
        problem.errors = [FieldError(detail=f"is {error}", pointer=_place_of_number(text))]
        raise problem from error
    except RecursionError as error:
        raise _malformed(f"The body is nested deeper than {MAX_DEPTH} levels.") from error
    except json.JSONDecodeError as error:
        raise _malformed(f"The body is not valid JSON: {error.msg} at character {error.pos}.") from error
    if not isinstance(value, dict | list):
        raise _malformed("The body must be a JSON object.")
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        _check_depth(value)
    if "\\u" in text:
        _check_strings(value)
    return value


class _NumberRefused(Exception):
    """A number that some reader of the value would round or refuse."""


def _malformed(detail: str) -> BadRequest:
    return BadRequest(detail, code="malformed_json")


def _refuse_constant(name: str) -> NoReturn:
    raise _malformed(f"{name} is not JSON.")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _NumberRefused("a number that is too large")
    return number


def _int64(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise _NumberRefused("an integer that does not fit into 64 bits")
    return int(text)


def _place_of_number(text: str) -> str | None:
    """The JSON pointer of the first refused number: the text is read again, with a mark in its place."""

    def mark(judge: Callable[[str], float]) -> Callable[[str], Any]:
        def read(digits: str) -> Any:
            try:
                return judge(digits)
            except _NumberRefused:
                return _NumberRefused

        return read

    places = [("#", json.loads(text, parse_int=mark(_int64), parse_float=mark(_finite)))]
    while places:
        pointer, value = places.pop()
        if value is _NumberRefused:
            return pointer
        if isinstance(value, dict):
            escaped = {key: key.replace("~", "~0").replace("/", "~1") for key in value}
            places += [(f"{pointer}/{escaped[key]}", child) for key, child in reversed(value.items())]
        elif isinstance(value, list):
            places += [(f"{pointer}/{index}", child) for index, child in reversed(list(enumerate(value)))]
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of a duplicated name may disagree on which one counts (RFC 8259, section 4), so neither does."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _malformed("A name appears twice in one JSON object.")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
        if not level:
            return
    raise _malformed(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _check_strings(value: Any) -> None:
    """An escape can smuggle in what UTF-8 text columns cannot hold: NUL and lone surrogates."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\x00" in item:
                raise _malformed("A string holds the character U+0000.")
            if any("\ud800" <= character <= "\udfff" for character in item):
                raise _malformed("A string holds half of a surrogate pair.")
        else:
            stack.extend(_children(item))
            if isinstance(item, dict):
                stack.extend(item)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
