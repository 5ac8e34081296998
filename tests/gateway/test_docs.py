"""`/docs` and `/openapi.json`: a page that needs nobody else, and one valid document of what can be called."""

import json
import re
from pathlib import Path
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.gateway.process import GatewayProcess
from tests.gateway.upstream import Upstream
from tests.support.issuer import Issuer


def described(*paths: str, **more: Any) -> dict[str, Any]:
    """A service's document: a GET at every path, answered with an Item."""
    schema = {"$ref": "#/components/schemas/Item"}
    response = {"200": {"description": "an item", "content": {"application/json": {"schema": schema}}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "a service", "version": "1"},
        "paths": {
            path: {
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                    for name in re.findall(r"\{(\w+)\}", path)
                ],
                "get": {"operationId": f"get_{number}", "responses": response},
            }
            for number, path in enumerate(paths)
        },
        "components": {"schemas": {"Item": {"type": "object"}}},
        **more,
    }


def serve(upstream: Upstream, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    upstream.on("/openapi.json", lambda _request, stream: stream.answer(body))


def errors(document: dict[str, Any]) -> list[str]:
    return [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]


def test_documents_with_equal_names_become_one_valid_document_of_what_is_routed(issuer: Issuer, folder: Path) -> None:
    auth, data = Upstream(), Upstream()
    serve(auth, described("/auth/v1/me", "/internal/keys", security=[{"bearer": []}]))
    serve(data, described("/data/v1/x/{id}", "/auth/v1/stolen"))
    gateway = GatewayProcess(issuer, data.url, folder, AUTH_URL=auth.url, ISSUER="https://api.example/auth/v1").start()
    try:
        merged = gateway.ask("GET", "/openapi.json").json
        assert errors(merged) == []
        assert merged["servers"] == [{"url": "https://api.example"}]
        assert set(merged["paths"]) == {"/auth/v1/me", "/data/v1/x/{id}"}
        assert merged["paths"]["/auth/v1/me"]["get"]["security"] == [{"bearer": []}]
        assert merged["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
        assert {*merged["components"]["schemas"]} == {"auth_Item", "data_Item"}
    finally:
        assert gateway.stop() == 0
        auth.close()
        data.close()


def test_a_service_that_is_down_from_the_start_leaves_a_valid_document_of_the_others(
    issuer: Issuer, folder: Path
) -> None:
    data = Upstream()
    serve(data, described("/data/v1/x"))
    gateway = GatewayProcess(issuer, data.url, folder, AUTH_URL="http://127.0.0.1:1").start()
    try:
        merged = gateway.ask("GET", "/openapi.json").json
        assert errors(merged) == [] and set(merged["paths"]) == {"/data/v1/x"}
        data.close()
        assert gateway.ask("GET", "/openapi.json").json == merged
    finally:
        assert gateway.stop() == 0


def test_the_page_takes_everything_from_this_gateway_and_may_ask_nobody_else(gateway: GatewayProcess) -> None:
    page = gateway.ask("GET", "/docs")
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy and "*" not in policy and "frame-ancestors 'none'" in policy
    assert "<style" not in page.body.decode() and "onload" not in page.body.decode()

    places = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    files = [place for place in places if place not in ("data:,", "/openapi.json")]
    assert len(files) == 4
    for place in files:
        answer = gateway.ask("GET", place)
        kind = "text/css" if ".css" in place else "text/javascript"
        assert (answer.status, answer.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        assert "immutable" in answer.headers["Cache-Control"] and answer.headers["X-Content-Type-Options"] == "nosniff"
        assert int(answer.headers["Content-Length"]) == len(answer.body) > 100


def test_the_page_has_no_other_files(gateway: GatewayProcess) -> None:
    for name in ("nothing.js", "docs.html", "__init__.py", "..%2fconfig.py"):
        assert gateway.ask("GET", f"/docs/{name}").status in (400, 404)
    assert gateway.ask("POST", "/docs").status == 405


def test_the_token_is_nowhere_but_in_the_pages_memory(gateway: GatewayProcess) -> None:
    script = gateway.ask("GET", "/docs/docs.js").body.decode()
    assert "persistAuthorization: false" in script
    assert "localStorage" not in script and "sessionStorage" not in script and "cookie" not in script
