"""Wiring of the notify service's web process."""

from functools import partial

from flask import Flask

import shared.app
from services.notify import devices, messages
from services.notify.config import MIGRATIONS, NotifySettings
from shared.migrations import require_current
from shared.postgres import Database
from shared.settings import load


def create_app(settings: NotifySettings | None = None) -> Flask:
    """The WSGI application; settings come from the environment unless given."""
    settings = settings or load(NotifySettings)
    db = Database(settings.database_url.get_secret_value(), size=settings.web_threads, application_name="notify")
    app: Flask = shared.app.create_app(
        "notify",
        settings,
        title="Gatehouse notify",
        blueprints=[devices.bp, messages.bp],
        ready={"postgres": db.check, "schema": partial(require_current, db, MIGRATIONS)},
    )
    app.extensions["database"] = db
    return app
