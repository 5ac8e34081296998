"""What a delivery says: its template in the reader's language, as a push or as a mail.

An operator's template that cannot be used costs nobody their mail: the built-in one stands in for it, and a log line
and a metric say so.
"""

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from services.notify import shelves
from services.notify.languages import stand_ins
from services.notify.library import CannotRender, Library
from services.notify.mail_settings import MailSettings
from services.notify.metrics import TEMPLATE_FALLBACKS, TEMPLATE_PROBLEMS
from services.notify.providers import Mail, Push
from services.notify.store import Claimed

log = logging.getLogger(__name__)
Said = TypeVar("Said")


class Writer:
    """Raises CannotRender."""

    def __init__(self, library: Library, built_in: Library) -> None:
        self._library, self._built_in = library, built_in

    @classmethod
    def of(cls, settings: MailSettings) -> "Writer":
        """With the operator's folder, as far as it is in order; each problem is logged."""
        below = Library(shelves.built_in(), settings.brand, settings.mail_locale)
        shelf, problems = shelves.over_built_in(settings.mail_templates_dir)
        for problem in problems:
            log.error("a template is left out: %s", problem)
        is_there = shelf.catalogues.keys() & set(stand_ins(settings.mail_locale))
        if not is_there:
            log.error("there are no mails in the language of MAIL_LOCALE, %s", settings.mail_locale)
        TEMPLATE_PROBLEMS.set(len(problems) + (not is_there))
        return cls(Library(shelf, settings.brand, settings.mail_locale), below)

    def mail(self, delivery: Claimed) -> Mail:
        params = _params(delivery)
        mail = self._first(delivery, lambda library: library.mail(delivery.template, delivery.locales, params))
        return Mail(delivery.id, delivery.target, mail.subject, mail.text, mail.html, mail.tag)

    def push(self, delivery: Claimed, token: str, environment: str) -> Push:
        """A template without the sentence `push` holds what does not belong on a locked screen."""
        params = _params(delivery)
        title, body = self._first(delivery, lambda library: library.push(delivery.template, delivery.locales, params))
        return Push(
            delivery_id=delivery.id,
            message_id=delivery.message_id,
            token=token,
            app_id=delivery.app_id,
            environment=environment,
            title=title,
            body=body,
            data=delivery.data,
            is_urgent=delivery.priority == "high",
            collapse_key=delivery.collapse_key,
            expires_at=delivery.expires_at,
        )

    def _first(self, delivery: Claimed, write: Callable[[Library], Said]) -> Said:
        try:
            return write(self._library)
        except CannotRender as error:
            said = write(self._built_in)
            log.error("the built-in template stands in: %s", error)
            TEMPLATE_FALLBACKS.labels(delivery.template).inc()
            return said


def _params(delivery: Claimed) -> Mapping[str, str]:
    said = {"name": delivery.display_name or "", "title": delivery.title or "", "body": delivery.body or ""}
    return {**said, **delivery.params}
