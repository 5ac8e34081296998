"""What the pages say, in the reader's language. The code speaks English; a catalogue for each other language has every
sentence of it (a test counts them)."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from flask import g, request

FOLDER = Path(__file__).parent / "words"
LANGUAGES = ("en",)


def language() -> str:
    """The reader's: chosen at sign-up if we know who reads, else what the browser asks for, else English."""
    reader = g.get("reader")
    chosen = reader.user_metadata.get("locale") if reader is not None else None
    if isinstance(chosen, str) and chosen[:2].lower() in LANGUAGES:
        return chosen[:2].lower()
    return request.accept_languages.best_match(LANGUAGES, "en")


def say(english: str, **values: object) -> str:
    """The sentence in the reader's language, with values in the place of `{names}`; itself if no catalogue has it."""
    sentence = catalogue(language()).get(english, english)
    return sentence.format(**values) if values else sentence


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Every sentence by its English one; nothing for English itself."""
    if language == "en":
        return {}
    found: dict[str, str] = json.loads((FOLDER / f"{language}.json").read_text("utf-8"))
    return found
