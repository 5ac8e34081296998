"""The gateway most people would write first: a Flask view, requests and PyJWKClient. A peer for the benchmark."""

import os

import jwt
import requests
from flask import Flask, Response, abort, request

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


def create_app() -> Flask:
    """`UPSTREAM` and `JWKS_URL` come from the environment."""
    app = Flask(__name__)
    upstream, keys = os.environ["UPSTREAM"], jwt.PyJWKClient(os.environ["JWKS_URL"])
    session = requests.Session()

    @app.route("/<path:path>", methods=["GET", "POST"])
    def forward(path: str) -> Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            key = keys.get_signing_key_from_jwt(token)
            jwt.decode(token, key, algorithms=["ES256"], audience="gatehouse")
        except jwt.PyJWTError:
            abort(401)
        headers = {name: value for name, value in request.headers if name.lower() not in HOP_BY_HOP}
        answer = session.request(
            request.method, f"{upstream}/{path}", params=request.args, headers=headers, data=request.get_data()
        )
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
        return Response(answer.content, answer.status_code, kept)

    return app
