"""`/docs`: Swagger UI on the merged OpenAPI document. Every byte comes from here; the browser asks nobody else."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from flask import Blueprint, Response

from shared.errors import NotFound

PACKAGE = "flask-openapi3-swagger"  # carries Swagger UI under its own version; none of its code runs here
OWN = Path(__file__).with_name("static")
YEAR_S = 31_536_000
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


def blueprint(public_url: str) -> Blueprint:
    """The page and its files; calls may be tried on the page's own origin and on `public_url`."""
    bp = Blueprint("viewer", __name__)
    page = (OWN / "docs.html").read_text(encoding="utf-8").replace("{version}", version(PACKAGE))
    policy = content_security_policy(public_url)
    files = {path.name: path for path in (*_swagger_ui(), OWN / "docs.css", OWN / "docs.js")}

    @bp.get("/docs")
    def docs() -> Response:
        response = Response(page, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = policy
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-cache"
        return _as_it_is(response)

    @bp.get("/docs/<name>")
    def file(name: str) -> Response:
        path = files.get(name)
        if path is None:
            raise NotFound("There is nothing at this address.")
        response = Response(path.read_bytes(), content_type=TYPES[path.suffix])
        response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"  # the page names a version
        return _as_it_is(response)

    return bp


def content_security_policy(public_url: str) -> str:
    """Scripts, styles and calls from here only; the viewer's icons are `data:` images."""
    parts = urlsplit(public_url)
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            f"connect-src 'self' {parts.scheme}://{parts.netloc}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _swagger_ui() -> list[Path]:
    spec = find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{PACKAGE} is not installed")
    folder = Path(spec.origin).with_name("templates") / "swagger"
    return [folder / "css" / "swagger-ui.css", folder / "js" / "swagger-ui-bundle.js"]


def _as_it_is(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
