"""Wires the gateway: settings, route table, its own pages, and the gate its workers open."""

from flask import Flask

from gateway import pages
from gateway.config import GatewaySettings
from gateway.configuration import TableFile
from gateway.gate import Gate
from shared import logs
from shared.settings import load


def create_app() -> Flask:
    """The app of one worker."""
    settings = load(GatewaySettings)
    logs.configure("gateway", settings.log_level)
    app = Flask("gateway", static_folder=None)
    gate = Gate(settings, TableFile(settings), own=pages.public(settings), operators=pages.OPERATORS)
    app.extensions["gate"] = gate
    app.register_blueprint(pages.blueprint(gate))
    return app
