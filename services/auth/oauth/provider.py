"""Authlib's authorization server, wired to this service: where clients come from, the form of answers and errors."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError, InvalidRequestError, OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Payload as Payload
from authlib.oauth2.rfc6749 import OAuth2Request as Request
from flask import Response, request
from werkzeug.datastructures import MultiDict

from services.auth import store
from services.auth.oauth.clients import Client
from services.auth.parts import here
from shared.errors import Problem

Answer = tuple[int, Any, list[tuple[str, str]]]
MAX_BYTES = 8_192
MAY_REPEAT = frozenset({"resource"})  # RFC 8707, section 2
BY_SECRET = ["client_secret_basic", "client_secret_post"]
CLIENT_AUTHENTICATION = ["none", *BY_SECRET]


class Parameters(Payload):  # type: ignore[misc]
    """The parameters of a request, none given twice. Raise InvalidRequestError."""

    def __init__(self, given: MultiDict[str, str]) -> None:
        self._lists = {name: given.getlist(name) for name in given}
        if any(not isinstance(name, str) for name in self._lists):  # a part of a form need not have one
            raise InvalidRequestError("A parameter has no name.")
        if any(len(values) > 1 and name not in MAY_REPEAT for name, values in self._lists.items()):
            raise InvalidRequestError("A parameter is given twice.")
        if sum(len(name) + len(value) for name, values in self._lists.items() for value in values) > MAX_BYTES:
            raise InvalidRequestError("The request is too long.")
        if any("\x00" in value for values in self._lists.values() for value in values):
            raise InvalidRequestError("A parameter holds the character U+0000.")
        self._data = {name: values[0] for name, values in self._lists.items()}

    @property
    def data(self) -> dict[str, str]:
        return self._data

    @property
    def datalist(self) -> dict[str, list[str]]:
        return self._lists


class Asked(Request):  # type: ignore[misc]
    """A request as Authlib reads it: from the form or from the query, never from both."""

    def __init__(self, method: str, given: MultiDict[str, str], headers: Any = None) -> None:
        # Authlib wants TLS. It ends at the gateway, so it is PUBLIC_URL that says whether there is any.
        super().__init__(method, "https://gateway", headers=headers or {})
        self.payload = Parameters(given)

    @property
    def args(self) -> dict[str, str]:
        data: dict[str, str] = self.payload.data
        return data

    form = args


class Provider(AuthorizationServer):  # type: ignore[misc]
    """One for all processes' threads: it holds nothing of a request."""

    def query_client(self, client_id: str) -> Client | None:
        try:
            known_by = UUID(client_id)
        except ValueError:
            return None
        if str(known_by) != client_id:  # one spelling, so that what is compared as text is the same client
            return None
        with here.db.transaction() as conn:
            return store.get_oauth_client(conn, known_by)

    def authenticate_client(self, asked: Asked, methods: list[str], endpoint: str = "token") -> Client:
        """The client, by the one way it is registered for. Raise OAuth2Error."""
        header = asked.headers.get("Authorization", "")
        if header and asked.payload.data.get("client_secret"):
            raise InvalidRequestError("The client authenticates in two ways at once.")
        allowed = [method for method in methods if not header or method == "client_secret_basic"]
        try:
            client: Client = super().authenticate_client(asked, allowed, endpoint)
        except ValueError as error:  # a header that Authlib cannot take apart
            raise InvalidClientError(status_code=401, description="The Authorization header is malformed.") from error
        except InvalidClientError as error:
            # Which of the two was wrong, client or secret, is nobody's business.
            raise InvalidClientError(status_code=401 if header else 400) from error
        if asked.payload.client_id not in (None, client.get_client_id()):
            raise InvalidRequestError("client_id is another than the one that authenticates.")
        return client

    def validate_requested_scope(self, scope: str | None) -> None:
        """What a client may ask for is registered with the client."""

    def save_token(self, token: dict[str, Any], request: Asked) -> None:
        """Nothing of a token is stored: the grant is."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, asked: Asked | None) -> Asked:
        return asked if asked is not None else this_request()

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        """303 for Authlib's 302: what follows an answer to a form must not send the form on (RFC 9700, 4.12)."""
        text = json.dumps(body) if isinstance(body, dict) else body
        return Response(text, 303 if status == 302 else status, dict(headers))


def this_request() -> Asked:
    """The parameters of the form, or of the query where there is no form. Raise InvalidRequestError."""
    given = request.form if request.method == "POST" else request.args
    return Asked(request.method, given, request.headers)


def answer(asked_for: Callable[[], Response]) -> Response:
    """The answer, or the error in the form of RFC 6749, section 5.2, that clients act on."""
    try:
        response = asked_for()
    except OAuth2Error as error:
        response = provider.handle_error_response(None, error)
    except Problem as problem:  # of the database, or of a hook that refuses the token
        code = "temporarily_unavailable" if problem.status >= 500 else "access_denied"
        response = provider.handle_response(problem.status, {"error": code, "error_description": problem.detail}, JSON)
        response.headers.update(problem.headers)
    return response


JSON = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Pragma", "no-cache")]
provider = Provider()
