"""What a request costs in each way to put pydantic models in front of Flask (docs/http-framework.md has the outcome).

From the repository's root, in an environment of its own, because the house installs only one of them:

    python3 -m venv .frameworks
    .frameworks/bin/pip install -r services/profile/requirements.txt \
        flask-openapi==5.0.0 apiflask==3.1.2 spectree==3.0.0 openapi-spec-validator==0.9.0
    .frameworks/bin/python -m tests.load.http_frameworks

CPU time of the whole WSGI call in one process, no socket: each round measures every candidate in turn, and the table
shows the medians of the rounds.
"""

import argparse
import io
import json
import logging
import statistics
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import apiflask
import flask_openapi
import flask_openapi3
import spectree
from flask import Flask, Response, request
from openapi_spec_validator import validate
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.test import EnvironBuilder

import shared.app
from shared import routing
from shared.settings import Settings

BATCH = 100
THING = "0190f5fe-7c00-7a00-8000-000000000001"
SENT = {
    "name": "ball",
    "count": 3,
    "weight": 1.5,
    "kind": "round",
    "made_at": "2026-11-22T12:00:00Z",
    "tags": ["a", "b"],
}


class Path(BaseModel):
    thing_id: UUID


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = Field(20, ge=1, le=100)
    word: str = Field("", max_length=50)
    newest: bool = False


class New(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=20)
    count: int = Field(ge=0)
    weight: float | None = None
    kind: Literal["round", "square"] = "round"
    made_at: datetime | None = None
    tags: list[str] = Field(default_factory=list)


class Thing(New):
    id: UUID


class OurPath(routing.Path, Path):
    pass


class OurQuery(routing.Query, Query):
    pass


class OurNew(routing.Body, New):
    pass


def found(thing_id: UUID, query: Query) -> Thing:
    return Thing(id=thing_id, name=query.word or "ball", count=query.limit)


def made(new: New) -> Thing:
    return Thing(id=UUID(THING), **dict(new))


def as_json(model: BaseModel, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status, mimetype="application/json")


def plain() -> Flask:
    """No framework: what validation and rendering cost by themselves."""
    app = Flask("plain", static_folder=None)

    @app.get("/things/<thing_id>")
    def get_thing(thing_id: str) -> Response:
        path = Path.model_validate({"thing_id": thing_id})
        return as_json(found(path.thing_id, Query.model_validate(request.args.to_dict())))

    @app.post("/things")
    def make_thing() -> Response:
        return as_json(made(New.model_validate_json(request.get_data())), 201)

    return app


def openapi_like(package: Any, query_model: type[Query] = Query) -> Flask:
    """flask-openapi3 and its successor flask-openapi have one interface."""
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}}  # without any, 4.3.2 writes an invalid null
    app: Flask = package.OpenAPI("things", doc_ui=False, static_folder=None, security_schemes=schemes)

    @app.get("/things/<thing_id>", responses={200: Thing})
    def get_thing(path: Path, query: query_model) -> Response:  # type: ignore[valid-type]
        return as_json(found(path.thing_id, query))

    @app.post("/things", responses={201: Thing})
    def make_thing(body: New) -> Response:
        return as_json(made(body), 201)

    return app


def with_apiflask() -> Flask:
    app = apiflask.APIFlask("things", docs_path=None, static_folder=None)

    @app.get("/things/<thing_id>")
    @app.input(Path, location="path")
    @app.input(Query, location="query")
    @app.output(Thing)
    def get_thing(thing_id: str, path_data: Path, query_data: Query) -> Thing:
        return found(path_data.thing_id, query_data)

    @app.post("/things")
    @app.input(New)
    @app.output(Thing, status_code=201)
    def make_thing(json_data: New) -> Thing:
        return made(json_data)

    return app


def with_spectree() -> Flask:
    """It has no model of the path: Flask's converter takes that part."""
    app = Flask("things", static_folder=None)
    spec = spectree.SpecTree("flask")

    @app.get("/things/<uuid:thing_id>")
    @spec.validate(query=Query, resp=spectree.Response(HTTP_200=Thing))
    def get_thing(thing_id: UUID, query: Query) -> Response:
        return as_json(found(thing_id, query))

    @app.post("/things")
    @spec.validate(json=New, resp=spectree.Response(HTTP_201=Thing))
    def make_thing(json: New) -> Response:
        return as_json(made(json), 201)

    spec.register(app)
    app.extensions["spec"] = spec
    return app


def with_shared() -> Flask:
    """The whole of shared.app: strict JSON, access, request id, trace, metrics, and a log line that goes nowhere."""
    bp = routing.Blueprint("things", __name__, url_prefix="")

    @bp.get("/things/<thing_id>")
    @routing.public
    def get_thing(path: OurPath, query: OurQuery) -> Thing:
        return found(path.thing_id, query)

    @bp.post("/things", status=201)
    @routing.public
    def make_thing(body: OurNew) -> Thing:
        return made(body)

    settings = Settings(amqp_url="amqp://a:b@localhost/", issuer="x", jwks_url="http://localhost/")
    app: Flask = shared.app.create_app("things", settings, title="Things", blueprints=[bp], ready={})
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(io.StringIO())
    return app


CANDIDATES: dict[str, Callable[[], Flask]] = {
    "plain Flask + pydantic": plain,
    "flask-openapi3": lambda: openapi_like(flask_openapi3),
    "flask-openapi3, query's schema kept": lambda: openapi_like(flask_openapi3, OurQuery),
    "flask-openapi": lambda: openapi_like(flask_openapi),
    "APIFlask": with_apiflask,
    "spectree": with_spectree,
    "shared.app (all of it)": with_shared,
}


def call(app: Flask, environ: dict[str, Any], body: bytes) -> tuple[str, bytes]:
    statuses: list[str] = []

    def start_response(status: str, *_: Any) -> Any:
        statuses.append(status)

    answer = app.wsgi_app({**environ, "wsgi.input": io.BytesIO(body)}, start_response)
    data = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return statuses[0], data


def cost_s(app: Flask, environ: dict[str, Any], body: bytes) -> float:
    """CPU seconds of a batch of requests."""
    started = time.process_time()
    for _ in range(BATCH):
        call(app, environ, body)
    return time.process_time() - started


def one_round(
    apps: dict[str, Flask], get: dict[str, Any], post: dict[str, Any], body: bytes, batches: int
) -> dict[str, tuple[float, float]]:
    """CPU microseconds of a GET and of a POST: all in turn, batch by batch, so that they meet the same noise."""
    spent = {name: [0.0, 0.0] for name in apps}
    for _ in range(batches):
        for name, app in apps.items():
            spent[name][0] += cost_s(app, get, b"")
            spent[name][1] += cost_s(app, post, body)
    return {name: (got / batches / BATCH * 1e6, sent / batches / BATCH * 1e6) for name, (got, sent) in spent.items()}


def described(app: Flask) -> str:
    """The OpenAPI version of its document, and whether a validator accepts that."""
    with app.app_context():
        document = app.extensions["spec"].spec if "spec" in app.extensions else None
        document = document or getattr(app, "api_doc", None) or getattr(app, "spec", None)
    if not document:
        return "–"
    document = json.loads(json.dumps(document, default=str))
    try:
        validate(document)
    except Exception as error:
        return f"{document['openapi']}, invalid: {str(error).splitlines()[0][:60]}"
    return f"{document['openapi']}, valid"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=30, help=f"of {BATCH} requests of each kind in each round")
    options = parser.parse_args()
    body = json.dumps(SENT).encode()
    get = EnvironBuilder(f"/things/{THING}", query_string="limit=10&word=ball&newest=true").get_environ()
    post = EnvironBuilder("/things", method="POST", data=body, content_type="application/json").get_environ()
    apps = {name: make() for name, make in CANDIDATES.items()}
    answers = {name: (call(app, get, b""), call(app, post, body)) for name, app in apps.items()}
    for name, ((got_status, got), (made_status, sent)) in answers.items():
        assert (got_status, made_status) == ("200 OK", "201 CREATED"), (name, got_status, made_status)
        assert json.loads(got)["id"] == json.loads(sent)["id"] == THING and json.loads(sent)["tags"] == ["a", "b"], name
    all_rounds = [one_round(apps, get, post, body, options.batches) for _ in range(options.rounds)]
    costs = {name: [measured[name] for measured in all_rounds] for name in apps}
    base = [statistics.median(column) for column in zip(*costs["plain Flask + pydantic"], strict=True)]
    print("| way | GET µs | × plain | POST µs | × plain | its OpenAPI document |\n|---|---|---|---|---|---|")
    for name, rounds in costs.items():
        get_us, post_us = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratios = f"{get_us:.0f} | {get_us / base[0]:.2f} | {post_us:.0f} | {post_us / base[1]:.2f}"
        print(f"| {name} | {ratios} | {described(apps[name])} |")


if __name__ == "__main__":
    main()
