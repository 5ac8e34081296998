"""Parameters to try templates with: one set for each text that a template can say."""

from collections.abc import Iterator

from services.notify.library import Shelf

LINK = (
    "https://api.example.com/auth/v1/verify"
    "?token_hash=nAf4dW8QzN2tXbVh1sUqQ0yKc7LrJm3GpEoTi9SaZk5&type=signup&redirect_to=app%3A%2F%2Fhome"
)
NAMES = {
    "ja": "山田 花子",
    "zh": "王小明",
    "de": "Jörg Weiß",
    "fr": "Zoé Lefèvre",
    "es": "Íñigo Núñez",
    "pt": "João Conceição",
}
VALUES = {
    "link": LINK,
    "code": "482913",
    "email": "zoe@example.com",
    "new_email": "zoe.new@example.com",
    "device": "Pixel 9",
    "ip": "192.0.2.1",
    "factor_type": "totp",
    "provider": "google",
    "remaining": "8",
    "title": "New comment",
    "body": "Bo: looks good\nSee you tomorrow.",
}


def samples(shelf: Shelf, name: str, tag: str = "en") -> Iterator[dict[str, str]]:
    """The usual values; then, for each sentence that depends on a parameter, each value that it knows."""
    template = shelf.templates[name]
    usual = {param: VALUES.get(param, f"[{param}]") for param in sorted(template.params)}
    usual["name"] = NAMES.get(tag.split("-")[0], "Zoë Miller")
    yield usual
    seen = {tuple(usual.items())}
    sentences = [
        sentence for catalogue in shelf.catalogues.values() for sentence in catalogue.words(name, template).values()
    ] + [sentence for catalogue in shelf.catalogues.values() for sentence in catalogue.values.values()]
    for sentence in sentences:
        for value in sentence.texts:
            changed = {**usual, **({sentence.by: "" if value == "none" else value} if sentence.by in usual else {})}
            if value != "other" and tuple(changed.items()) not in seen:
                seen.add(tuple(changed.items()))
                yield changed
