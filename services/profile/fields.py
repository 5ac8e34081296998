"""What a profile's fields may hold: rules without I/O."""

import re
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

# Invisible characters that reorder what is around them: with them one name can be made to look like another.
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LINE_BREAKS = frozenset("\n\t\u2028\u2029")
INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")

# RFC 5646, section 2.1, without the grandfathered tags, which RFC 5646 itself advises against.
LANGUAGE_TAG = re.compile(
    r"(?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|\d{3}))?"
    r"(?P<variants>(?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*)"
    r"(?P<extensions>(?:-[a-wy-z\d](?:-[a-z\d]{2,8})+)*)"
    r"(?P<private>-x(?:-[a-z\d]{1,8})+)?",
    re.IGNORECASE | re.ASCII,
)


def _one_line(text: str) -> str:
    """NFC, without blanks at the ends, with something to see."""
    text = _without_controls(text).strip()
    if LINE_BREAKS & set(text):
        raise ValueError("must be one line")
    if all(unicodedata.category(character) in INVISIBLE for character in text):
        raise ValueError("must hold at least one visible character")
    return _at_most(64, text)


def _lines(text: str) -> str:
    """NFC, with line feeds as the only line ends."""
    return _at_most(500, _without_controls(text.replace("\r\n", "\n")).strip())


def _at_most(length: int, text: str) -> str:
    if len(text) > length:
        raise ValueError(f"must have at most {length} characters")
    return text


def _without_controls(text: str) -> str:
    """NFC; line feed and tab stay. Unassigned characters stay too: a phone may know newer emoji than we do."""
    text = unicodedata.normalize("NFC", text)
    for character in text:
        if character in BIDI_CONTROLS or (unicodedata.category(character) == "Cc" and character not in "\n\t"):
            raise ValueError(f"must not hold the control character U+{ord(character):04X}")
    return text


def _language_tag(tag: str) -> str:
    """A well-formed BCP 47 tag in the customary case: `zh-Hant-TW`."""
    match = LANGUAGE_TAG.fullmatch(tag)
    if match is None:
        raise ValueError("must be a BCP 47 language tag, such as en, pt-BR or zh-Hant-TW")
    parts = [match["language"].lower()]
    if match["script"]:
        parts.append(match["script"].title())
    if match["region"]:
        parts.append(match["region"].upper())
    return "-".join(parts) + (match["variants"] + match["extensions"] + (match["private"] or "")).lower()


@cache
def _time_zones() -> frozenset[str]:
    """The names of the IANA database, from the `tzdata` package and not from whatever the machine has."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split())


def _time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError("must be a time zone of the IANA database, such as Europe/Lisbon")
    return name


def locale_or_none(tag: str | None) -> str | None:
    """The tag in its customary form, or None if it is no language tag: for what arrives from elsewhere."""
    try:
        return _language_tag(tag) if tag and len(tag) <= 35 else None
    except ValueError:
        return None


DisplayName = Annotated[str, StringConstraints(max_length=256), AfterValidator(_one_line)]
Bio = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_lines)]
Locale = Annotated[str, StringConstraints(max_length=35), AfterValidator(_language_tag)]
TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_time_zone)]
