"""What a delivery says: its template rendered in the reader's language, as a push or as a mail.

`templates/<locale>/<template>/` holds subject.txt and, for mail, body.txt and body.html; for push, push.txt.
A locale that is missing falls back to its language, then to English, file by file.
"""

import re
from functools import cache
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.notify.providers import Mail, Push
from services.notify.store import Claimed

FOLDER = Path(__file__).parent / "templates"
FALLBACK = "en"
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
LOCALE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")
MAX_LINE = 200


class CannotRender(Exception):
    """There is no such template, or a parameter of it is missing; the text says which, never a parameter's value."""


@cache
def environment() -> ImmutableSandboxedEnvironment:
    """Parameters are only ever filled in, never compiled; HTML is escaped."""
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(FOLDER),
        autoescape=lambda name: bool(name and name.endswith(".html")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )


def push(delivery: Claimed, token: str, environment: str) -> Push:
    """Raise CannotRender. A template without push.txt holds what does not belong on a locked screen."""
    words = _Words(delivery)
    return Push(
        delivery_id=delivery.id,
        message_id=delivery.message_id,
        token=token,
        app_id=delivery.app_id,
        environment=environment,
        title=words.line("subject.txt"),
        body=words.text("push.txt").strip(),
        data=delivery.data,
        is_urgent=delivery.priority == "high",
        collapse_key=delivery.collapse_key,
        expires_at=delivery.expires_at,
    )


def mail(delivery: Claimed) -> Mail:
    """Raise CannotRender."""
    words = _Words(delivery)
    subject = words.line("subject.txt")
    return Mail(delivery.id, delivery.target, subject, words.text("body.txt"), words.text("body.html", subject=subject))


class _Words:
    """The files of one template in the language of one reader."""

    def __init__(self, delivery: Claimed) -> None:
        if not NAME.fullmatch(delivery.template):
            raise CannotRender("the template has no valid name")
        self._template = delivery.template
        self._locales = locales(delivery.locale)
        self._values = {
            "name": delivery.display_name or "",
            "title": delivery.title or "",
            "body": delivery.body or "",
            "locale": self._locales[0],
            **delivery.params,
        }

    def text(self, file: str, **more: str) -> str:
        names = [f"{locale}/{self._template}/{file}" for locale in self._locales]
        try:
            return environment().select_template(names).render({**self._values, **more})
        except TemplateNotFound as error:
            raise CannotRender(f"there is no {file} of the template {self._template}") from error
        except TemplateError as error:
            raise CannotRender(f"{self._template}/{file}: {type(error).__name__}") from error

    def line(self, file: str) -> str:
        """One line, whatever a parameter holds: a line break could start a header."""
        return " ".join(self.text(file).split())[:MAX_LINE]


def locales(wanted: str | None) -> list[str]:
    """Folders to look in, in order: `pt_BR` gives pt-BR, pt, en."""
    found = []
    if wanted and LOCALE.fullmatch(wanted):
        parts = wanted.replace("_", "-").split("-")
        found = ["-".join(parts), parts[0].lower()]
    return list(dict.fromkeys([*found, FALLBACK]))
