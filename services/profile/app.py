"""Wiring of the profile service's web process."""

from functools import partial

from flask import Flask

import shared.app
from services.profile import routes
from services.profile.config import MIGRATIONS, ProfileSettings
from shared.migrations import require_current
from shared.postgres import Database
from shared.settings import load


def create_app(settings: ProfileSettings | None = None) -> Flask:
    """The WSGI application; settings come from the environment unless given."""
    settings = settings or load(ProfileSettings)
    db = Database(settings.database_url.get_secret_value(), size=settings.web_threads, application_name="profile")
    app: Flask = shared.app.create_app(
        "profile",
        settings,
        title="Gatehouse profile",
        blueprints=[routes.bp],
        ready={"postgres": db.check, "schema": partial(require_current, db, MIGRATIONS)},
    )
    app.extensions["database"] = db
    return app
