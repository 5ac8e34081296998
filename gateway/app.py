"""Wires the gateway: settings, route table, its own pages, and the gate its workers open."""

import os
import sys

from flask import Flask

from gateway import pages, routes
from gateway.config import GatewaySettings
from gateway.gate import Gate
from shared import logs
from shared.settings import load


def create_app(settings: GatewaySettings | None = None) -> Flask:
    """The app of one worker. A mistake in the settings or the route table ends the process with status 2."""
    settings = settings or load(GatewaySettings)
    logs.configure("gateway", settings.log_level)
    try:
        routes_file = routes.read(settings.routes_file, {**os.environ, **settings.names})
    except routes.Mistakes as mistakes:
        sys.stderr.write(f"{settings.routes_file}: {len(mistakes.lines)} mistake(s)\n{mistakes}\n")
        sys.exit(2)
    app = Flask("gateway", static_folder=None)
    gate = Gate(settings, routes_file, routes_file.table(own=pages.ROUTES))
    app.extensions["gate"] = gate
    app.register_blueprint(pages.blueprint(gate))
    return app
