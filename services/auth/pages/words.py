"""What the pages say, in the reader's language. The code speaks English; a catalogue for each other language has every
sentence of it (a test counts them)."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

from flask import g, request

FOLDER = Path(__file__).parent / "words"
LANGUAGES = ("en", "de", "fr", "es", "pt", "ja", "zh")
MOST_LOCALES = 10
SUBTAG = re.compile(r"[-_]")
TAGS = {"zh": "zh-Hans"}  # where browsers would guess another script


def language() -> str:
    """The reader's: chosen at sign-up if we know who reads, else what the app or the browser asks for, else English."""
    reader = g.get("reader")
    chosen = reader.user_metadata.get("locale") if reader is not None else None
    asked = [chosen] if isinstance(chosen, str) else []
    asked += _asked_by_app()
    asked += request.accept_languages.values()  # the best first
    return next((primary for tag in asked if (primary := SUBTAG.split(tag)[0].lower()) in LANGUAGES), "en")


def _asked_by_app() -> list[str]:
    """`ui_locales` of a request for authorization (OpenID Connect), or of the one that a page leads back to."""
    query = request.values.get("return_to", "").partition("?")[2]
    said = request.args.get("ui_locales") or parse_qs(query).get("ui_locales", [""])[0]
    return said.split()[:MOST_LOCALES]


def tag() -> str:
    """The language as a page declares it (BCP 47)."""
    return TAGS.get(language(), language())


def say(english: str, **values: object) -> str:
    """The sentence in the reader's language, with values in the place of `{names}`; itself if no catalogue has it."""
    sentence = catalogue(language()).get(english, english)
    return sentence.format(**values) if values else sentence


def knows(sentence: str) -> bool:
    """True if it is in the reader's language, as far as we can tell: a translation, or English for who reads that."""
    words = catalogue(language())
    return language() == "en" or sentence in words or sentence in words.values()


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Every sentence by its English one; nothing for English itself."""
    if language == "en":
        return {}
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
