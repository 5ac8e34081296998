"""The one script of the pages: it lets a device show a passkey or a security key. Pages work without it."""

from pathlib import Path
from typing import Any

from flask import Response

from services.auth.pages.refusals import pages_of
from shared import json_body
from shared.errors import BadRequest
from shared.routing import public

bp = pages_of("script_of_pages")
FILE = Path(__file__).parent / "passkey.js"


@bp.get("/login/passkey.js", status=200)
@public
def get_passkey_script() -> Response:
    """The script, from an address of its own; a page's policy lets it run, and nothing else."""
    headers = {"Cache-Control": "public, max-age=3600", "Cross-Origin-Resource-Policy": "same-origin"}
    return Response(FILE.read_bytes(), content_type="text/javascript; charset=utf-8", headers=headers)


def credential_of(text: str) -> dict[str, Any]:
    """What the script sent. Raise BadRequest."""
    credential = json_body.parse(text.encode())
    if not isinstance(credential, dict):
        raise BadRequest("Credential verification failed", code="webauthn_verification_failed")
    return credential
