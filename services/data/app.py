"""Wiring of the data service's web process."""

from functools import partial

from flask import Flask

import shared.app
from services.data import routes, schema, sync
from services.data.config import DataSettings
from services.data.mongo import Database
from shared.settings import load


def create_app(settings: DataSettings | None = None) -> Flask:
    """The WSGI application; settings come from the environment unless given."""
    settings = settings or load(DataSettings)
    db = Database(settings.mongo_url.get_secret_value(), settings.mongo_database, size=settings.web_threads)
    app: Flask = shared.app.create_app(
        "data",
        settings,
        title="Gatehouse data",
        blueprints=[routes.bp, sync.bp],
        ready={"mongo": db.check, "schema": partial(schema.require_current, db)},
    )
    app.extensions["database"] = db
    return app
